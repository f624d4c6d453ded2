"""Frames of trajectories, copied into batches from wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor

from cotwin.mapped import Place, place_of
from cotwin.windows.ranges import Ranges


class Frames(ABC):
    """The frames of N trajectories, (N, T, C, *S), in memory or in a file: states or masks.

    in_file: whether it helps to announce what is read next.
    """

    in_file = False

    def __init__(self, states: Shaped[Tensor, "N T C *S"]) -> None:
        self.shape, self.dtype = tuple(states.shape), states.dtype

    @abstractmethod
    def write(self, rows: Sequence[int], frames: Sequence[int], target: Tensor, places: Sequence[int]) -> None:
        """Put the K frames from each row and frame on into these places of a target (B, K, C, *S)."""

    @abstractmethod
    def will_read(self, rows: Sequence[int], frames: Sequence[int], count: int) -> None:
        """Announce stretches of so many frames that are read next."""

    def take(self, rows: Sequence[int], frames: Sequence[int]) -> Shaped[Tensor, "B C *S"]:
        """The frames at these places, as new memory."""
        taken = torch.empty(len(rows), *self.shape[2:], dtype=self.dtype)
        self.write(rows, frames, taken[:, None], range(len(rows)))
        return taken


def frames_of(states: Shaped[Tensor, "N T C *S"]) -> Frames:
    """The frames of trajectories; no copy is made."""
    place = place_of(states)
    if place is None or not states[0, 0].is_contiguous() or states.stride(1) != states[0, 0].numel():
        return FramesInMemory(states)
    return FramesInFile(states, place)


class FramesInMemory(Frames):
    """Of a tensor, or of any view of one."""

    def __init__(self, states: Shaped[Tensor, "N T C *S"]) -> None:
        super().__init__(states)
        self.states = states

    def write(self, rows: Sequence[int], frames: Sequence[int], target: Tensor, places: Sequence[int]) -> None:
        # NumPy: it copies a row in half a microsecond, where torch takes five to dispatch.
        out_of, into, count = self.states.numpy(), target.numpy(), target.shape[1]
        for row, frame, place in zip(rows, frames, places, strict=True):
            into[place] = out_of[row, frame : frame + count]

    def will_read(self, rows: Sequence[int], frames: Sequence[int], count: int) -> None:
        """Nothing to prepare."""


class FramesInFile(Frames):
    """Of a mapped tensor whose successive frames lie one after the other in its file: read from there."""

    in_file = True

    def __init__(self, states: Shaped[Tensor, "N T C *S"], place: Place) -> None:
        super().__init__(states)
        self.ranges, self.begin = Ranges(place.file), place.position
        self.row_bytes, self.frame_bytes = (states.itemsize * stride for stride in states.stride()[:2])

    def write(self, rows: Sequence[int], frames: Sequence[int], target: Tensor, places: Sequence[int]) -> None:
        into = target.numpy()
        for position, place in zip(self._positions(rows, frames), places, strict=True):
            self.ranges.read(position, memoryview(into[place]).cast("B"))

    def will_read(self, rows: Sequence[int], frames: Sequence[int], count: int) -> None:
        self.ranges.will_read(self._positions(rows, frames), count * self.frame_bytes)

    def _positions(self, rows: Sequence[int], frames: Sequence[int]) -> list[int]:
        return [
            self.begin + row * self.row_bytes + frame * self.frame_bytes
            for row, frame in zip(rows, frames, strict=True)
        ]
