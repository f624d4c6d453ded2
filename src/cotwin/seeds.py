"""Where everything random begins: generators seeded by counters, never by what ran before."""

from __future__ import annotations

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
