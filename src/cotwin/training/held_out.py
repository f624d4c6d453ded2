"""Real trajectories that no training sees, and a model's error on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.between import Between
from cotwin.estimation.observation.interpolation import lagrange
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.stepper import DivergenceError, Stepper, evaluating, rollout
from cotwin.training.metrics import variances, vrmse


@dataclass(frozen=True)
class Errors:
    """How far full rollouts are from held-out trajectories, at each scored time and for each channel that moves.

    vrmse_of_frames: (N, T, C); nan where fewer than two points were observed.
    squares: ((prediction − truth)/σ)² summed over the observed points, (N, T, C); σ² is the channel's variance in
        the training data.
    counts: of how many points, (N, T, C); none of a channel that does not vary in the training data.
    """

    vrmse_of_frames: Float[Tensor, "N T C"]
    squares: Float[Tensor, "N T C"]
    counts: Float[Tensor, "N T C"]

    @property
    def vrmse(self) -> float:
        """The Well's, the mean over trajectories, times and channels."""
        return float(self.vrmse_of_frames.nanmean())

    @property
    def nrmse(self) -> float:
        """What decides: √(mean squared error / σ²), the mean over trajectories, time and space; then over channels.

        Without a unit. Predicting the mean of all training data scores about one.
        """
        return float(self._nrmse((0, 1)))

    @property
    def nrmse_of_trajectories(self) -> list[float]:
        """The same of each trajectory by itself."""
        return self._nrmse((1,)).tolist()

    @property
    def nrmse_over_time(self) -> list[float]:
        """The same of each scored time by itself."""
        return self._nrmse((0,)).tolist()

    def _nrmse(self, together: tuple[int, ...]) -> Tensor:
        return (self.squares.sum(dim=together) / self.counts.sum(dim=together)).sqrt().nanmean(dim=-1)


