"""The summary of a data file, and its rendering as plain text."""

from __future__ import annotations

from dataclasses import dataclass

from cotwin.data.grid import on_nodes


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
            return self.first, self.first + self.points * self.spacing
        if on_nodes(self.first, self.last, self.spacing):
            return self.first, self.last
        return self.first - self.spacing / 2, self.last + self.spacing / 2


@dataclass(frozen=True)
class FileSummary:
    """What a data file holds.

    time: the times of the first trajectory.
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

    @property
    def grid(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(axis.points for axis in self.axes)


def render(summary: FileSummary) -> str:
    """The summary as plain text."""
    lines = [
        f"{summary.source}: {summary.format}, {_many(summary.trajectories, 'trajectory', 'trajectories')}",
        "",
        "grid",
        *(_axis_line(axis) for axis in summary.axes),
        "times",
        _axis_line(summary.time),
        "fields",
        *(_field_line(field) for field in summary.fields),
    ]
    if summary.scalars:
        lines += ["scalars", *(f"  {name}: {_range(*ends)}" for name, ends in summary.scalars.items())]
    if summary.refusals:
        lines += ["to settle before it can be read", *(f"  - {text}" for text in summary.refusals)]
    if summary.notes:
        lines += ["notes", *(f"  - {text}" for text in summary.notes)]
    return "\n".join(lines)


def _axis_line(axis: AxisSummary) -> str:
    spacing = "uneven" if axis.spacing is None else f"step {axis.spacing:.6g}"
    boundary = "" if axis.boundary is None else f", {axis.boundary}"
    if axis.extent is not None:
        boundary += f" in ({axis.extent[0]:.6g}, {axis.extent[1]:.6g})"
    return (
        f"  {axis.name}{_bracket(axis.unit)}: {_many(axis.points, 'point', 'points')} from {axis.first:.6g} "
        f"to {axis.last:.6g}, {spacing}{boundary}"
    )


def _field_line(field: FieldSummary) -> str:
    kind = "scalar" if field.components == 1 else f"vector of {field.components}"
    values = (
        "no finite value" if field.minimum is None or field.maximum is None else _range(field.minimum, field.maximum)
    )
    parts = [
        f"  {field.name}{_bracket(field.unit)}: {'static ' if field.static else ''}{kind}",
        f"{field.dtype} {field.shape}",
        values,
    ]
    if field.non_finite:
        parts.append(f"{field.non_finite} not finite")
    if field.unobserved:
        parts.append(f"{field.unobserved} not observed")
    return ", ".join(parts)


def _range(low: float, high: float) -> str:
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _bracket(unit: str) -> str:
    return "" if unit == "1" else f" [{unit}]"
