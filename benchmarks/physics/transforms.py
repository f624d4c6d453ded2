"""The Fourier transforms of a rollout and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

TRANSFORMS = {torch.ops.aten._fft_r2c.default, torch.ops.aten._fft_c2r.default, torch.ops.aten._fft_c2c.default}


class Recorded(TorchDispatchMode):
    """Within it every transform is written down: which, of what, how."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Tensor, tuple[Any, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in TRANSFORMS:
            values, *how = args
            self.calls.append((func, values.clone(), tuple(how)))
        return func(*args, **(kwargs or {}))


def bare(rollout: Callable[[], object]) -> Callable[[], object]:
    """The same transforms of the same values, in the same order."""
    with torch.no_grad(), Recorded() as recorded:
        rollout()

    def transforms() -> None:
        for transform, values, how in recorded.calls:
            transform(values, *how)

    return torch.no_grad()(transforms)
