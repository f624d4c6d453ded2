"""The posterior density of an estimate, in numbers in which Laplace's normal is a standard one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.posterior.langevin import Density, Places
from cotwin.estimation.priors import Prior


class Target(Density):
    """log p(θ, ε | y, σ) = log p(y | θ, ε, σ) + log p(θ) − ½ ‖ε‖² + constant, of raw numbers θ and starts ε.

    log p(y | θ, ε, σ) = −½ ‖(O(rollout(θ, s(ε))) − y)/σ‖². Noise that was estimated has Jeffreys' prior 1/σ_c² in
    each channel, and is drawn between steps: Σ residual² / σ_c² is χ² with as many degrees of freedom as the channel
    has values M_c (Gelman et al. (2013), Bayesian Data Analysis, section 14.2). Integrated out (`marginal`) it makes
    −Σ_c M_c/2 log Σ residual² of the likelihood.
    log p(θ): flat in the raw numbers without a prior. A prior's density is per unit of what `Prior.measure` says, so
    that to −½ ‖residuals(v)‖² comes log √det(KᵀK), K the derivative of the measure to the raw numbers: of the change
    of variables, and for fields of few coefficients of the surface that they make.
    Directions along which no parameter changes are held loosely to the estimate.

    x: z = z₀ + T x, with T Tᵀ = (JᵀJ)⁻¹ at the estimate z₀, as `Linearised` has it: of the raw numbers, the starts
    following as they best do, and of each start by itself.
    The slope is Tᵀ Jᵀ r, the residuals r at each place with the Jacobian J of the estimate. So a place takes one
    rollout, and where the problem is linear the slope is exact.
    given: σ² of each channel, in units of the estimate's; ones where the noise is known.
    """

    def __init__(self, found: Estimation, information: FullInformation) -> None:
        problem = found.problem
        nothing = torch.zeros_like(problem.tilt)
        # What integrates starts out in the cost is left away: here that is done by sampling them.
        self.problem, self.middle = problem.tilted(nothing, nothing), found.z
        self.linear = found.linearised(self.problem)
        self.size = len(problem.unknowns)
        self.idle = float(information.values[0]) * problem.unknowns.idle(found.z[: self.size])
        self.by_raw = self.linear.following(information.directions / information.values[:, None])
        self.factors = (
            [self._factor(index) for index in range(len(problem.starts.guess))] if problem.starts.size else []
        )
        channel = problem.observation.channel
        levels = torch.zeros(problem.observation.layout.channels, dtype=torch.float64, device=found.z.device)
        self.channel, self.counts = channel, levels.index_add(0, channel, torch.ones_like(problem.values))
        self.noise_is_known = not found.noise_estimated

    def at(self, x: Float[Tensor, "P Z"], given: Float[Tensor, "P C"]) -> Places:
        return self._places(x, self.problem.misfit(self.place(x)), given)

    def drawn(self, here: Places, generator: torch.Generator) -> Places:
        if self.noise_is_known:
            return here
        normal = torch.randn(here.seen.shape, generator=generator, dtype=torch.float64).to(here.x)
        return self._places(here.x, here.seen, self.squares(here.seen) / self.squares(normal))

    def marginal(self, places: Places) -> Float[Tensor, " P"]:
        """log p(θ, ε | y), estimated noise integrated out."""
        if self.noise_is_known:
            return places.log
        squares = self.squares(places.seen)
        conditional = 0.5 * (squares / places.given).nan_to_num().sum(dim=1)
        return places.log + conditional - 0.5 * torch.xlogy(self.counts, squares).sum(dim=1)

    def begin(self, x: Float[Tensor, "P Z"]) -> Places:
        """With the noise of the estimate."""
        return self.at(x, x.new_ones(len(x), len(self.counts)))

    def _places(self, x: Float[Tensor, "P Z"], misfit: Float[Tensor, "P M"], given: Float[Tensor, "P C"]) -> Places:
        raw, white = self.problem.parts(self.place(x))
        by_prior, prior = self._prior(raw)
        weight = 1 / given[:, self.channel]
        log = -0.5 * ((misfit.square() * weight).sum(dim=1) + white.square().sum(dim=(1, 2))) - prior
        slope = self._slope(misfit * weight, by_prior, white)
        sound = log.isfinite() & slope.isfinite().all(dim=1)
        log, slope = torch.where(sound, log, -torch.inf), torch.where(sound[:, None], slope, 0.0)
        # Of all values together: exact for one channel and no priors.
        scale = (given.nan_to_num() * self.counts).sum(dim=1).div(self.counts.sum()).sqrt()
        return Places(x, log, slope, misfit, given, scale)

    def place(self, x: Float[Tensor, "P Z"]) -> Float[Tensor, "P Z"]:
        """z of x."""
        moved = self.middle + x[:, : self.size] @ self.by_raw
        _, white = self.problem.parts(x)
        own = [
            torch.linalg.solve_triangular(one.mT, white[:, index].mT, upper=True).mT
            for index, one in enumerate(self.factors)
        ]
        return moved + torch.cat([torch.zeros_like(x[:, : self.size]), *own], dim=1)

    @property
    def at_once(self) -> int:
        """Places whose rollouts take no more memory than one batch."""
        return self.problem.differentiable_at_once

    def squares(self, misfit: Float[Tensor, "P M"]) -> Float[Tensor, "P C"]:
        """Of the residuals of each channel, in units of the noise of the estimate."""
        nothing = misfit.new_zeros(len(misfit), len(self.counts))
        return nothing.index_add(1, self.channel, misfit.square())

    def _prior(self, raw: Float[Tensor, "P N"]) -> tuple[Float[Tensor, "P N"], Float[Tensor, " P"]]:
        """−log p(θ) and, before it, its slope."""
        held = (raw - self.middle[: self.size]) @ self.idle.mT
        slope, height = held @ self.idle, 0.5 * held.square().sum(dim=1)
        if self.problem.priors:
            own_slope, own_height = torch.func.vmap(torch.func.grad_and_value(self._priors))(raw)
            slope, height = slope + own_slope, height + own_height
        return slope, height

    def _priors(self, raw: Float[Tensor, " N"]) -> Float[Tensor, ""]:
        """½ ‖residuals‖² − log √det(KᵀK), all priors together."""
        unknowns, total = self.problem.unknowns, raw.new_zeros(())
        for name, prior in self.problem.priors.items():
            place = unknowns.place(name)
            idle = self.idle[:, place]

            def measured(at: Tensor, name: str = name, prior: Prior = prior) -> Tensor:
                return prior.measure(unknowns.value(name, at)).flatten()

            slope = torch.func.jacfwd(measured)(raw)[:, place]
            volume = 0.5 * torch.linalg.slogdet(slope.mT @ slope + idle.mT @ idle)[1]
            total = total + 0.5 * prior.residuals(unknowns.value(name, raw)).square().sum() - volume
        return total

    def _slope(
        self, misfit: Float[Tensor, "P M"], by_prior: Float[Tensor, "P N"], white: Float[Tensor, "P B n"]
    ) -> Float[Tensor, "P Z"]:
        linear, trajectory = self.linear, self.linear.trajectory
        raw = misfit @ linear.by_raw[0] + by_prior
        own = [
            misfit[:, trajectory == index] @ linear.by_white[0, trajectory == index] + white[:, index]
            for index in range(len(self.factors))
        ]
        slope = torch.cat([raw, *own], dim=1)
        solved = [
            torch.linalg.solve_triangular(factor, one.mT, upper=False).mT
            for factor, one in zip(self.factors, own, strict=True)
        ]
        return torch.cat([slope @ self.by_raw.mT, *solved], dim=1)

    def _factor(self, index: int) -> Float[Tensor, "n n"]:
        """Cholesky's of JᵀJ + 1 of one start."""
        normal, _ = self.linear.about_start(index)
        factor: Tensor = torch.linalg.cholesky(normal + torch.eye(len(normal)).to(normal))
        return factor
