"""Simulators, networks and samplers of starts by name, each declared once, beside its definition.

    @simulator("heat")
    class Heat(ParabolicStepper):
        "diffusivity: κ in length²/time."

        def __init__(self, layout: Layout, diffusivity: Parameter, substeps: int = 1) -> None: ...

The signature is its settings. A `Parameter` is an unknown, `Parameter | None` one that may be missing, a tuple of
them a vector. bool, int, float, str, Literal, tuples of these and classes of `Settings` are what they are. An
argument of another type must have a default, and is no setting. Lines `name: …` of the docstring say what a setting
means. Where arguments do not suit a configuration, a function that returns the object is declared instead.

Names are found without importing anything: Cotwin's own in its source, those of other packages by the entry-point
groups cotwin.simulators, cotwin.networks and cotwin.samplers. `package.module:thing` names what no package declares.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from cotwin.parameters import Parameter

PositiveFloat = Annotated[float, Field(gt=0, le=1e30)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Few = Annotated[int, Field(ge=1, le=1000)]

Thing = TypeVar("Thing", bound=Callable[..., Any])
HERE = Path(__file__).parent


class Settings(BaseModel):
    """Frozen; an unknown key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RegistryError(ValueError):
    """A name that cannot be used; the message says why and what to do. Other names are not concerned."""


@dataclass(frozen=True)
class Home:
    """Where a name leads: to `thing` of `module`, which is or returns `made`. owner: of the name, for a person."""

    owner: str
    module: str
    thing: str
    made: str


@dataclass(frozen=True)
class Setting:
    """An argument that is a setting. default: `inspect.Parameter.empty` where it is required."""

    name: str
    annotation: Any
    default: Any
    meaning: str


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
        if len(owners) > 1:
            raise RegistryError(
                f"{self.kind} {name!r} is declared by {' and by '.join(owners)}; uninstall one of them."
            )
        if own is not None:
            return self._loaded(name, own.owner, lambda: getattr(importlib.import_module(own.module), own.thing))
        if installed:
            return self._loaded(name, owners[0], installed[0].load)
        if name in self.declared:
            return self.declared[name]
        near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(self.names())};"
        raise RegistryError(
            f"there is no {self.kind} {name!r}; {hint} One of your own is named as package.module:function."
        )

    def settings(self, thing: Any) -> list[Setting]:
        """What can be set of a class or function. Raises RegistryError for an argument that nothing can give."""
        hints, settings = _hints(thing), []
        meanings = _meanings(thing)
        for name, argument in _signature(thing).items():
            if name in self.supplied:
                continue
            if name in hints and _is_setting(hints[name]):
                settings.append(Setting(name, hints[name], argument.default, meanings.get(name, "")))
            elif argument.default is inspect.Parameter.empty:
                what = f"is a {hints[name]}" if name in hints else "says no type"
                raise RegistryError(
                    f"argument {name!r} of {thing.__module__}.{thing.__qualname__} {what}: no setting can give it. "
                    f"Write {name}: Parameter for an unknown, or a plain type such as float, or give it a default."
                )
        return settings

    def takes(self, thing: Any, supplied: str) -> bool:
        """Whether it has this argument, of those that are supplied."""
        return supplied in _signature(thing)

    def _loaded(self, name: str, owner: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except Exception as error:  # whatever a package does at import, it concerns its own name alone
            raise RegistryError(
                f"{self.kind} {name!r} of {owner} cannot be loaded: {type(error).__name__}: {error}. Install what it "
                "needs, or take another; no other name is concerned."
            ) from error


simulator = Registry("simulator", "physics", {"layout"})
network = Registry("network", "networks", {"layout", "seed"})
sampler = Registry("sampler", "physics", {"layout", "count", "generator", "modes", "means", "amplitudes"})


def made_by(thing: Any) -> Any:
    """The class itself, or that of what a function returns."""
    return thing if isinstance(thing, type) else _hints(thing).get("return")


def summary(thing: Any) -> str:
    """The first paragraph of its docstring, or of the class's that it makes."""
    docs = (inspect.getdoc(one) for one in (thing, made_by(thing)))
    return " ".join((next(filter(None, docs), "")).split("\n\n")[0].split("\n", maxsplit=1)[0].split())


def is_unknown(annotation: Any) -> bool:
    """Whether an argument takes a parameter, several, or none of them."""
    return any(part is Parameter for part in _parts(annotation))


@cache
def _read(kind: str, folder: Path) -> dict[str, Home]:
    homes = {}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if f"\n@{kind}(" not in text:
            continue
        module = ".".join(("cotwin", *path.relative_to(HERE).with_suffix("").parts))
        for node in ast.parse(text).body:
            for name in _declared_names(node, kind):
                assert isinstance(node, ast.ClassDef | ast.FunctionDef)
                returned = node.returns if isinstance(node, ast.FunctionDef) else None
                made = returned.id if isinstance(returned, ast.Name) else node.name
                homes[name] = Home("cotwin", module, node.name, made)
    return homes


def _declared_names(node: ast.stmt, kind: str) -> Iterator[str]:
    for decorator in getattr(node, "decorator_list", ()):
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


def _signature(thing: Any) -> Mapping[str, inspect.Parameter]:
    function = _function(thing)
    arguments = dict(inspect.signature(function).parameters)
    if isinstance(thing, type):
        arguments.pop(next(iter(arguments)))
    return arguments


def _hints(thing: Any) -> dict[str, Any]:
    return get_type_hints(_function(thing), include_extras=True)


def _function(thing: Any) -> Callable[..., Any]:
    """What takes the arguments: a class's own __init__, or a base's."""
    owners = [one for one in getattr(thing, "__mro__", ()) if "__init__" in vars(one)]
    function: Callable[..., Any] = inspect.unwrap(vars(owners[0])["__init__"] if owners else thing)
    return function


def _is_setting(annotation: Any) -> bool:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_setting(inner[0])
    if origin in (Union, UnionType, tuple):
        return all(_is_setting(part) for part in inner if part is not Ellipsis)
    if origin is Literal or annotation in (bool, int, float, str, NoneType, Parameter):
        return True
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation) if get_origin(annotation) is not Literal else ():
        yield from _parts(part)


def _meanings(thing: Any) -> dict[str, str]:
    """What lines `name: …` say, first sentences; of the thing, else of what it makes and of that one's bases."""
    found: dict[str, str] = {}
    made = made_by(thing)
    for one in (thing, *(made.__mro__ if isinstance(made, type) else ())):
        text = inspect.cleandoc((vars(one).get("__doc__") if isinstance(one, type) else one.__doc__) or "")
        starts = list(re.finditer(r"(?:^[ \t]*|(?<=[.;]\s))(\w+(?:, \w+)*): ", text, flags=re.MULTILINE))
        for start, after in zip(starts, [*starts, None][1:], strict=True):
            words = text[start.end() : None if after is None else after.start()].split("\n\n")[0]
            sentence = re.split(r"\.\s+(?=[A-Z])|;\s", " ".join(words.split()))[0].rstrip(".; ")
            for name in start[1].split(", "):
                if not sentence.startswith("see "):
                    found.setdefault(name, sentence)
    return found
