"""Damped Gauss-Newton steps on the rollout loss, for the few unknowns of a simulator."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.unknowns import Unknowns
from cotwin.rollouts import at_common_pace, rollout_sets
from cotwin.stepper import DivergenceError, Stepper
from cotwin.training.objective import Objective
from cotwin.windows import Batch

MOST = 300
"""Unknown numbers; each costs a rollout of every window in each step."""
TRIES = 12
"""Dampings tried in one step: enough for one to do, however far the damping has to rise."""
LARGEST_MOVE = 2.0
"""Of a raw number in one step: a factor e² of what is learned through its logarithm."""
DAMPING = 1e-3
"""Of the first step."""
AT_ONCE = 2**27
"""Bytes of states in one batch of rollouts."""


class GaussNewton:
    """Lowers the rollout loss of all windows, and the penalty of the priors, by Levenberg-Marquardt steps.

    F = Σ r², r the residuals √(weight/n) (prediction − truth)/√s and those of the priors; a step s solves
    (JᵀJ + damping · diag JᵀJ) s = −Jᵀ r, with the damping raised until F is lowered. JᵀJ and Jᵀ r are summed over
    batches of windows, in double precision, J by differences to one side. Unlike gradient methods it does not mind
    that unknowns differ in size and in how much they matter. For up to 300 unknowns: raises ValueError for more.
    Source: Marquardt (1963), J. SIAM 11; the damping as in Nielsen (1999), Damping Parameter in Marquardt's Method.
    """

    every_window = True

    def __init__(self, stepper: Stepper) -> None:
        unknowns = len(Unknowns(stepper))
        if unknowns > MOST:
            raise ValueError(
                f"levenberg_marquardt is for up to {MOST} unknown numbers, {type(stepper).__name__} has "
                f"{unknowns}; choose lbfgs for fields, adam for networks."
            )
        self.damping, self.growth = DAMPING, 2.0

    def move(self, objective: Objective, size: float) -> float:
        """Lower the objective if a step can be found that does; `size` shortens it."""
        sum_of_squares = SumOfSquares(objective)
        unknowns = Unknowns(objective.stepper)
        z = unknowns.present()
        here = sum_of_squares.linearise(z)
        for _ in range(TRIES):
            step = size * here.step(self.damping)
            promised = here.value - here.value_after(step)
            if not promised > 0:
                break
            gain = float((here.value - sum_of_squares.value(z + step)) / promised)
            if gain > 1e-4:
                unknowns.assign(z + step)
                self.damping, self.growth = max(self.damping * max(0.1, 1 - (2 * gain - 1) ** 3), 1e-12), 2.0
                break
            self.damping, self.growth = self.damping * self.growth, self.growth * 2
        return float(here.value)

    def forget(self) -> None:
        """Begin with the first damping again: other windows follow."""
        self.damping, self.growth = DAMPING, 2.0

    def state_dict(self) -> dict[str, Any]:
        """The damping."""
        return {"damping": self.damping, "growth": self.growth}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The damping."""
        self.damping, self.growth = float(state["damping"]), float(state["growth"])


@dataclass(frozen=True)
class Quadratic:
    """F(z + s) ≈ value + 2 slopeᵀ s + sᵀ normal s: normal = JᵀJ, slope = Jᵀ r, value = rᵀ r."""

    normal: Float[Tensor, "N N"]
    slope: Float[Tensor, " N"]
    value: Float[Tensor, ""]

    def step(self, damping: float) -> Float[Tensor, " N"]:
        """The damped minimum, shortened so that no number moves too far; what nothing depends on stays."""
        scale = self.normal.diagonal().sqrt()
        scale = torch.where(scale > 0, 1 / scale, 0.0)
        values, vectors = torch.linalg.eigh(self.normal * scale[:, None] * scale)
        step: Tensor = -scale * (vectors @ ((vectors.mT @ (scale * self.slope)) / (values.clamp(min=0) + damping)))
        return step * (LARGEST_MOVE / step.abs().max()).clamp(max=1.0)

    def value_after(self, step: Float[Tensor, " N"]) -> Float[Tensor, ""]:
        """F there, if it were quadratic."""
        return self.value + 2 * self.slope @ step + step @ self.normal @ step


