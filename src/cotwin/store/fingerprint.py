"""A name for a set of generated windows: the same only where every window would be the same."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cotwin.rollout_windows import RolloutWindows
from cotwin.store.version import code_version


def fingerprint(windows: RolloutWindows, rows_at_once: int) -> str:
    """Of the teacher, its code, its weights and layout, the starts, and how the set is cut into rollouts.

    What is in no weight, such as a solver's substeps, shows in the first window, which is made for this. Starts
    stand for the seed that drew them.
    """
    parts = hashlib.sha256()
    teacher = windows.teacher
    for text in (code_version(), *_foreign_sources(teacher), repr(teacher), repr(teacher.layout)):
        parts.update(text.encode() + b"\0")
    parts.update(repr((len(windows), windows.window_shape, rows_at_once)).encode())
    for name, value in sorted(teacher.state_dict().items()):
        parts.update(name.encode())
        _update(parts, [value])
    _update(parts, windows.starts.identity())
    _update(parts, [windows.generate([0])])
    return parts.hexdigest()[:32]


def _update(parts: hashlib._Hash, values: Iterable[Tensor]) -> None:
    for value in values:
        parts.update(f"{value.dtype} {tuple(value.shape)}".encode())
        parts.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _foreign_sources(teacher: nn.Module) -> list[str]:
    """The source of every class in the teacher that is neither torch's nor ours; code_version covers those."""
    classes = {type(module) for module in teacher.modules()}
    return sorted(_source(found) for found in classes if found.__module__.split(".")[0] not in ("torch", "cotwin"))


def _source(found: type) -> str:
    try:
        return inspect.getsource(found)
    except (OSError, TypeError):  # typed into an interpreter
        return f"{found.__module__}.{found.__qualname__}"
