"""An experiment again and again, in thought: truths, and what would be measured of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.priors import Independent
from cotwin.estimation.problem import LeastSquares
from cotwin.parameters import Elementwise
from cotwin.seeds import seeded

Source = Literal["priors", "estimate"]
"""What truths are drawn from."""
PULLED = 0.03
"""Of an unknown's variance, the part that the prior of noisy starts may make where starts around the estimate do."""
STEPS = 20
"""Of Gauss-Newton, to a draw from a prior of a field; one where its residuals are linear."""
FARTHEST = 2.0
"""That a raw number is moved in one of them."""


@dataclass(frozen=True)
class Replicas:
    """D truths with what was measured of them, and what priors would say of them.

    problem: of which they are, with the estimate's noise and prior of the starts. source: what the truths are from.
    starts: what noisy starts are from; None where starts are exact.
    truth: points, (D, Z). values: (D, M), not finite where the rollout of a truth diverges.
    aside: of truths around an estimate, the residuals that the priors of parameters expect, (D, R); else None.
    """

    problem: LeastSquares
    source: Source
    starts: Source | None
    truth: Float[Tensor, "D Z"]
    values: Float[Tensor, "D M"]
    aside: Float[Tensor, "D R"] | None

    @classmethod
    def drawn(cls, found: Estimation, draws: int, seed: int) -> Replicas:
        """Truths from the priors where all unknowns have one that is proper, else around the estimate.

        From the priors: the starts from theirs too, so that truths lie in posteriors as by chance (simulation-based
        calibration, Talts et al., 2018). Exact starts stay as they are.

        Around the estimate: from Laplace's normal of the raw numbers and of the starts. Priors of parameters would
        pull all draws the same way there, whatever their truth; so each is taken for a measurement of the truth, and
        made again: its residual is zero at the truth but for noise of its own. Not so the prior of noisy starts: that
        starts lie about its centre as it says is what the integral over them supposes. Many numbers of a start do,
        around their estimates too; that few of them are what they are pulls all draws the same way. Where such a pull
        matters (`PULLED`), starts are drawn from their prior.
        """
        problem, generator = found.problem, seeded(seed)
        device = found.z.device

        def normal(*shape: int) -> Tensor:
            # Drawn on the CPU, so that a seed means the same on every device.
            return torch.randn(draws, *shape, generator=generator, dtype=torch.float64).to(device)

        whites = normal(len(problem.starts.guess), problem.starts.size)
        starts: Source = "priors"
        if source_of(found) == "priors":
            uniform = torch.rand(draws, len(problem.unknowns), generator=generator, dtype=torch.float64).to(device)
            raw = _from_priors(found, uniform, normal(problem.prior_residuals(found.z[None]).shape[1]))
            truth, aside = torch.cat([raw, whites.flatten(1)], dim=1), None
        else:
            truth, starts = _around(found, normal(len(problem.unknowns)), whites)
            expected = problem.prior_residuals(truth)
            aside = expected + normal(expected.shape[1])
        errors = normal(problem.observation.size)
        if problem.discrepancy is not None:
            errors = problem.discrepancy.plain(errors)
        values = problem.predicted(truth) + problem.deviation[problem.observation.channel] * errors
        return cls(problem, source_of(found), starts if problem.starts.size else None, truth, values, aside)

    @property
    def measured(self) -> Tensor:
        """Which draws have values, (K,): the others' truths diverge."""
        return self.values.isfinite().all(dim=1).nonzero().flatten()

    def together(self, which: Tensor) -> LeastSquares:
        """The problem of some of the draws, each with values of its own."""
        problem = self.problem.with_values(self.values[which])
        return problem if self.aside is None else problem.with_priors_aside(self.aside[which])

    def alone(self, index: int) -> LeastSquares:
        """The problem of one draw."""
        problem = self.problem.with_values(self.values[index])
        return problem if self.aside is None else problem.with_priors_aside(self.aside[index : index + 1])


def source_of(found: Estimation) -> Source:
    """From the priors where these determine all unknowns, and can be drawn from."""
    problem = found.problem
    for name, parameter in problem.unknowns.parameters.items():
        if name not in problem.priors:
            return "estimate"
        if isinstance(parameter, Elementwise) and not isinstance(problem.priors[name], Independent):
            return "estimate"
    idle = problem.unknowns.idle(found.z[: len(problem.unknowns)])
    known = FullInformation.of(problem.prior_jacobian(found.z), problem.unknowns.labels, idle)
    return "estimate" if bool(known.blind.any()) else "priors"


def _around(
    found: Estimation, raws: Float[Tensor, "D N"], whites: Float[Tensor, "D B n"]
) -> tuple[Float[Tensor, "D Z"], Source]:
    """And what the starts are from."""
    problem = found.problem
    assert isinstance(found.information, FullInformation)
    covariance = found.information.covariance()
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        raise ValueError("the estimate's covariance is singular to rounding: the data say nothing of an unknown.")
    linear = problem.linearise(found.z[None])
    truth = found.z + linear.following(raws @ factor.mT)
    raw, white = problem.parts(truth)
    # By the inverse of all of JᵀJ: how far each unknown moves with what the prior says of each number of a start.
    pull = covariance @ linear.following(torch.eye(len(covariance)).to(covariance))[:, len(covariance) :]
    if bool((pull.square().sum(dim=1) > PULLED * covariance.diagonal()).any()):
        return torch.cat([raw, whites.flatten(1)], dim=1), "priors"
    return torch.cat([raw, (white + linear.scattered(whites)).flatten(1)], dim=1), "estimate"


def _from_priors(
    found: Estimation, uniform: Float[Tensor, "D N"], normal: Float[Tensor, "D R"]
) -> Float[Tensor, "D N"]:
    """Of numbers of their own by the quantiles. Of fields where the prior's residuals are nearest to white noise.

    That is exact where they are linear in the raw numbers, and nearly elsewhere.
    Source: Bardsley et al. (2014), SIAM J. Sci. Comput. 36, randomise then optimise.
    """
    unknowns = found.problem.unknowns
    raw = found.z[: len(unknowns)].repeat(len(uniform), 1)
    first = 0
    for name, prior in found.problem.priors.items():
        parameter, own = unknowns.parameters[name], unknowns.place(name)
        count = prior.residuals(unknowns.value(name, raw[0])).numel()
        white, first = normal[:, first : first + count], first + count
        if isinstance(parameter, Elementwise) and isinstance(prior, Independent):
            q = uniform[:, own].unflatten(1, (*unknowns.value(name, raw[0]).shape, 1))[..., 0]
            values = prior.quantile(q.clamp(1e-12, 1 - 1e-12), parameter.lower, parameter.upper)
            raw[:, own] = parameter.to_raw(values).reshape(len(raw), -1).to(raw)
            continue

        def residuals(at: Tensor, name: str = name, prior: torch.nn.Module = prior) -> Tensor:
            return prior.residuals(unknowns.value(name, at).double()).flatten()  # type: ignore[no-any-return, operator]

        for _ in range(STEPS):
            slope = torch.func.vmap(torch.func.jacfwd(residuals))(raw)[:, :, own]
            away = torch.func.vmap(residuals)(raw) - white
            step = -(torch.linalg.pinv(slope) @ away[..., None])[..., 0]
            raw[:, own] += step.clamp(-FARTHEST, FARTHEST)
    return raw.detach()
