"""PhiML computes with the backend and at the precision of two process-wide stacks; here they are set and reset.

`phi.torch.flow` would make torch the default of the whole process and leave the precision at 32 bits, at which
float64 states are rounded without a word. Importing this package changes neither.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

import torch
from phiml.backend import precision
from phiml.backend.torch._torch_backend import TorchBackend

# torch's words on its sparse matrices, which PhiML makes for every linear solve: nothing that a user could mend.
warnings.filterwarnings("ignore", message="Sparse", category=UserWarning, module="phiml")

BITS = {torch.float32: 32, torch.float64: 64}


class OwnTorch(TorchBackend):  # type: ignore[misc]  # phiml is untyped
    """PhiML's torch backend for one precision and one device, the same in backward passes as in forward ones.

    Autograd calls the gradient of a linear solve when the context has been left: numpy is the default again and
    the precision 32 bits, so that plain PhiML stops with "expected Variable or None (got numpy.ndarray)", or
    solves float64 systems in float32. And since PhiML caches the matrices of linear functions by backend but
    not by precision, a backend of its own keeps float32 matrices out of float64 solves.
    """

    def __init__(self, bits: int, device: str) -> None:
        super().__init__()
        self.bits = bits
        # Constants are made on the default device, which would be a GPU wherever there is one.
        self.set_default_device(self.get_device_by_ref(device))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        with self, precision(self.bits):
            yield

    def custom_gradient(self, f: Callable[..., Any], gradient: Callable[..., Any], **options: Any) -> Any:
        @wraps(gradient)
        def in_context(*args: Any) -> Any:
            with self.in_use():
                return gradient(*args)

        return super().custom_gradient(f, in_context, **options)


@contextmanager
def phiflow_context(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Within it PhiFlow computes with torch in `dtype` on `device`; on leaving, all is as before.

    The stacks belong to the process, not to the thread: two threads may be inside at once only with the same
    dtype and device.
    """
    if dtype not in BITS:
        raise ValueError(f"PhiFlow computes in float32 or float64, not {dtype}; convert the state first.")
    with _backend(BITS[dtype], str(device)).in_use():
        yield


@cache
def _backend(bits: int, device: str) -> OwnTorch:
    return OwnTorch(bits, device)
