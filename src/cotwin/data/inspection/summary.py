"""What was found in a data file, in few numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cotwin.data.assembling.grid import on_nodes, rounded_ends


@dataclass(frozen=True)
class Place:
    """Where a value stands."""

    trajectory: int
    time: int
    component: int
    point: tuple[int, ...]

    def __str__(self) -> str:
        return f"trajectory {self.trajectory}, time step {self.time}, point {self.point}"


@dataclass(frozen=True)
class FieldSummary:
    """One field.

    shape, dtype: as stored.
    unobserved: values that a mask of the file leaves out. The rest is of the others alone.
    minimum, maximum: of the finite values; None if there are none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    components: int
    static: bool
    unit: str
    minimum: float | None
    maximum: float | None
    non_finite: int
    first_non_finite: Place | None
    unobserved: int


@dataclass(frozen=True)
class AxisSummary:
    """One axis of space or time.

    spacing: None where the points are not equally spaced.
    boundary: in the file's words; None if it says nothing.
    """

    name: str
    points: int
    first: float
    last: float
    spacing: float | None
    unit: str
    boundary: str | None = None

    @property
    def extent(self) -> tuple[float, float] | None:
        """The domain by the file alone: one period, cells around the points, or from the first node to the last."""
        if self.spacing is None or self.boundary is None:
            return None
        if self.boundary == "periodic":
            return rounded_ends(self.first, self.first + self.points * self.spacing)
        half = 0.0 if on_nodes(self.first, self.last, self.spacing) else self.spacing / 2
        return rounded_ends(self.first - half, self.last + half)


@dataclass(frozen=True)
class FileSummary:
    """What a data file holds.

    time: the times of the first trajectory.
    seen: how much of the fields was looked at, of how much.
    scalars: smallest and largest value of each.
    refusals: why `open_trajectories` would refuse the file as it is.
    """

    source: str
    format: str
    trajectories: int
    axes: tuple[AxisSummary, ...]
    time: AxisSummary
    fields: tuple[FieldSummary, ...]
    scalars: dict[str, tuple[float, float]]
    refusals: tuple[str, ...]
    notes: tuple[str, ...]
    seen: tuple[int, int] = (1, 1)

    @property
    def grid(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(axis.points for axis in self.axes)


@dataclass(frozen=True)
class ArraySummary:
    """One array, before it is decided what it means. holds: of a small one its range. words: what is said of it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    unit: str
    holds: str
    words: Mapping[str, str]


@dataclass(frozen=True)
class Setting:
    """One setting of the `data` block that reads a file. said: whether it stands; else whoever pastes it chooses."""

    name: str
    value: object
    why: str = ""
    said: bool = True


@dataclass(frozen=True)
class Inspection:
    """What `cotwin data inspect` says of a file.

    words: of the file itself. arrays: all of them. reasons: of what was guessed. problem: why nothing can be read.
    summary: of what is read; None where nothing can be. recipe: the settings that read it.
    """

    source: str
    format: str
    words: Mapping[str, str]
    arrays: tuple[ArraySummary, ...]
    reasons: tuple[str, ...]
    problem: str | None
    summary: FileSummary | None
    recipe: tuple[Setting, ...]

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the file is not read as it is, with nothing said."""
        found = () if self.summary is None else self.summary.refusals
        return found if self.problem is None else (self.problem, *found)

    @property
    def options(self) -> dict[str, object]:
        """Of `open_trajectories`, as far as nothing is left to choose."""
        return {one.name: one.value for one in self.recipe if one.said and one.name not in ("kind", "path")}
