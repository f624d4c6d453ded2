"""How much generated data count relative to real data, decided before each phase."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.training.held_out import FEWEST

ELSEWHERE = 0.2
"""Standard deviation of the logarithm of the ratio of two models' errors from trajectory to trajectory, where too few
are there to show it."""


class Standing(NamedTuple):
    """How a teacher and its learner stand before a phase.

    teacher, learner: (U,), held-out errors of each on the same parts of the real data (`Errors.of_parts`).
    trusted: whether doubt speaks for the teacher. The simulator is; the surrogate is not, since it knows nothing of
        the parameters that the real data do not say.
    spread: known from elsewhere, of the logarithm of the ratio of their errors over all that is held out.
    """

    teacher: Float[Tensor, " U"]
    learner: Float[Tensor, " U"]
    trusted: bool
    spread: float = 0.0


Alpha = Callable[[int, Standing], float]
"""(cycle, how teacher and learner stand) -> alpha of the coming phase."""


def elsewhere(trajectories: int) -> float:
    """The spread that so many held-out trajectories leave unseen: what holds on one need not hold on another."""
    return ELSEWHERE / math.sqrt(trajectories) if trajectories < FEWEST else 0.0


def fixed(value: float) -> Alpha:
    """The same influence always."""
    return lambda cycle, standing: value


def linear(first: float, last: float, cycles: int) -> Alpha:
    """From `first` in the first cycle to `last` in the last.

    >>> alpha, standing = linear(4.0, 0.0, cycles=5), Standing(torch.ones(3), torch.ones(3), True)
    >>> [alpha(cycle, standing) for cycle in range(5)]
    [4.0, 3.0, 2.0, 1.0, 0.0]
    """
    return lambda cycle, standing: first + (last - first) * min(cycle / max(cycles - 1, 1), 1.0)


def auto(cap: float, level: float = 0.95) -> Alpha:
    """Trust is earned on held-out real data: alpha = cap · max(0, 1 − r²).

    r is an end of the interval of the ratio e_teacher / e_learner: of a trusted teacher the lower end, of another
    the upper end. So the simulator teaches until it is shown to be worse, the surrogate only while it is shown to be
    better, and the better they are, the closer alpha comes to the cap. The interval is Student's, on the logarithms
    of the ratios of all parts; of one part it has no ends. Inverse squares of errors, 1/r² − 1, would fall to nothing
    where both come near the noise of the held-out data, which is when a simulator without noise is worth most.

    cap: most that a simulator's windows may count; a surrogate's at most as much as the real data.
    level: of the interval, two-sided.

    >>> small, large = torch.tensor([0.1, 0.12, 0.09]), torch.tensor([0.31, 0.33, 0.29])
    >>> alpha = auto(4.0)
    >>> [round(alpha(0, Standing(*errors)), 2) for errors in ((small, large, True), (small, large, False))]
    [3.71, 0.83]
    >>> [alpha(0, Standing(large, small, trusted)) for trusted in (True, False)]
    [0.0, 0.0]
    """

    def alpha(cycle: int, standing: Standing) -> float:
        low, high = interval(standing.teacher, standing.learner, level, standing.spread)
        ratio = low if standing.trusted else high
        most = cap if standing.trusted else min(cap, 1.0)
        return 0.0 if ratio >= 1 or math.isnan(ratio) else most * (1 - ratio**2)

    return alpha


def interval(
    above: Float[Tensor, " U"], below: Float[Tensor, " U"], level: float, spread: float = 0.0
) -> tuple[float, float]:
    """Of the ratio of two models' errors, geometric mean over parts, by Student's t on its logarithms.

    spread: the least standard deviation of that mean's logarithm.
    A model that diverges is the worse one, whatever the level; two that do are (0, ∞), as is a single part.
    """
    if bool(above.isinf().any()) or bool(below.isinf().any()):
        worse, better = bool(above.isinf().any()), bool(below.isinf().any())
        return (0.0, math.inf) if worse and better else ((math.inf, math.inf) if worse else (0.0, 0.0))
    tiny = torch.finfo(torch.float64).tiny  # an exact model's error is zero
    logs = above.double().clamp(min=tiny).log() - below.double().clamp(min=tiny).log()
    count = len(logs)
    if count < 2:
        return 0.0, math.inf
    half = float(scipy.stats.t.ppf(0.5 + level / 2, count - 1)) * float(logs.std()) / math.sqrt(count)
    half = max(half, float(scipy.stats.norm.ppf(0.5 + level / 2)) * spread)
    return tuple(_exp(float(logs.mean()) + side * half) for side in (-1, 1))  # type: ignore[return-value]


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
