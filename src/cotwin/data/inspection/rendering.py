"""What was found in a data file, as plain text."""

from __future__ import annotations

from cotwin.data.inspection.recipe import yaml_of
from cotwin.data.inspection.summary import ArraySummary, AxisSummary, FieldSummary, FileSummary, Inspection

MOST_LISTED = 60


def render(found: Inspection) -> str:
    """All of it: what the file holds, how it is read, and the settings that read it."""
    lines = [f"{found.source}: {found.format}", *(f"  {name}: {word}" for name, word in found.words.items())]
    lines += ["", "holds", *map(_array_line, found.arrays[:MOST_LISTED])]
    if len(found.arrays) > MOST_LISTED:
        lines.append(f"  and {len(found.arrays) - MOST_LISTED} more")
    if found.reasons:
        lines += ["guessed", *(f"  - {text}" for text in found.reasons)]
    if found.summary is not None:
        lines += _read_as(found.summary)
    if found.refusals:
        lines += ["to settle before it can be read", *(f"  - {text}" for text in found.refusals)]
    if found.summary is not None and found.summary.notes:
        lines += ["notes", *(f"  - {text}" for text in found.summary.notes)]
    return "\n".join([*lines, "", yaml_of(found.recipe)])


def _read_as(summary: FileSummary) -> list[str]:
    looked, whole = summary.seen
    part = "" if looked == whole else f" (ranges: of {looked / whole:.2g} of the values, evenly spread)"
    lines = [
        f"read as {summary.format}, {_many(summary.trajectories, 'trajectory', 'trajectories')}",
        *(_axis_line(axis) for axis in (*summary.axes, summary.time)),
        f"fields{part}",
        *(_field_line(field) for field in summary.fields),
    ]
    if summary.scalars:
        lines += ["numbers that are given", *(f"  {name}: {_range(*ends)}" for name, ends in summary.scalars.items())]
    return lines


def _array_line(array: ArraySummary) -> str:
    if not array.dtype:
        return f"  {array.name}: cannot be read: {array.holds}"
    words = "; ".join(f"{name}: {word}" for name, word in array.words.items())
    parts = [f"{array.name}{_bracket(array.unit)}: {array.dtype} {array.shape}", array.holds, words]
    return "  " + ", ".join(part for part in parts if part)


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
