"""Names and where they lead, found without importing anything."""

from __future__ import annotations

import ast
import difflib
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from cotwin.registry.signature import RegistryError, Setting, arguments, first_line, settings_of, summary

Thing = TypeVar("Thing", bound=Callable[..., Any])
HERE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Home:
    """Where a name leads: to `thing` of `module`, which is or returns `made`.

    owner: of the name, for a person. summary: the first line of its docstring.
    """

    owner: str
    module: str
    thing: str
    made: str
    summary: str


class Registry:
    """The names of one kind, and a decorator that declares one.

    folder: of Cotwin's own. supplied: arguments that no configuration gives.
    """

    def __init__(self, kind: str, folder: str, supplied: set[str]) -> None:
        self.kind, self.folder, self.supplied = kind, folder, supplied
        self.group = f"cotwin.{kind}s"
        self.declared: dict[str, Any] = {}

    def __call__(self, name: str) -> Callable[[Thing], Thing]:
        def declare(thing: Thing) -> Thing:
            self.declared[name] = thing
            return thing

        return declare

    def names(self) -> list[str]:
        """All that are known, without importing any."""
        installed = {entry.name for entry in entry_points(group=self.group)}
        return sorted({*self.own(), *installed, *self.declared})

    def own(self) -> dict[str, Home]:
        """Cotwin's own, read from its source."""
        return _read(self.kind, HERE / self.folder)

    def find(self, name: str) -> Any:
        """The class or function of a name, or of `package.module:thing`; only its module is imported.

        Raises RegistryError for a name that is unknown, has two owners or cannot be loaded.
        """
        if ":" in name:
            return _own_code(name, self.kind)
        own, installed = self.own().get(name), list(entry_points(group=self.group, name=name))
        owners = [*([] if own is None else [own.owner]), *map(_owner, installed)]
        declared = self.declared.get(name)
        if own is not None and declared is not None and declared.__module__ != own.module:
            owners.append(f"the module {declared.__module__}")
        if len(owners) > 1:
            raise RegistryError(
                f"{self.kind} {name!r} is declared by {' and by '.join(owners)}; take one of them away."
            )
        if own is not None:
            return self._loaded(name, own.owner, lambda: getattr(importlib.import_module(own.module), own.thing))
        if installed:
            return self._loaded(name, owners[0], installed[0].load)
        if declared is not None:
            return declared
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(self.names())};"
        raise RegistryError(
            f"there is no {self.kind} {name!r}; {hint} One of your own is named as package.module:function."
        )

    def summaries(self) -> dict[str, str]:
        """All names, and in one line what each is; of an installed one whose it is, without importing it."""
        own, declared = self.own(), self.declared
        installed = {entry.name: _owner(entry) for entry in entry_points(group=self.group)}
        return {
            name: own[name].summary if name in own else installed.get(name) or summary(declared[name])
            for name in self.names()
        }

    def settings(self, thing: Any) -> list[Setting]:
        """What can be set of a class or function. Raises RegistryError for an argument that nothing can give."""
        return settings_of(thing, self.supplied)

    def takes(self, thing: Any, supplied: str) -> bool:
        """Whether it has this argument, of those that are supplied."""
        return supplied in arguments(thing)

    def _loaded(self, name: str, owner: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except Exception as error:  # whatever a package does at import, it concerns its own name alone
            raise RegistryError(
                f"{self.kind} {name!r} of {owner} cannot be loaded: {type(error).__name__}: {error}. Install what it "
                "needs, or take another; no other name is concerned."
            ) from error


simulator = Registry("simulator", "physics", {"layout"})
network = Registry("network", "networks", {"layout", "seed", "numbers"})
rate_law = Registry("rate_law", "physics", set())
sampler = Registry("sampler", "physics", {"layout", "count", "generator", "modes", "means", "amplitudes"})


@cache
def _read(kind: str, folder: Path) -> dict[str, Home]:
    homes = {}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if f"\n@{kind}(" not in text:
            continue
        module = ".".join(("cotwin", *path.relative_to(HERE).with_suffix("").parts))
        body = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        docs = {node.name: ast.get_docstring(node) for node in body}
        for node in body:
            for name in _declared_names(node, kind):
                returned = node.returns if isinstance(node, ast.FunctionDef) else None
                made = returned.id if isinstance(returned, ast.Name) else node.name
                said = docs[node.name] or docs.get(made) or ""
                homes[name] = Home("cotwin", module, node.name, made, first_line(said))
    return homes


def _declared_names(node: ast.ClassDef | ast.FunctionDef, kind: str) -> Iterator[str]:
    for decorator in node.decorator_list:
        match decorator:
            case ast.Call(func=ast.Name(id=found), args=[ast.Constant(value=str(name))]) if found == kind:
                yield name


def _owner(entry: EntryPoint) -> str:
    package = "an unnamed package" if entry.dist is None else f"the package {entry.dist.name} {entry.dist.version}"
    return f"{package} ({entry.value})"


def _own_code(name: str, kind: str) -> Any:
    """`package.module:thing`; modules are found as by `python -m`, and here. What the module raises is its own."""
    module_name, _, thing_name = name.partition(":")
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", name):
        raise RegistryError(f"{name!r} names no {kind}; write package.module:function.")
    # The `cotwin` command does not look here by itself; last, so that no file here hides a library's.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # found, and itself in want of another
        raise RegistryError(
            f"there is no module {error.name} for {name}; install it, or run where {module_name} can be imported: "
            "its folder is looked for in the current one."
        ) from None
    thing = getattr(module, thing_name, None)
    if not callable(thing):
        mine = (key for key, value in vars(module).items() if getattr(value, "__module__", None) == module_name)
        known = sorted(key for key in mine if not key.startswith("_"))
        what = "has no" if thing is None else "has something that cannot be called under the name"
        raise RegistryError(f"{module_name} {what} {thing_name!r}; in it are {', '.join(known) or '(none)'}.")
    return thing
