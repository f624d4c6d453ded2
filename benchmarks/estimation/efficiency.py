"""Errors of estimates against the least that any unbiased estimate can have."""

from __future__ import annotations

import math

import torch
from problems import Problem

from cotwin.estimation import levenberg_marquardt

GOAL = 1.15


def measure_efficiency(problem: Problem, draws: int) -> list[dict[str, float | str]]:
    """Root-mean-square error over the draws, in natural units, by the Cramér-Rao bound, for each unknown.

    The bound is from the Jacobian at the truth. The ratio of as many draws has a relative standard error of
    1/√(2 draws), also where every estimate is as good as can be.
    """
    values = problem.values(draws)
    every = problem.least_squares(values[0]).with_values(values)
    start = every.present()
    found = levenberg_marquardt(every, start.repeat(draws, 1))
    exact = every.with_values(values[:1]).linearise(problem.truth.log()[None])
    covariance = torch.linalg.inv((exact.jacobian().mT @ exact.jacobian())[0])
    # d value = value · d logarithm.
    bound = problem.truth * covariance.diagonal().sqrt()
    errors = found.z.exp() - problem.truth
    ratios = errors.square().mean(dim=0).sqrt() / bound
    return [
        {
            "unknown": label,
            "deviation": float(bound[index] / problem.truth[index]),
            "ratio": float(ratios[index]),
            "error": float(ratios[index]) / math.sqrt(2 * draws),
            "converged": int(found.converged.sum()),
        }
        for index, label in enumerate(every.unknowns.labels)
    ]


def report_efficiency(problem: Problem, draws: int) -> None:
    for row in measure_efficiency(problem, draws):
        print(
            f"| {problem.name} | {row['unknown']} | {row['deviation']:.2%} | {row['ratio']:.2f} ± {row['error']:.2f} "
            f"| {row['converged']} of {draws} |"
        )
