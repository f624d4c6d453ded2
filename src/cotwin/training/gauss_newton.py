"""Levenberg-Marquardt on batches of windows, as an optimiser that `Trainer` takes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.levenberg_marquardt import levenberg_marquardt
from cotwin.estimation.measurements import Measurements
from cotwin.estimation.observation import Grid
from cotwin.estimation.priors import Prior
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.unknowns import Unknowns
from cotwin.stepper import DivergenceError, Stepper
from cotwin.training.loss import RolloutLoss
from cotwin.windows import Batch

MOST = 300
"""Unknown numbers; each costs two rollouts of every batch."""
TRIES = 12
"""Steps tried on one batch: so many that one will do, however far the damping has to rise."""


class Penalty:
    """What priors add to a rollout loss L: 2 L/M · −log p, where M values were measured.

    So that the minimum is the maximum a posteriori for a noise that is not known: with its most likely level, L in
    units of the loss, −log of the likelihood is M/2 log L, and of its gradient this is the balance.
    priors: by the names that `estimates` gives. values: M.
    """

    def __init__(self, priors: Mapping[str, Prior], values: int) -> None:
        self.priors, self.values = dict(priors), values

    def __call__(self, stepper: Stepper, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Differentiable to the stepper's parameters, but not to the loss."""
        residuals = [prior.residuals(stepper.get_submodule(name)()) for name, prior in self.priors.items()]
        return loss.detach() / self.values * sum(part.square().sum() for part in residuals)


class LevenbergMarquardt(torch.optim.Optimizer):
    """Lowers the rollout loss of a batch, and the penalty of the priors, by Levenberg-Marquardt steps.

    For up to 300 unknowns of a simulator, and batches of all windows if they fit. Unlike gradient methods it does not
    mind that unknowns differ in size and in how much they matter. It keeps nothing between batches.

    Raises ValueError for more unknowns.
    """

    def __init__(self, stepper: Stepper, loss: RolloutLoss, penalty: Penalty | None = None) -> None:
        unknowns = Unknowns(stepper)
        if len(unknowns) > MOST:
            raise ValueError(
                f"levenberg_marquardt is for up to {MOST} unknown numbers, {type(stepper).__name__} has "
                f"{len(unknowns)}; choose lbfgs for fields, adam for networks."
            )
        super().__init__(stepper.parameters(), {"lr": 1.0})
        self.stepper, self.loss, self.penalty = stepper, loss, penalty

    def step_on(self, batch: Batch) -> Float[Tensor, ""]:
        """Move the stepper's unknowns, and return the loss before. Raises DivergenceError where it diverges."""
        layout, count, steps = self.stepper.layout, len(batch.states), batch.states.shape[1] - 1
        observation = Grid(layout, count, steps, batch.mask)
        scale = 1 / self.loss.inverse_scale.double()
        noise = torch.where(scale.isfinite(), scale, 1.0).sqrt()
        measurements = Measurements(observation, observation(batch.states).double(), tuple(noise.tolist()))
        priors = {} if self.penalty is None else self.penalty.priors
        problem = LeastSquares(self.stepper, batch.states[:, 0], measurements, priors)
        # Each window counts by its weight, however much of it was seen, and all together as the mean.
        seen = torch.bincount(observation.trajectory, minlength=count).double()
        repeats = (batch.weight.double() / (count * seen))[observation.trajectory]
        z = problem.present()
        loss = (problem.misfit(z)[0].square() * repeats).sum()
        if not bool(loss.isfinite()):
            raise DivergenceError(f"{type(self.stepper).__name__} diverges.")
        # As many as were measured, in units of their likely noise: what the priors are to be weighed against.
        repeats = repeats * (observation.size if self.penalty is None else self.penalty.values / loss)
        solution = levenberg_marquardt(problem.resampled(repeats[None]), z, iterations=TRIES)
        Unknowns(self.stepper).assign(solution.z[0])
        return loss
