"""How large a discrepancy is: what makes the measured values most probable.

The linear problem around a point is all it takes. Unknowns and starts integrated out,

−log p(y) = ½ ‖r‖² + ½ log det Σ + ½ log det (JᵀJ) + constant,

r what is left by the best fit, priors and starts among r and J, both whitened by Σ = σ² + cov δ.
Source: Patterson & Thompson (1971), Biometrika 58, restricted likelihood; Kennedy & O'Hagan (2001), J. R. Stat. Soc.
B 63, section 4.5, for a deviation that is held at its most probable value.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation import noise
from cotwin.estimation.discrepancy import Discrepancy, Process
from cotwin.estimation.ensemble_kalman import EnsembleKalman
from cotwin.estimation.information import FullInformation
from cotwin.estimation.known import MOST_BY_JACOBIAN
from cotwin.estimation.levenberg_marquardt import Search
from cotwin.estimation.linear import Linearised
from cotwin.estimation.noise import first_guess
from cotwin.estimation.problem import LeastSquares

LONGER = 2.0
"""Times as long, for which intervals are to hold too: how smooth an error is, is hardly known."""
LITTLE = 0.02
"""Of log p, for which it is not worth while to change anything."""
ROUNDING = 1e-10
"""Of what values vary by: what is left below that is rounding, and no error of a simulator."""
EVALUATIONS = 60
"""For each number that is sought."""
FAR, NEAR = 1.0, 0.2
"""How far a search looks about in logarithms, at first and from numbers that it found before."""


def admit(problem: LeastSquares, prior: Discrepancy | None, search: Search | None) -> LeastSquares:
    """The same problem with a discrepancy, if any, of none as yet. Raises ValueError where none can be admitted."""
    if prior is None:
        return problem
    if problem.unknowns.closures:
        raise ValueError(
            "weights of networks are unknown, and they explain what a discrepancy would; leave one of both out."
        )
    if len(problem.unknowns) > MOST_BY_JACOBIAN:
        raise ValueError(
            f"a discrepancy beside {len(problem.unknowns)} unknown numbers is too much; the most are "
            f"{MOST_BY_JACOBIAN}. Estimate a coarser field, or leave the discrepancy out."
        )
    if isinstance(search, EnsembleKalman):
        raise ValueError(
            "an ensemble takes errors as independent, and with a discrepancy they are not; search by derivatives, or "
            "leave the discrepancy out."
        )
    usual = noise.first_guess(problem).nan_to_num(nan=1.0)
    return problem.admitting(Process.absent(prior, problem.observation, usual))


def most_likely(problem: LeastSquares, linear: Linearised, noise_is_known: bool) -> LeastSquares:
    """With the discrepancy, and noise, that make the values most probable; the same problem where that gains little.

    linear: around a point.
    """
    known = problem.discrepancy
    assert known is not None
    if not bool(linear.finite.all()):
        return problem
    likelihood = Likelihood(problem, linear, noise_is_known)
    alone, none = likelihood.noise_alone(), replace(known, ratio=torch.zeros_like(known.ratio))
    if bool((alone < ROUNDING * first_guess(problem))[likelihood.seen].all()):
        return problem
    if known.present:
        found = [likelihood.sought(problem.deviation, known, NEAR)]
    else:
        # Either some of what is left is the simulator's error, or most of it.
        first = replace(known, ratio=torch.where(likelihood.seen, 0.5, 0.0).to(alone))
        found = [likelihood.sought(alone, first, FAR)]
        if not noise_is_known:
            found.append(likelihood.sought(alone / 4, replace(first, ratio=8 * first.ratio), FAR))
    level, process = min(found, key=lambda one: likelihood.cost(*one))
    least = likelihood.cost(level, process) + LITTLE
    if min(likelihood.cost(alone, none), likelihood.cost(level, none)) <= least:
        # Of the noise alone, `noise.remaining` has the last word.
        return problem.with_noise(alone).admitting(none) if known.present else problem
    if likelihood.cost(level, process) > likelihood.cost(problem.deviation, known) - LITTLE:
        return problem
    return problem.with_noise(level).admitting(process)


def with_longer(
    problem: LeastSquares, z: Float[Tensor, " Z"], linear: Linearised, noise_is_known: bool
) -> tuple[Float[Tensor, " N"], FullInformation]:
    """Where the unknowns would be with length and duration `LONGER` times as long, and what would be known of them.

    By one Gauss-Newton step, from the problem around z.
    """
    assert problem.discrepancy is not None
    longer = problem.discrepancy.stretched(problem.observation, LONGER)
    bare = linear.with_rows(problem.discrepancy.plain)
    twin = most_likely(problem.admitting(longer), bare.with_rows(longer.whitened), noise_is_known)
    assert twin.discrepancy is not None
    there = Likelihood(problem, linear, noise_is_known).linear(twin.deviation, twin.discrepancy)
    raw = (z + there.solve(torch.zeros_like(there.cost))[0])[: len(problem.unknowns)]
    return raw, FullInformation.of(there.jacobian()[0], problem.unknowns.labels, problem.unknowns.idle(raw))


class Likelihood:
    """−log p(y) of a linear problem by σ and τ, up to a constant.

    σ where it is not known, and of channels of which something is seen.
    """

    def __init__(self, problem: LeastSquares, linear: Linearised, noise_is_known: bool) -> None:
        known = problem.discrepancy
        assert known is not None
        self.problem, self.noise_is_known = problem, noise_is_known
        self.channel = problem.observation.channel
        self.bare = linear.with_rows(known.plain)
        self.seen = torch.zeros_like(problem.deviation, dtype=torch.bool)
        self.seen[self.channel.unique()] = True

    def noise_alone(self) -> Float[Tensor, " C"]:
        """Of each channel, if there is no discrepancy."""
        if self.noise_is_known:
            return self.problem.deviation
        left = self._after(self.bare).square()
        total, counts = (
            torch.zeros_like(self.problem.deviation).index_add(0, self.channel, part)
            for part in (left, 1 - self.bare.leverage()[0])
        )
        return self.problem.deviation * (total / counts).sqrt()

    def linear(self, noise: Float[Tensor, " C"], process: Process) -> Linearised:
        """The problem with such errors."""
        change = (self.problem.deviation / noise)[self.channel]
        return self.bare.with_rows(lambda values: process.whitened(values * change))

    def cost(self, noise: Float[Tensor, " C"], process: Process) -> float:
        """−log p(y) − log p(τ)."""
        linear = self.linear(noise, process)
        left = linear.cost_after(linear.solve(torch.zeros_like(linear.cost)))
        known: Tensor = torch.linalg.qr(linear.jacobian()[0], mode="r")[1].diagonal().abs()
        tiny = torch.finfo(known.dtype).tiny
        total = left + linear.half_log_determinant() + known.clamp(min=tiny).log().sum()
        total = total + process.half_log_determinant() + noise[self.channel].log().sum()
        large = (process.ratio * noise / process.scale)[self.seen]
        return float(total) + float(large.square().sum()) / 2

    def sought(self, noise: Float[Tensor, " C"], process: Process, far: float) -> tuple[Float[Tensor, " C"], Process]:
        """Noise and discrepancy of the least cost, from here."""
        parts = [(process.ratio * noise)[self.seen].clamp(min=torch.finfo(noise.dtype).tiny).log()]
        parts += [] if self.noise_is_known else [noise[self.seen].log()]
        x = torch.cat(parts).cpu().numpy()

        def unlikely(at: Float[np.ndarray, " K"]) -> float:
            return self.cost(*self._meant(at, noise, process))

        found = scipy.optimize.minimize(
            unlikely,
            x,
            method="Nelder-Mead",
            options={
                "initial_simplex": np.vstack([x, x + far * np.eye(len(x))]),
                "maxfev": EVALUATIONS * len(x),
                "xatol": 0.05,
                "fatol": LITTLE / 4,
            },
        )
        return self._meant(found.x, noise, process)

    def _meant(self, x: Float[np.ndarray, " K"], noise: Tensor, process: Process) -> tuple[Tensor, Process]:
        values, count = torch.as_tensor(x).exp().to(noise), int(self.seen.sum())
        level = noise.clone()
        if not self.noise_is_known:
            level[self.seen] = values[count:]
        ratio = torch.zeros_like(noise)
        ratio[self.seen] = values[:count] / level[self.seen]
        return level, replace(process, ratio=ratio)

    def _after(self, linear: Linearised) -> Float[Tensor, " M"]:
        """The misfit that the best fit leaves."""
        step = linear.solve(torch.zeros_like(linear.cost))
        return linear.misfit_after(step)[0]
