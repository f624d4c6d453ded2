"""Where everything random begins: generators seeded by counters, never by what ran before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_of(*counters: int) -> int:
    """One seed of several counters, such as the run's seed and the number of an epoch, however large they are.

    >>> seed_of(3), seed_of(3, 1), seed_of(10**30, 1) < 2**63
    (3, 3000010, True)
    """
    seed = 0
    for counter in counters:
        seed = (1_000_003 * seed + counter) % 2**63
    return seed


def seeded(*counters: int) -> torch.Generator:
    """A generator on the CPU that these counters decide.

    >>> bool((torch.rand(2, generator=seeded(0, 1)) == torch.rand(2, generator=seeded(0, 1))).all())
    True
    """
    return torch.Generator().manual_seed(seed_of(*counters))


@contextmanager
def torch_seeded(*counters: int) -> Iterator[None]:
    """Inside, torch's own CPU generator starts from these counters; afterwards it is as it was before.

    For torch's layers, which draw their initial weights from it and take no generator.

    >>> with torch_seeded(0):
    ...     first = torch.rand(1)
    >>> with torch_seeded(0):
    ...     assert torch.rand(1) == first
    """
    # Not torch.manual_seed: that would reseed every accelerator too, and those are not restored here.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed_of(*counters))
        yield
