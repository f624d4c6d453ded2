"""Where the points of a file lie in a layout: ends of the domain, repeated points."""

from __future__ import annotations

from dataclasses import dataclass

from cotwin.data.contents import Axis, setting, step, unevenness
from cotwin.layout import Ends


@dataclass(frozen=True)
class Placement:
    """One axis in a layout.

    stated: whether the caller gave the ends of the domain.
    repeats: the last point is the first again, one period later, and has to go.
    """

    boundary: Ends
    lower: float
    upper: float
    stated: bool
    repeats: bool = False
    note: str | None = None


def place(axis: Axis, boundary: Ends, extent: tuple[float, float] | None, source: str) -> Placement:
    """The ends of one axis, from its coordinates and what the caller says of them.

    Periodic: the domain is one spacing longer than the points, unless `extent` is exactly as long as they
    are, so that the last repeats the first. Otherwise the points are the centres of cells, and the domain
    ends half a spacing beyond them.

    Raises ValueError where the coordinates are uneven, or do not fit `extent`.
    """
    problem = unevenness(axis.coordinates, "interpolate the data to a uniform grid")
    if problem is not None:
        raise ValueError(f"{source}: coordinates {axis.name} are not equally spaced: {problem}.")
    place_kind = _periodic if boundary == "periodic" else _cells
    return place_kind(axis, boundary, extent, source)


def _periodic(axis: Axis, boundary: Ends, extent: tuple[float, float] | None, source: str) -> Placement:
    first, last, spacing = float(axis.coordinates[0]), float(axis.coordinates[-1]), step(axis.coordinates)
    count = len(axis.coordinates)
    if extent is None:
        first, upper = _ends(first, first + count * spacing)
        note = (
            f"the period along {axis.name} is taken to be ({first:.6g}, {upper:.6g}), one spacing longer than "
            f"the points; give {setting('extent')} to have that checked"
        )
        return Placement(boundary, first, upper, stated=False, note=note)
    lower, upper = extent
    if _same(lower, first, spacing) and _same(upper, last, spacing):
        note = f"the last of the {count} points along {axis.name} repeats the first, one period later: dropped"
        return Placement(boundary, lower, upper, stated=True, repeats=True, note=note)
    if not _same(upper - lower, count * spacing, spacing):
        raise ValueError(
            f"{source}: extent ({lower}, {upper}) along {axis.name} does not fit its {count} points from "
            f"{first:.6g} to {last:.6g}; if the last is one spacing before the first comes again it is "
            f"({first:.6g}, {first + count * spacing:.6g}), if the last repeats the first "
            f"({first:.6g}, {last:.6g})."
        )
    if _same(lower, first, spacing):
        return Placement(boundary, lower, upper, stated=True)
    note = (
        f"the period along {axis.name} is counted from its first point, {first:.6g}, "
        f"instead of {lower:.6g}: a periodic domain begins nowhere"
    )
    return Placement(boundary, first, first + (upper - lower), stated=True, note=note)


def _cells(axis: Axis, boundary: Ends, extent: tuple[float, float] | None, source: str) -> Placement:
    first, last, spacing = float(axis.coordinates[0]), float(axis.coordinates[-1]), step(axis.coordinates)
    lower, upper = _ends(first - spacing / 2, last + spacing / 2)
    if extent is None:
        note = (
            f"the points along {axis.name} are taken as the centres of cells, so the domain is "
            f"({lower:.6g}, {upper:.6g}), half a spacing beyond them; give {setting('extent')} to have that checked"
        )
        return Placement(boundary, lower, upper, stated=False, note=note)
    if _same(extent[0], lower, spacing) and _same(extent[1], upper, spacing):
        return Placement(boundary, *extent, stated=True)
    if _same(extent[0], first, spacing) and _same(extent[1], last, spacing):
        raise ValueError(
            f"{source}: by extent ({first:.6g}, {last:.6g}) the ends of {axis.name} lie on the boundary, and "
            f"a {boundary} axis needs the centres of cells. Either average neighbours to "
            f"{len(axis.coordinates) - 1} centres, (u[1:] + u[:-1]) / 2 and likewise for {axis.name}; or say "
            f"that they are centres, extent ({lower:.6g}, {upper:.6g}), which moves the boundary by half a "
            "spacing; or, where the data continue beyond it as their odd or even mirror image, read them as "
            "'periodic'."
        )
    raise ValueError(
        f"{source}: extent {tuple(extent)} along {axis.name} does not fit its {len(axis.coordinates)} points "
        f"from {first:.6g} to {last:.6g}; as centres of cells they fill ({lower:.6g}, {upper:.6g})."
    )


def _ends(lower: float, upper: float) -> tuple[float, float]:
    """The same, where they miss zero by no more than coordinates in single precision are rounded, zero."""
    near = 1e-7 * (upper - lower)
    return (0.0 if abs(lower) < near else lower), (0.0 if abs(upper) < near else upper)


def _same(one: float, other: float, spacing: float) -> bool:
    # A hundredth of a spacing: coordinates are often single precision or rounded.
    return abs(one - other) < 0.01 * spacing
