"""Real trajectories that no training sees, and a model's error on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.between import Between
from cotwin.estimation.observation import sensed
from cotwin.estimation.observation.interpolation import lagrange
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.pieces import Piece, pieces
from cotwin.sensors import Sensors
from cotwin.stepper import DivergenceError, Stepper, evaluating, rollout
from cotwin.training.metrics import variances, vrmse

TOGETHER = 64_000_000
"""Bytes of rollouts that are made at once; a rollout takes several times as much."""
FEWEST = 3
"""Trajectories whose differences have a spread that means something."""
STRETCHES = 4
"""In time, that fewer trajectories are cut into."""


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

    @property
    def of_parts(self) -> Tensor:
        """The same of parts that tell how sure a difference between two models is, (U,).

        Of each trajectory, where there are three or more; else of four stretches in time of each, which are less
        independent: what holds on one trajectory need not hold on another.
        """
        cuts = 1 if len(self.squares) >= FEWEST else STRETCHES
        both = (one.tensor_split(cuts, dim=1) for one in (self.squares, self.counts))
        parts = [
            (squares.sum(dim=1) / counts.sum(dim=1)).sqrt().nanmean(dim=-1)
            for squares, counts in zip(*both, strict=True)
        ]
        whole = torch.cat(parts)
        return whole[~whole.isnan()]

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
    sensors: readings that predictions are compared with at their places and times; likewise.
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
        sensors: Sensors | None = None,
        *,
        clean: bool = False,
    ) -> None:
        frames = states.shape[1]
        if not 1 <= scored_from < frames:
            raise ValueError(f"scored_from is {scored_from}; with {frames} frames it lies in 1 to {frames - 1}.")
        # Otherwise every model's error would be infinite, or that of a rollout from made-up values.
        first = torch.tensor([bool(state.isfinite().all()) for state in states[:, 0]])
        if mask is not None:
            first &= mask[:, 0].flatten(1).all(dim=1)
        partial = (~first).nonzero().flatten().tolist()
        if partial:
            raise ValueError(
                f"held-out trajectories {partial} have first frames that are not wholly observed, and rollouts start "
                "there; cut them off, or fill them and set the mask there."
            )
        finite = (
            piece.of(states).isfinite() if mask is None else piece.of(states).isfinite() | ~piece.of(mask)
            for piece in pieces(states)
        )
        if not all(bool(one.all()) for one in finite):
            raise ValueError("held-out states are not finite; set a mask that is False where they are not.")
        if between is not None:
            between = between.some(between.steps > scored_from - 1)
        between = between if between else None
        sensors = sensors.some(sensors.steps > scored_from - 1) if sensors else None
        beside = (between and between.mask.any()) or sensors
        if mask is not None and not mask[:, scored_from:].any() and not beside:
            raise ValueError(
                "nothing is observed in the scored frames of the held-out trajectories; hold others out."
            )
        self.states, self.mask, self.scored_from, self.about = states, mask, scored_from, about
        self.clean, self.given, self.between, self.sensors = clean, given, between, sensors
        self.variance = variances(states, mask) if variance is None else variance

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the states."""
        return self.states.dtype

    def predict(self, stepper: Stepper) -> Float[Tensor, "N T C *S"]:
        """The full rollout from each first frame, on the CPU. Raises DivergenceError."""
        whole = torch.empty(self.states.shape, dtype=self.dtype)
        for piece, states in self.predictions(stepper):
            piece.of(whole).copy_(states)
        return whole

    def predictions(self, stepper: Stepper) -> Iterator[tuple[Piece, Float[Tensor, "n t C *S"]]]:
        """Full rollouts from the first frames, on the CPU: all at once where that takes little memory, else some
        trajectories after others, and of a long one a stretch after the other. Raises DivergenceError.
        """
        count, frames = self.states.shape[:2]
        frame_bytes = self.states[0, 0].numel() * self.states.itemsize
        rows, length = max(1, TOGETHER // (frames * frame_bytes)), max(2, TOGETHER // frame_bytes)
        # States between frames are interpolated from those on both sides.
        beside = self.between is not None or self.sensors is not None
        if length > frames or not stepper.composes or beside:
            length = frames
        for first in range(0, count, rows):
            some = slice(first, min(first + rows, count))
            given, last = None if self.given is None else self.given.rows(some), self.states[some, 0]
            for begin in range(0, frames - 1, length - 1):
                steps = min(length, frames - begin) - 1
                with evaluating(stepper), torch.no_grad():
                    later = None if given is None else given.later(begin)
                    states = rollout(stepper, last.to(stepper.device), steps, later).cpu()
                new = int(begin > 0)
                yield Piece(some, slice(begin + new, begin + steps + 1)), states[:, new:]
                last = states[:, -1]

    def measure(self, stepper: Stepper) -> Errors:
        """The errors of full rollouts; infinite, all of them, if one diverges.

        Raises ValueError if nothing that varies in the training data was observed in the scored frames.
        """
        try:
            return self._compare(self.predictions(stepper), stepper.layout)
        except DivergenceError:
            return self._compare(self._everywhere(self.states.new_tensor(torch.inf)), stepper.layout)

    def error(self, stepper: Stepper) -> float:
        """The error that decides, `Errors.nrmse`; infinite if a rollout diverges."""
        return self.measure(stepper).nrmse

    def baselines(self, layout: Layout) -> dict[str, Errors]:
        """Errors of what needs no model: of states that are known before the first scored one, kept for ever."""
        last = self.states[:, 0].clone()
        total = last.double()
        for frame in range(1, self.scored_from):
            state = self.states[:, frame]
            last = state if self.mask is None else torch.where(self.mask[:, frame], state, last)
            total += last
        mean = last.flatten(2).mean(dim=2).view(*last.shape[:2], *[1] * layout.dims)
        kept = {"the last known state": last, "its mean in space": mean.expand_as(last)}
        if self.scored_from > 1:
            kept["the mean in time of what is known"] = (total / self.scored_from).to(last)
        return {name: self._compare(self._everywhere(state[:, None]), layout) for name, state in kept.items()}

    def _everywhere(self, states: Tensor) -> Iterator[tuple[Piece, Tensor]]:
        """The same at all times, as predictions."""
        yield Piece(slice(0, len(self.states)), slice(0, self.states.shape[1])), states.expand_as(self.states)

    def _compare(self, predictions: Iterable[tuple[Piece, Tensor]], layout: Layout) -> Errors:
        channels = [channel for channel, static in enumerate(layout.static_channels) if not static]
        shape, variance = (*self.states.shape[:2], len(channels)), self.variance[channels]
        deviation = variance.sqrt().to(self.states).view(-1, *[1] * layout.dims)
        relative = torch.full(shape, torch.nan, dtype=self.dtype)
        squares, counts = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.long)
        for place, states in predictions:
            for piece, prediction in self._scored(place, states):
                prediction, truth = prediction[:, :, channels], piece.of(self.states)[:, :, channels]
                mask = None if self.mask is None else piece.of(self.mask)[:, :, channels]
                seen = torch.ones_like(truth, dtype=torch.bool) if mask is None else mask
                missed = torch.where(seen, ((prediction - truth) / deviation).square(), 0.0)
                piece.of(squares).copy_(missed.flatten(3).sum(dim=3, dtype=torch.float64))
                piece.of(counts).copy_(seen.flatten(3).sum(dim=3))
                piece.of(relative).copy_(vrmse(prediction, truth, mask))
            if self.between is not None:
                between = self.between.of_rows(place.rows, len(self.states))
                seen, at = between.mask[:, channels], (between.row, between.steps.ceil().long())
                missed = ((at_times(states, between) - between.states)[:, channels] / deviation).square()
                missed = torch.where(seen, missed, 0.0).flatten(2).sum(dim=2, dtype=torch.float64)
                squares[place.rows].index_put_(at, missed, accumulate=True)
                counts[place.rows].index_put_(at, seen.flatten(2).sum(dim=2), accumulate=True)
            own = None if self.sensors is None else self.sensors.of_rows(place.rows, len(self.states))
            if own:
                seen_by = sensed(own, layout, len(states))
                missed = (seen_by(states[:, : seen_by.num_steps + 1].double()) - own.values).square()
                moving = torch.tensor(channels)
                of_read = (own.row, own.steps.ceil().long(), torch.searchsorted(moving, own.channel))
                squares[place.rows].index_put_(of_read, missed / self.variance[own.channel], accumulate=True)
                counts[place.rows].index_put_(of_read, torch.ones_like(own.row), accumulate=True)
        relative, squares, counts = (one[:, self.scored_from :] for one in (relative, squares, counts))
        squares, counts = torch.where(variance > 0, squares, 0.0), counts * (variance > 0)
        if not bool(counts.any()):
            raise ValueError(
                "no field that moves both varies in the training data and is observed in the scored frames of the "
                "held-out trajectories; there is nothing to judge a model by: hold others out."
            )
        return Errors(relative, squares, counts.double())

    def _scored(self, place: Piece, states: Tensor) -> Iterator[tuple[Piece, Tensor]]:
        """Predictions at a place, in pieces without the frames that are not scored."""
        late = max(0, self.scored_from - place.frames.start)
        for piece in pieces(states[:, late:]):
            rows, frames = (
                slice(own.start + begin, own.stop + begin)
                for own, begin in ((piece.rows, place.rows.start), (piece.frames, place.frames.start + late))
            )
            yield Piece(rows, frames), piece.of(states[:, late:])


def at_times(states: Float[Tensor, "N T C *S"], between: Between) -> Float[Tensor, "M C *S"]:
    """States between frames, by cubic polynomials in time."""
    stencil = lagrange(between.steps, states.shape[1])
    weight = stencil.weight.to(states).view(*stencil.weight.shape, *[1] * (states.dim() - 2))
    return (states[between.row[:, None], stencil.index] * weight).sum(dim=1)