class HeldOut:
    """Trajectories to roll a model out along, and the frames that count.

    states: (N, T, C, *S); rollouts start from the first frame, which has to be wholly observed.
    mask: like states, True where observed; None if all of it was.
    scored_from: the first frame that counts; later than 1 where the held-out part of a trajectory is its
        last stretch, so that no frame that trained a model scores it.
    variance: of each channel in the training data, (C,), as `metrics.variances` gives it: what the errors that decide
        are measured by. Of these states themselves if not given.
    about: what a person should know of where the rollouts start.
    given: what comes from outside with the trajectories, for models that need it.
    between: states beside the frames, with which predictions are compared that are interpolated in time; those after
        the frame before `scored_from` count.
    clean: the states were simulated, and no noise added: they are the truth. Others were measured.

    Raises ValueError for what cannot score.
    """

    def __init__(
        self,
        states: Float[Tensor, "N T C *S"],
        mask: Bool[Tensor, "N T C *S"] | None = None,
        scored_from: int = 1,
        variance: Float[Tensor, " C"] | None = None,
        about: str = "",
        given: Given | None = None,
        between: Between | None = None,
        *,
        clean: bool = False,
    ) -> None:
        frames = states.shape[1]
        if not 1 <= scored_from < frames:
            raise ValueError(f"scored_from is {scored_from}; with {frames} frames it lies in 1 to {frames - 1}.")
        # Otherwise every model's error would be infinite, or that of a rollout from made-up values.
        first = torch.isfinite(states[:, 0])
        if mask is not None:
            first &= mask[:, 0]
        partial = (~first.flatten(1).all(dim=1)).nonzero().flatten().tolist()
        if partial:
            raise ValueError(
                f"held-out trajectories {partial} have first frames that are not wholly observed, and rollouts start "
                "there; cut them off, or fill them and set the mask there."
            )
        seen = states if mask is None else states[mask]
        if not bool(torch.isfinite(seen).all()):
            raise ValueError("held-out states are not finite; set a mask that is False where they are not.")
        if between is not None:
            between = between.some(between.steps > scored_from - 1)
        between = between if between else None
        if mask is not None and not mask[:, scored_from:].any() and not (between and between.mask.any()):
            raise ValueError(
                "nothing is observed in the scored frames of the held-out trajectories; hold others out."
            )
        self.states, self.mask, self.scored_from, self.about = states, mask, scored_from, about
        self.clean, self.given, self.between = clean, given, between
        self.variance = variances(states, mask) if variance is None else variance

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the states."""
        return self.states.dtype

    def predict(self, stepper: Stepper) -> Float[Tensor, "N T C *S"]:
        """The full rollout from each first frame, on the CPU. Raises DivergenceError."""
        with evaluating(stepper), torch.no_grad():
            starts, steps = self.states[:, 0].to(stepper.device), self.states.shape[1] - 1
            return rollout(stepper, starts, steps, self.given).cpu()

    def measure(self, stepper: Stepper) -> Errors:
        """The errors of full rollouts; infinite, all of them, if one diverges.

        Raises ValueError if nothing that varies in the training data was observed in the scored frames.
        """
        try:
            prediction = self.predict(stepper)
        except DivergenceError:
            prediction = torch.full_like(self.states, torch.inf)
        return self._compare(prediction, stepper.layout)

    def error(self, stepper: Stepper) -> float:
        """The error that decides, `Errors.nrmse`; infinite if a rollout diverges."""
        return self.measure(stepper).nrmse

    def baselines(self, layout: Layout) -> dict[str, Errors]:
        """Errors of what needs no model: of states that are known before the first scored one, kept for ever."""
        last, known = self.states[:, 0], [self.states[:, 0]]
        for frame in range(1, self.scored_from):
            state = self.states[:, frame]
            last = state if self.mask is None else torch.where(self.mask[:, frame], state, last)
            known.append(last)
        mean = last.flatten(2).mean(dim=2).view(*last.shape[:2], *[1] * layout.dims)
        kept = {"the last known state": last, "its mean in space": mean.expand_as(last)}
        if self.scored_from > 1:
            kept["the mean in time of what is known"] = torch.stack(known).mean(dim=0)
        return {name: self._compare(state[:, None].expand_as(self.states), layout) for name, state in kept.items()}

    def _compare(self, prediction: Float[Tensor, "N T C *S"], layout: Layout) -> Errors:
        channels = [channel for channel, static in enumerate(layout.static_channels) if not static]
        whole = prediction
        prediction, truth = (states[:, self.scored_from :, channels] for states in (prediction, self.states))
        mask = None if self.mask is None else self.mask[:, self.scored_from :, channels]
        variance = self.variance[channels]
        seen = torch.ones_like(truth, dtype=torch.bool) if mask is None else mask
        deviation = variance.sqrt().to(truth).view(-1, *[1] * layout.dims)
        squares = torch.where(seen, ((prediction - truth) / deviation).square(), 0.0)
        squares = squares.flatten(3).sum(dim=3, dtype=torch.float64)
        counts = seen.flatten(3).sum(dim=3)
        if self.between is not None:
            seen = self.between.mask[:, channels]
            missed = (at_times(whole, self.between) - self.between.states)[:, channels] / deviation
            at = (self.between.row, self.between.steps.ceil().long() - self.scored_from)
            missed = torch.where(seen, missed.square(), 0.0).flatten(2).sum(dim=2, dtype=torch.float64)
            squares = squares.index_put(at, missed, accumulate=True)
            counts = counts.index_put(at, seen.flatten(2).sum(dim=2), accumulate=True)
        squares, counts = torch.where(variance > 0, squares, 0.0), counts * (variance > 0)
        if not bool(counts.any()):
            raise ValueError(
                "no field that moves both varies in the training data and is observed in the scored frames of the "
                "held-out trajectories; there is nothing to judge a model by: hold others out."
            )
        return Errors(vrmse(prediction, truth, mask), squares, counts.double())


def at_times(states: Float[Tensor, "N T C *S"], between: Between) -> Float[Tensor, "M C *S"]:
    """States between frames, by cubic polynomials in time."""
    stencil = lagrange(between.steps, states.shape[1])
    weight = stencil.weight.to(states).view(*stencil.weight.shape, *[1] * (states.dim() - 2))
    return (states[between.row[:, None], stencil.index] * weight).sum(dim=1)
