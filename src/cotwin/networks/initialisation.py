"""Where the initial weights of a network come from: its own seed, never what ran before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cotwin.seeds import seed_of


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's global CPU generator starts from `seed`; afterwards it is as it was before.

    For torch's own layers, which draw their weights from it and take no generator.

    >>> with seeded(0):
    ...     first = torch.rand(1)
    >>> with seeded(0):
    ...     assert torch.rand(1) == first
    """
    # Not torch.manual_seed: that would reseed every accelerator too, and those are not restored here.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(seed))
        yield
