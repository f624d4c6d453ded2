"""Trajectories of a system, as read from a file or simulated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.between import Between
from cotwin.data.nearest import nearest
from cotwin.data.room import MEMORY, Room
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.mapped import place_of
from cotwin.pieces import copied, is_finite, pieces
from cotwin.sensors import Sensors

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Trajectories:
    """States along the trajectories of one system, at the interval `layout.dt`.

    states: (N, T, C, *S), in single or double precision, finite wherever the mask is True.
    mask: like states, True where observed; None if all of it was.
    source: where they come from, for messages.
    notes: what was decided in reading them that the user should see.
    given: what comes from outside with them: known parameters, courses in time; nothing but their numbers if not
        stated. Where a trajectory of the file is cut into several, they have its number, and begin at frames of it.
    between: states that were measured beside the frames; None where there are none.
    room: where others are put that are made of them.
    sensors: readings at places of their own; then nothing is observed on the grid, where states hold what is near.

    Raises ValueError, naming trajectory, time step and field, for the first value that is not finite; of states that
    are mapped from a file `require_finite` does, since it reads all of them.
    """

    states: Float[Tensor, "N T C *S"]
    layout: Layout
    mask: Bool[Tensor, "N T C *S"] | None = None
    source: str = "memory"
    notes: tuple[str, ...] = ()
    given: Given = field(default_factory=lambda: Given.of(0))
    between: Between | None = None
    room: Room = MEMORY
    sensors: Sensors | None = None

    def __post_init__(self) -> None:
        if not len(self.given):
            object.__setattr__(self, "given", Given.of(len(self.states)))
        if self.states.dim() != self.layout.dims + 3:
            raise ValueError(
                f"{self.source}: states of shape {tuple(self.states.shape)} need the axes "
                f"(trajectory, time, channel, "
                f"*grid), {self.layout.dims + 3} in all."
            )
        self.layout.require_state(tuple(self.states.shape[1:]))
        if self.states.shape[0] < 1 or self.states.shape[1] < 2:
            raise ValueError(
                f"{self.source}: needs at least one trajectory of two states, got {tuple(self.states.shape)}."
            )
        if self.mask is not None and self.mask.shape != self.states.shape:
            raise ValueError(
                f"{self.source}: mask {tuple(self.mask.shape)} and states {tuple(self.states.shape)} differ."
            )
        if not self.in_file:
            self.require_finite()

    @property
    def in_file(self) -> bool:
        """Whether the states are mapped from a file: what takes a copy of them all would not fit into memory."""
        return place_of(self.states) is not None

    def require_finite(self) -> None:
        """Raise ValueError, naming the first, where values are not finite that no mask hides."""
        bad, first = 0, None
        for piece in pieces(self.states):
            if self.mask is None and is_finite(piece.of(self.states)):
                continue
            finite = torch.isfinite(piece.of(self.states))
            if self.mask is not None:
                finite |= ~piece.of(self.mask)
            here = finite.numel() - int(finite.sum())
            if here and first is None:
                row, frame, channel = (int(i) for i in (~finite).nonzero()[0][:3])
                first = row + piece.rows.start, frame + piece.frames.start, channel
            bad += here
        if first is not None:
            trajectory, time, channel = first
            raise ValueError(
                f"{self.source}: {bad} values are not finite, "
                f"the first in trajectory {int(self.given.trajectory[trajectory])}, "
                f"time step {int(self.given.frame[trajectory]) + time}, "
                f"field {self.layout.channel_names[channel]!r}; repair the file, or mark "
                "missing values (data.missing=mask; in Python a mask, or missing='mask' when reading a file)."
            )
        if self.between is not None and not (self.between.states.isfinite() | ~self.between.mask).all():
            raise ValueError(
                f"{self.source}: states beside the frames have values that are not finite; repair the file, or mark "
                "missing values (data.missing=mask)."
            )

    def __len__(self) -> int:
        return len(self.states)

    @property
    def num_frames(self) -> int:
        """States in each trajectory."""
        return self.states.shape[1]

    @property
    def numbers(self) -> list[int]:
        """Of the trajectories in the file, in their order; one may be cut into several here."""
        return [int(number) for number in self.given.trajectory.unique()]

    @property
    def duration(self) -> float:
        """From the first state of a trajectory in the file to its last one."""
        return (int(self.given.frame.max()) + self.num_frames - 1) * self.layout.dt

    def to_xarray(self) -> xr.Dataset:
        """Fields, what is given, times and coordinates as an xarray.Dataset; `open_trajectories` takes it back.

        Raises ValueError where xarray is not installed, and where states lie beside the frames.
        """
        from cotwin.data.writing.to_xarray import dataset_of

        return dataset_of(self)

    def to(self, dtype: torch.dtype) -> Trajectories:
        """In another precision."""
        if dtype == self.states.dtype:
            return self
        between = self.between
        if between is not None:
            between = replace(between, states=between.states.to(dtype))
        states = copied(self.states, self.room.zeros(self.states.shape, dtype, f"{self.source}: what it holds"))
        return replace(self, states=states, given=self.given.to(dtype), between=between)

    def on_the_grid(self) -> Trajectories:
        """As if sensors had read at the nearest points and frames: good for guesses alone."""
        if self.sensors is None:
            return self
        states, mask = nearest(self.sensors, self.layout, len(self), self.num_frames)
        return replace(self, states=states.to(self.states), mask=mask, sensors=None)

    def at_their_times(self) -> Trajectories:
        """With what lies beside a frame there alone; a first state stays at its frame."""
        if self.between is None:
            return self
        late = self.between.steps.round() > 0
        framed = self.between.some(late & self.between.framed)
        mask = torch.ones_like(self.states, dtype=torch.bool) if self.mask is None else self.mask.clone()
        moving = ~torch.tensor(self.layout.static_channels)
        mask[framed.row, framed.steps.round().long()] &= ~moving.view(-1, *[1] * self.layout.dims)
        return replace(self, mask=mask, between=self.between.some(late | ~self.between.framed))

    def select(self, indices: list[int] | slice) -> Trajectories:
        """Some of the trajectories; a view of them where they lie side by side."""
        if isinstance(indices, list) and indices == list(range(indices[0], indices[0] + len(indices))):
            indices = slice(indices[0], indices[0] + len(indices))
        return replace(
            self,
            states=self._rows(self.states, indices),
            mask=None if self.mask is None else self._rows(self.mask, indices),
            given=self.given.rows(indices),
            between=None if self.between is None else self.between.of_rows(indices, len(self)),
            sensors=None if self.sensors is None else self.sensors.of_rows(indices, len(self)),
        )

    def frames(self, start: int, stop: int) -> Trajectories:
        """A stretch of time of every trajectory, a view."""
        every = torch.arange(len(self))
        return replace(
            self,
            states=self.states[:, start:stop],
            mask=None if self.mask is None else self.mask[:, start:stop],
            given=self.given.window(every, torch.full_like(every, start), stop - 1 - start),
            between=None if self.between is None else self.between.stretch(start, stop),
            sensors=None if self.sensors is None else self.sensors.stretch(start, stop),
        )

    def _rows(self, values: Tensor, indices: list[int] | slice) -> Tensor:
        if isinstance(indices, slice):
            return values[indices]
        some = self.room.zeros((len(indices), *values.shape[1:]), values.dtype, f"{self.source}: some of it")
        for place, row in enumerate(indices):
            copied(values[row : row + 1], some[place : place + 1])
        return some
