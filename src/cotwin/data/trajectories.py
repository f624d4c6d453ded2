"""Trajectories of a system, as read from a file or simulated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.between import Between
from cotwin.given import Given
from cotwin.layout import Layout


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

    Raises ValueError, naming trajectory, time step and field, for the first value that is not finite.
    """

    states: Float[Tensor, "N T C *S"]
    layout: Layout
    mask: Bool[Tensor, "N T C *S"] | None = None
    source: str = "memory"
    notes: tuple[str, ...] = ()
    given: Given = field(default_factory=lambda: Given.of(0))
    between: Between | None = None

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
        self._require_finite()

    def _require_finite(self) -> None:
        finite = torch.isfinite(self.states)
        if self.mask is not None:
            finite |= ~self.mask
        if not finite.all():
            trajectory, time, channel = (int(i) for i in (~finite).nonzero()[0][:3])
            raise ValueError(
                f"{self.source}: {int((~finite).sum())} values are not finite, "
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

    def to(self, dtype: torch.dtype) -> Trajectories:
        """In another precision."""
        between = self.between
        if between is not None:
            between = replace(between, states=between.states.to(dtype))
        return replace(self, states=self.states.to(dtype), given=self.given.to(dtype), between=between)

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
        """Some of the trajectories; with a slice, a view of them."""
        return replace(
            self,
            states=self.states[indices],
            mask=None if self.mask is None else self.mask[indices],
            given=self.given.rows(indices),
            between=None if self.between is None else self.between.of_rows(indices, len(self)),
        )

    def frames(self, start: int, stop: int) -> Trajectories:
        """A stretch of time of every trajectory."""
        every = torch.arange(len(self))
        return replace(
            self,
            states=self.states[:, start:stop].contiguous(),
            mask=None if self.mask is None else self.mask[:, start:stop].contiguous(),
            given=self.given.window(every, torch.full_like(every, start), stop - 1 - start),
            between=None if self.between is None else self.between.stretch(start, stop),
        )
