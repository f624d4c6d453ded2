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
    """log p(θ, ε | y) = log p(y | θ, ε) + log p(θ) − ½ ‖ε‖² + constant, of the raw numbers θ and the starts ε.

    Known noise: log p(y | θ, ε) = −½ ‖(O(rollout(θ, s(ε))) − y)/σ‖². Noise that was estimated is integrated out,
    under Jeffreys' prior 1/σ_c² of each channel: −Σ_c M_c/2 log Σ residual², the residuals of a channel's M_c values.
    log p(θ): flat in the raw numbers without a prior. A prior's density is per unit of what `Prior.measure` says, so
    that to −½ ‖residuals(v)‖² comes log √det(KᵀK), K the derivative of the measure to the raw numbers: of the change
    of variables, and for fields of few coefficients of the surface that they make.
    Directions along which no parameter changes are held loosely to the estimate.

    x: z = z₀ + T x, with T Tᵀ = (JᵀJ)⁻¹ at the estimate z₀, as `Linearised` has it: of the raw numbers, the starts
    following as they best do, and of each start by itself.
    The slope is Tᵀ Jᵀ r, the residuals r at each place with the Jacobian J of the estimate. So a place takes one
    rollout, and where the problem is linear the slope is exact.
    """

    def __init__(self, found: Estimation, information: FullInformation) -> None:
        problem = found.problem
        nothing = torch.zeros_like(problem.tilt)
        # What integrates starts out in the cost is left away: here that is done by sampling them.
        self.problem, self.middle = problem.tilted(nothing, nothing), found.z
        self.linear = self.problem.linearise(found.z[None])
        self.size = len(problem.unknowns)
        self.idle = float(information.values[0]) * problem.unknowns.idle(found.z[: self.size])
        self.by_raw = self.linear.following(information.directions / information.values[:, None])
        self.factors = [self._factor(index) for index in range(len(problem.guess))] if problem.start_size else []
        channel = problem.observation.channel
        levels = torch.zeros(problem.observation.layout.channels, dtype=torch.float64, device=found.z.device)
        self.channel, self.counts = channel, levels.index_add(0, channel, torch.ones_like(problem.values))
        self.noise_is_known = not found.noise_estimated

    def at(self, x: Float[Tensor, "P Z"]) -> Places:
        z = self.place(x)
        raw, white = self.problem.parts(z)
        misfit = self.problem.misfit(z)
        by_prior, prior = self._prior(raw)
        log = self._likelihood(misfit) - prior - 0.5 * white.square().sum(dim=(1, 2))
        slope = self._slope(misfit * self._weight(misfit), by_prior, white)
        sound = log.isfinite() & slope.isfinite().all(dim=1)
        return Places(x, torch.where(sound, log, -torch.inf), torch.where(sound[:, None], slope, 0.0), misfit)

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

    def _likelihood(self, misfit: Float[Tensor, "P M"]) -> Float[Tensor, " P"]:
        squares = self.squares(misfit)
        if self.noise_is_known:
            return -0.5 * squares.sum(dim=1)
        return -0.5 * torch.xlogy(self.counts, squares).sum(dim=1)

    def _weight(self, misfit: Float[Tensor, "P M"]) -> Float[Tensor, "P M"]:
        """By which the slope of ½ misfit² is that of −log p."""
        if self.noise_is_known:
            return torch.ones_like(misfit)
        return (self.counts / self.squares(misfit))[:, self.channel]

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
