"""Ensemble Kalman inversion: a search by rollouts alone, for programs whose cost has steps or noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.ensemble import Ensemble, Regression
from cotwin.estimation.levenberg_marquardt import Solution
from cotwin.estimation.linear import LARGEST_MOVE, half_square
from cotwin.estimation.multi_start import sobol_points
from cotwin.estimation.noise import first_guess
from cotwin.estimation.problem import LeastSquares
from cotwin.stepper import DivergenceError, ProgramError

LONGEST = 0.5
"""Longest step in the time of inversion: at most half of what is known comes from one iteration."""
STEADY = 1.6
"""Factor by which an ensemble that has settled may still widen or narrow in an iteration, along any direction."""
NARROW = 0.1
"""Of the posterior's variance, that of an ensemble where the problem is curved within the posterior."""
REMEMBERED = 8
"""Iterations since the ensemble settled, whose members are regressed together."""
WIDER = 10.0
"""Most by which the ensemble's variance is made larger, where the program's noise hides slopes within it."""
NOTICED = 0.5
"""Of a standard deviation, by which the program's noise may still move an estimate that is called converged."""
LEFT = 1e-7
"""Of the way to a bound, that is left to an ensemble which the data push there."""
HALVINGS = 8
"""Times that members which diverge are brought nearer to the others."""
HOPELESS = 1e4
"""Times the least misfit, from which on a member passes for one that diverges."""
BEYOND_CHANCE = 3.0
"""Deviations of a cost by the program's noise, by which a member's must be lower to be more than luck."""