class SumOfSquares:
    """An objective as F(z) = Σ r(z)² of a stepper's unknowns z, in double precision unless it takes another alone.

    The prior is weighed against the measured windows' loss where the objective is first linearised.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.dtype = objective.stepper.dtype or torch.float64
        self.stepper = copy.deepcopy(objective.stepper).to(self.dtype)
        self.unknowns = Unknowns(self.stepper)
        self.prior_weight = 0.0

    def linearise(self, z: Float[Tensor, " N"]) -> Quadratic:
        """Normal equations at z. Raises DivergenceError where a rollout is not finite."""
        length = torch.finfo(self.dtype).eps ** 0.5
        sets = torch.cat([z[None], z + length * torch.eye(len(z), dtype=z.dtype, device=z.device)])
        normal, slope, value, measured = z.new_zeros(len(z), len(z)), torch.zeros_like(z), 0.0, 0.0
        for batch, residuals, read in self._residuals(sets):
            for rows in (residuals.flatten(1), read):
                jacobian, here = (rows[1:] - rows[0]) / length, rows[0]
                normal, slope = normal + jacobian @ jacobian.mT, slope + jacobian @ here
            squares, of_read = residuals[0].flatten(1).square().sum(dim=1), float(read[0].square().sum())
            value += float(squares.sum()) + of_read
            measured += float(squares[batch.measured].sum()) + of_read
        penalty = self.objective.penalty
        if penalty is not None:
            self.prior_weight = measured / penalty.values
            residuals, jacobian = self._priors(z), torch.func.jacfwd(self._priors)(z)
            normal = normal + self.prior_weight * jacobian.mT @ jacobian
            slope = slope + self.prior_weight * jacobian.mT @ residuals
            value += self.prior_weight * float(residuals.square().sum())
        if not bool(normal.isfinite().all() & slope.isfinite().all()):
            raise DivergenceError(f"{type(self.stepper).__name__} diverges.")
        return Quadratic(normal, slope, z.new_tensor(value))

    def value(self, z: Float[Tensor, " N"]) -> Float[Tensor, ""]:
        """F, infinite where a rollout is not finite."""
        try:
            value = sum(
                float(residuals.square().sum()) + float(read.square().sum())
                for _, residuals, read in self._residuals(z[None])
            )
        except DivergenceError:
            return z.new_tensor(torch.inf)
        if self.prior_weight:
            value += self.prior_weight * float(self._priors(z).square().sum())
        return z.new_tensor(value).nan_to_num(nan=torch.inf)

    @torch.no_grad()
    def _residuals(
        self, z: Float[Tensor, "P N"]
    ) -> Iterator[tuple[Batch, Float[Tensor, "P B T C *S"], Float[Tensor, "P K"]]]:
        """Of each batch, and of its readings, at each of P points.

        All at the pace that the first needs, else they would not be smooth.
        """
        paced = at_common_pace(self.stepper, self.unknowns.split(z[:1].to(self.dtype)))
        for batch in self.objective.batches():
            root = self.objective.loss.root_weights(batch).double() / len(self.objective) ** 0.5
            truth = torch.where(root > 0, batch.states[:, 1:].double(), 0.0)
            starts, steps = batch.states[:, 0].to(self.dtype), batch.states.shape[1] - 1
            parts, read = [], []
            for some in z.split(max(1, AT_ONCE // (8 * batch.states.numel()))):
                every = starts.expand(len(some), *starts.shape)
                states = rollout_sets(paced, self.unknowns.split(some.to(self.dtype)), every, steps, batch.given)
                parts.append(root * (states[:, :, 1:].double() - truth))
                read += [self._at_readings(one, batch) for one in states]
            yield batch, torch.cat(parts), torch.stack(read)

    def _at_readings(self, states: Float[Tensor, "B T C *S"], batch: Batch) -> Float[Tensor, " K"]:
        if not batch.readings:
            return states.new_zeros(0, dtype=torch.float64)
        root = self.objective.loss.root_weights_of_readings(batch).double() / len(self.objective) ** 0.5
        weighted: Tensor = root * self.objective.loss.missed(states.double(), batch)
        return weighted

    def _priors(self, z: Float[Tensor, " N"]) -> Float[Tensor, " R"]:
        assert self.objective.penalty is not None
        priors = self.objective.penalty.priors.items()
        return torch.cat([prior.residuals(self.unknowns.value(name, z)).flatten() for name, prior in priors])
