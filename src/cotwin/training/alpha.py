"""How much generated data count relative to real data, decided before each phase."""

from __future__ import annotations

from collections.abc import Callable

Alpha = Callable[[int, float, float], float]
"""(cycle, the teacher's held-out error, the learner's held-out error) -> alpha of the coming phase."""


def fixed(value: float) -> Alpha:
    """The same influence always."""
    return lambda cycle, teacher_error, learner_error: value


def linear(first: float, last: float, cycles: int) -> Alpha:
    """From `first` in the first cycle to `last` in the last.

    >>> alpha = linear(4.0, 0.0, cycles=5)
    >>> [alpha(cycle, 0.1, 0.2) for cycle in range(5)]
    [4.0, 3.0, 2.0, 1.0, 0.0]
    """
    return lambda cycle, teacher_error, learner_error: first + (last - first) * min(cycle / max(cycles - 1, 1), 1.0)


def auto(cap: float) -> Alpha:
    """Trust is earned on held-out real data: alpha = cap · max(0, 1 − (e_teacher / e_learner)²).

    A teacher that is no better than its learner does not teach; the better it is, the closer alpha comes to
    the cap. Inverse error variances alone would not do, since a model's errors are systematic.

    >>> alpha = auto(4.0)
    >>> alpha(0, 0.5, 0.3), alpha(0, 0.1, 0.2)
    (0.0, 3.0)
    """

    def alpha(cycle: int, teacher_error: float, learner_error: float) -> float:
        if not teacher_error < learner_error:
            return 0.0
        return cap * (1 - (teacher_error / learner_error) ** 2)

    return alpha