@dataclass(frozen=True)
class EnsembleKalman:
    """A `Search` that moves an ensemble of points, each by rollouts alone, without a derivative.

    members: J; if not given twice as many as there are unknowns, at least 16. They must be more than the unknowns,
        since an ensemble never leaves the space that its members span.
    iterations: at most so many, of J rollouts each.
    tolerance: a search has converged when the mean is within so many standard deviations of where the cost is least
        by the linear model, and the ensemble is as wide as the unknowns are uncertain.
    seed: of the first members.

    With A and R the members' and residuals' differences from their means over √(J − 1), priors' residuals among
    these, an iteration of length τ takes the Kalman step (I + τ R Rᵀ)⁻¹ in the space of the members,

    z̄ ← z̄ − Aᵀ (I + τ R Rᵀ)⁻¹ τ R r̄,    A ← (I + τ R Rᵀ)^(−1/2) A / √(1 − τ),

    so that the information C⁻¹ of the ensemble becomes (1 − τ) (C⁻¹ + τ JᵀJ). It settles at the minimum of the cost
    with 1/(1 − τ) times the posterior's variance, not less: a program's steps and noise then stay smaller than what
    they are compared with. R is what a regression on the members keeps of it (`Regression`), so that their noise is
    not taken for information. It is never wider than at first. τ is by the data misfit, Φ = ½ ‖r‖²,
    τ = max(Q/(2 mean Φ), (Q/(2 var Φ))^½), at most one half.
    Where the regression leaves much, members are brought near to each other once. What vanishes is curvature, and
    they stay near; what does not is the program's own noise, and they go farther apart than before.
    Where the noise is not known it follows from the mean's residuals in each iteration.
    Source: Iglesias, Law & Stuart (2013), Inverse Problems 29; Iglesias & Yang (2021), Inverse Problems 37 for τ;
    Chada, Stuart & Tong (2020), SIAM J. Numer. Anal. 58 for the priors; Huang, Schneider & Stuart (2022), J. Comput.
    Phys. 463 for the width; Bishop, Etherton & Majumdar (2001), Mon. Weather Rev. 129 for the transform.
    """

    members: int | None = None
    iterations: int = 30
    tolerance: float = 0.1
    seed: int = 0

    def __call__(self, problem: LeastSquares, z: Float[Tensor, "P Z"]) -> Solution:
        found = [self.search(problem, self.first(problem, one), noise_is_known=True) for one in z]
        return Solution(
            torch.stack([one.z for one in found]),
            z.new_tensor([one.cost for one in found]),
            torch.tensor([one.converged for one in found], device=z.device),
            sum(one.iterations for one in found),
        )

    def first(self, problem: LeastSquares, middle: Float[Tensor, " Z"]) -> Float[Tensor, "J Z"]:
        """Members through priors or ranges, around a point. Raises ValueError for what no ensemble can search."""
        size = len(problem.unknowns)
        if problem.starts.size:
            raise ValueError(
                f"ensembles take starts as exact, and these have {problem.size - size} numbers of their own to "
                "estimate; give exact starts (estimation.starts=exact), or search by levenberg_marquardt."
            )
        if problem.unknowns.closures:
            raise ValueError("the weights of networks are too many for an ensemble; search by adam.")
        members = max(16, 2 * size) if self.members is None else self.members
        if members <= size:
            raise ValueError(
                f"an ensemble of {members} members stays in the {max(members - 1, 0)} directions that they span, and "
                f"there are {size} unknowns; give {size + 1} members or more, rather {2 * size}."
            )
        return sobol_points(problem, members, self.seed) + (middle - problem.present()[0])

    def search(self, problem: LeastSquares, z: Float[Tensor, "J Z"], noise_is_known: bool) -> Settled:
        """From members to the best fit.

        Raises DivergenceError where too few members are finite, and ProgramError, with the best of what was finished.
        """
        widest, finished = z.std(dim=0), list[Ensemble]()
        settled, width, before = list[Ensemble](), 1.0, 0.0
        try:
            for taken in range(1, self.iterations + 1):
                finished.append(_finite(problem, z))
                if not noise_is_known:
                    problem = _with_noise(problem, finished[-1].seen(problem))
                seen = finished[-1].seen(problem)
                if before and width == NARROW and seen.chance > before / 2:
                    width = min(1 + before, WIDER)
                z, change = _stepped(seen, widest, width)
                z = _within_bounds(problem, seen.middle, z)
                if change > STEADY:
                    settled = []
                    continue
                if width == 1.0 and seen.uncertainty > self.tolerance:
                    # Is it curvature, which vanishes in a narrow ensemble, or the program's own noise?
                    width, before = NARROW, seen.chance
                    z = z.mean(dim=0) + NARROW**0.5 * (z - z.mean(dim=0))
                    continue
                settled = [*settled[1 - REMEMBERED :], finished[-1]]
                pooled = Ensemble.pooled(settled)
                chance = pooled.seen(problem).uncertainty
                rests = seen.farthest <= max(self.tolerance, 3 * seen.uncertainty)
                if (rests or _pushed(problem, seen, self.tolerance)) and chance <= NOTICED:
                    return _settled(problem, pooled, True, taken)
            return _settled(problem, Ensemble.pooled(settled or finished[-1:]), False, self.iterations)
        except ProgramError as error:
            raise ProgramError(f"{error} {_so_far(problem, finished)}") from error


@dataclass(frozen=True)
class Settled:
    """Where an ensemble came to rest.

    problem: with the noise that follows from it. z: the best fit. cost: there. ensemble: the last.
    """

    problem: LeastSquares
    z: Float[Tensor, " Z"]
    cost: float
    converged: bool
    iterations: int
    ensemble: Ensemble


def _stepped(seen: Regression, widest: Float[Tensor, " N"], width: float) -> tuple[Float[Tensor, "J N"], float]:
    """The members after an iteration, and the factor by which they widened or narrowed where it is most.

    width: by how much their variance is to be larger than the posterior's.
    """
    size = (seen.misfit.shape[1] + seen.prior.shape[1]) / 2
    tau = min(LONGEST, max(size / float(seen.costs.mean()), (size / float(seen.costs.var())) ** 0.5))
    middle = seen.moved(-tau * seen.slope / (width + tau * seen.information))
    scale = ((1 - tau) * (1 + tau * seen.information / width)) ** -0.5
    apart = seen.directions @ (scale[:, None] * (seen.directions.mT @ seen.apart))
    # Along what the data say nothing of it would widen without an end.
    left, sizes, right = torch.linalg.svd(apart / widest, full_matrices=False)
    apart = left @ (sizes.clamp(max=1.0)[:, None] * right) * widest
    factors = (seen.directions.mT @ apart).norm(dim=1) / (seen.directions.mT @ seen.apart).norm(dim=1)
    change = max(float(factors.max()), 1 / float(factors.min()))
    return middle + apart * (len(seen.z) - 1) ** 0.5, change


