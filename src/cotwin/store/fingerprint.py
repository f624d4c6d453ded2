"""A name for what a stepper makes from starts: the same only where every state would be the same."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cotwin.start_states import StartStates
from cotwin.stepper import Stepper, rollout
from cotwin.store.version import code_version


def fingerprint(stepper: Stepper, starts: StartStates, *numbers: int) -> str:
    """Of the stepper's code, weights and layout, the starts, and numbers that say what is made from them.

    What is in no weight, such as a solver's substeps, shows in the step from the first start, which is made for
    this. Starts stand for the seed that drew them.
    """
    parts = hashlib.sha256()
    for text in (code_version(), *_foreign_sources(stepper), repr(stepper), repr(stepper.layout), repr(numbers)):
        parts.update(text.encode() + b"\0")
    for name, value in sorted(stepper.state_dict().items()):
        parts.update(name.encode())
        _update(parts, [value])
    _update(parts, starts.identity())
    with torch.no_grad():
        _update(parts, [rollout(stepper, starts.take([0]).to(stepper.device), 1)])
    return parts.hexdigest()[:32]


def _update(parts: hashlib._Hash, values: Iterable[Tensor]) -> None:
    for value in values:
        parts.update(f"{value.dtype} {tuple(value.shape)}".encode())
        parts.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _foreign_sources(stepper: nn.Module) -> list[str]:
    """The source of every class in the stepper that is neither torch's nor ours; code_version covers those."""
    classes = {type(module) for module in stepper.modules()}
    return sorted(_source(found) for found in classes if found.__module__.split(".")[0] not in ("torch", "cotwin"))


def _source(found: type) -> str:
    try:
        return inspect.getsource(found)
    except (OSError, TypeError):  # typed into an interpreter
        return f"{found.__module__}.{found.__qualname__}"
