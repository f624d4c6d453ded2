"""RKL2 on whatever adds and multiplies: arrays of JAX, fields of PhiFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def rkl2(change: Callable[[Any], Any], u: Any, stages: int) -> Any:
    """One step; `cotwin.physics.finite_volume` has the formulas and their source."""
    b = [1 / 3 if j < 2 else (j * j + j - 2) / (2 * j * (j + 1)) for j in range(stages + 1)]
    w = 4 / (stages * stages + stages - 2)
    first = change(u)
    before, current = u, u + b[1] * w * first
    for j in range(2, stages + 1):
        mu, nu = (2 * j - 1) / j * b[j] / b[j - 1], -(j - 1) / j * b[j] / b[j - 2]
        after = mu * current + nu * before + mu * w * change(current) - (1 - b[j - 1]) * mu * w * first
        before, current = current, after + (1 - mu - nu) * u
    return current