def _within_bounds(problem: LeastSquares, before: Float[Tensor, " N"], z: Float[Tensor, "J Z"]) -> Tensor:
    """Members whose mean goes no farther from before than the linear model reaches, and not to a bound itself."""
    middle, farthest = z.mean(dim=0), torch.where(problem.unknowns.bounded, LARGEST_MOVE, torch.inf)
    kept = middle.clamp(before - farthest, before + farthest).clamp(*problem.unknowns.ends(LEFT))
    return z if torch.equal(kept, middle) else z + (kept - middle)


def _pushed(problem: LeastSquares, seen: Regression, tolerance: float) -> bool:
    """Whether the mean is only far from the best of the linear model because that lies beyond a bound."""
    best = seen.best()
    kept = best.clamp(*problem.unknowns.ends(LEFT))
    if torch.equal(kept, best):
        return False
    here, there = problem.cost(torch.stack([seen.middle, kept])).tolist()
    return bool(abs(here - there) <= tolerance**2 / 2)


def _finite(problem: LeastSquares, z: Float[Tensor, "J Z"]) -> Ensemble:
    """Members whose rollouts are finite: those that diverge are brought half as near to the others."""
    predicted = problem.predicted(z)
    for _ in range(HALVINGS):
        size = problem.weighted(predicted).square().mean(dim=1).sqrt()
        finite = size.isfinite()
        # Beside one that is about to diverge, a regression sees nothing of the others.
        finite &= size <= HOPELESS * size[finite].min().clamp(min=1.0) if bool(finite.any()) else finite
        if bool(finite.all()):
            return Ensemble(z, predicted)
        if not bool(finite.any()):
            break
        nearer = (z[~finite] + z[finite].mean(dim=0)) / 2
        z, predicted = z.index_put((~finite,), nearer), predicted.index_put((~finite,), problem.predicted(nearer))
    raise DivergenceError(
        f"{int((~finite).sum())} of {len(z)} members of the ensemble diverge; start from other values, narrow the "
        "bounds or priors, or take more substeps."
    )


def _with_noise(problem: LeastSquares, seen: Regression) -> LeastSquares:
    """σ² of each channel, from the mean's residuals."""
    channel, size = problem.observation.channel, problem.observation.size
    nothing = seen.z.new_zeros(problem.observation.layout.channels)
    total = nothing.index_add(0, channel, seen.left.square())
    counts = nothing.index_add(0, channel, torch.ones_like(seen.left))
    # Each unknown takes one value away.
    counts = counts * max(1 - seen.z.shape[1] / size, 1 / size)
    level = problem.deviation * (total / counts).sqrt()
    return problem.with_noise(torch.maximum(level, torch.finfo(problem.dtype).eps * first_guess(problem)))


def _settled(problem: LeastSquares, ensemble: Ensemble, converged: bool, taken: int) -> Settled:
    """The linear model's minimum, unless a member fits better by more than the program's noise may make of it."""
    seen = ensemble.seen(problem)
    z = seen.best().clamp(*problem.unknowns.ends(LEFT))
    cost = float(problem.cost(z[None])[0])
    costs = half_square(problem.weighted(ensemble.predicted), seen.prior)
    noise = seen.departure * (2 * cost) ** 0.5 + seen.departure**2 * (problem.observation.size / 2) ** 0.5
    if not float(costs.min()) >= cost - BEYOND_CHANCE * noise - 1:
        least = int(costs.argmin())
        return Settled(problem, ensemble.z[least], float(costs[least]), False, taken, ensemble)
    return Settled(problem, z, cost, converged, taken, ensemble)


def _so_far(problem: LeastSquares, finished: list[Ensemble]) -> str:
    if not finished:
        return "No iteration of the ensemble had been finished."
    last = finished[-1]
    values = problem.unknowns.naturally(last.z[int(last.seen(problem).costs.argmin())])
    known = ", ".join(f"{label} {value:.6g}" for label, value in zip(problem.unknowns.labels, values, strict=True))
    return f"The best member of the last iteration that was finished: {known}. Begin there."
