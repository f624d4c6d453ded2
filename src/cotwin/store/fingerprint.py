"""A name for what a stepper makes from starts: the same only where every state would be the same."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.stepper import Stepper, rollout
from cotwin.store.version import code_version, sources_version

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.Size)
OURS = ("torch", "cotwin", "abc", "builtins", "typing")  # whose code `code_version` stands for, or never changes


def fingerprint(stepper: Stepper, starts: Float[Tensor, "N C *S"], num_steps: int) -> str:
    """Of the stepper's code, weights, buffers and settings, the starts, and the number of steps from them.

    Settings are the attributes of each module: a solver's substeps, its layout, functions. What an attribute
    hides in an object of another library shows, as a rule, in the step from the first start, which is made for this.
    """
    parts = hashlib.sha256()
    for text in (code_version(), sources_version(_foreign_modules(stepper)), repr(num_steps), *_settings(stepper)):
        parts.update(text.encode() + b"\0")
    for name, value in sorted((*stepper.named_parameters(), *stepper.named_buffers()), key=lambda pair: pair[0]):
        parts.update(name.encode())
        _update(parts, [value])
    with torch.no_grad():
        _update(parts, [starts, rollout(stepper, starts[: stepper.samples or 1].to(stepper.device), 1)])
    return parts.hexdigest()[:32]


def _update(parts: hashlib._Hash, values: Iterable[Tensor]) -> None:
    for value in values:
        parts.update(f"{value.dtype} {tuple(value.shape)}".encode())
        parts.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _settings(stepper: nn.Module) -> Iterator[str]:
    """Every module by its place and class, with its attributes; in an order of their own."""
    for place, module in _everywhere(stepper):
        kind = type(module)
        yield f"{place}: {kind.__module__}.{kind.__qualname__}"
        for name, value in sorted(vars(module).items()):
            # torch's own dictionaries begin with an underscore; modules in them are visited by themselves.
            if not name.startswith("_") and name != "training":
                yield f"{place}.{name} = {_text(value)}"


def _everywhere(stepper: nn.Module, at: str = "") -> Iterator[tuple[str, nn.Module]]:
    """All modules by their places, those too that a module holds as a plain attribute, as `Checkpointed` does."""
    for place, module in stepper.named_modules(prefix=at, remove_duplicate=False):
        yield place, module
        for name, value in sorted(vars(module).items()):
            if isinstance(value, nn.Module):
                yield from _everywhere(value, f"{place}.{name}")


def _text(value: Any) -> str:
    """A value in words that are the same in every process."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, Tensor):
        parts = hashlib.sha256()
        _update(parts, [value])
        return parts.hexdigest()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_text, value)))}}}"
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{_text(key)}: {_text(item)}' for key, item in value.items()))}}}"
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__qualname__}{_text([getattr(value, field.name) for field in fields(value)])}"
    if inspect.isroutine(value):
        return f"{value.__module__}.{value.__qualname__} {_source(value)}"
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _foreign_modules(stepper: nn.Module) -> set[str]:
    """Of the classes in the stepper, of their bases and of the functions it holds, all that are not Cotwin's."""
    found: set[Any] = set()
    for _, module in _everywhere(stepper):
        found.update(type(module).__mro__, filter(inspect.isroutine, vars(module).values()))
    return {name for name in (one.__module__ for one in found) if name and name.split(".")[0] not in OURS}


def _source(code: Any) -> str:
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):  # typed into an interpreter, or compiled
        return f"{code.__module__}.{code.__qualname__}"
