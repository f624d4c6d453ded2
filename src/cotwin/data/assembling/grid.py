"""Where the points of a file lie in a layout: ends of the domain, repeated points."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cotwin.data.stored.contents import Axis, setting, step, unevenness
from cotwin.layout import Centring, Ends


@dataclass(frozen=True)
class Placement:
    """One axis in a layout.

    stated: whether the caller gave the ends of the domain.
    repeats: the last point is the first again, one period later, and has to go.
    centring: whether the points are cells or nodes.
    """

    boundary: Ends
    lower: float
    upper: float
    stated: bool
    repeats: bool = False
    note: str | None = None
    centring: Centring = "cells"


def place(
    axis: Axis, boundary: Ends, extent: tuple[float, float] | None, source: str, points: Centring | None = None
) -> Placement:
    """The ends of one axis, from its coordinates and what the caller says of them.

    Periodic: the domain is one spacing longer than the points, unless `extent` is exactly as long as they
    are, so that the last repeats the first. Otherwise the points are nodes, the outermost of them on the ends of the
    domain, or centres of cells, and the domain ends half a spacing beyond them: as `points` or `extent` has it, else
    as `on_nodes` finds.

    Raises ValueError where the coordinates are uneven, or do not fit `extent` or `points`.
    """
    problem = unevenness(axis.coordinates, "interpolate the data to a uniform grid")
    if problem is not None:
        raise ValueError(f"{source}: coordinates {axis.name} are not equally spaced: {problem}.")
    if boundary == "periodic":
        return _periodic(axis, boundary, extent, source)
    return _between_ends(axis, boundary, extent, source, points)


def on_nodes(first: float, last: float, spacing: float) -> bool:
    """Whether points look like nodes, on the ends of a domain, rather than like centres of cells.

    The domain whose ends are rounder numbers is taken; of two that are as round, the nodes where the first point is a
    whole multiple of the spacing.

    >>> on_nodes(-1.0, 1.0, 2 / 63), on_nodes(0.5, 9.5, 1.0)
    (True, False)
    """
    near = 1e-6 * max(abs(first), abs(last), spacing)
    nodes, cells = (
        sum(_digits(end, near) for end in ends) for ends in ((first, last), (first - spacing / 2, last + spacing / 2))
    )
    return nodes < cells or (nodes == cells and _same(first, round(first / spacing) * spacing, spacing))


def period_is_round(first: float, last: float, spacing: float) -> bool:
    """Whether points look as along a periodic axis: the ends of a period, a spacing longer, are the rounder numbers.

    >>> period_is_round(-1.0, 0.96875, 0.03125), period_is_round(0.0, 1.0, 0.05)
    (True, False)
    """
    near = 1e-6 * max(abs(first), abs(last), spacing)
    half = spacing / 2
    domains = ((first, last + spacing), (first, last), (first - half, last + half))
    period, nodes, cells = (sum(_digits(end, near) for end in ends) for ends in domains)
    return period < min(nodes, cells)


def _digits(value: float, near: float) -> int:
    """Decimals that it takes to write a value to within `near`, from the first that is not zero; of zero none."""
    if abs(value) < near:
        return 0
    leading = math.floor(math.log10(abs(value)))
    return next((digits for digits in range(1, 8) if abs(value - round(value, digits - 1 - leading)) < near), 8)


def _periodic(axis: Axis, boundary: Ends, extent: tuple[float, float] | None, source: str) -> Placement:
    first, last, spacing = float(axis.coordinates[0]), float(axis.coordinates[-1]), step(axis.coordinates)
    count = len(axis.coordinates)
    if extent is None:
        first, upper = rounded_ends(first, first + count * spacing)
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


def _between_ends(
    axis: Axis, boundary: Ends, extent: tuple[float, float] | None, source: str, points: Centring | None
) -> Placement:
    first, last, spacing = float(axis.coordinates[0]), float(axis.coordinates[-1]), step(axis.coordinates)
    domains = {"nodes": rounded_ends(first, last), "cells": rounded_ends(first - spacing / 2, last + spacing / 2)}
    found: Centring = "nodes" if on_nodes(first, last, spacing) else "cells"
    if extent is None:
        chosen = points or found
        lower, upper = domains[chosen]
        note = None if points is not None else _taken(axis.name, chosen, domains)
        return Placement(boundary, lower, upper, stated=points is not None, note=note, centring=chosen)
    kinds: tuple[Centring, Centring] = ("cells", "nodes")
    for kind in kinds:
        if points in (None, kind) and all(_same(*pair, spacing) for pair in zip(extent, domains[kind], strict=True)):
            return Placement(boundary, *extent, stated=True, centring=kind)
    fills = ", ".join(
        f"as {kind} they fill ({lower:.6g}, {upper:.6g})"
        for kind, (lower, upper) in domains.items()
        if points in (None, kind)
    )
    raise ValueError(
        f"{source}: extent {tuple(extent)} along {axis.name} does not fit its {len(axis.coordinates)} points "
        f"from {first:.6g} to {last:.6g}; {fills} ({setting('extent')}, {setting('points')})."
    )


def _taken(name: str, chosen: Centring, domains: dict[str, tuple[float, float]]) -> str:
    lower, upper = domains[chosen]
    if chosen == "nodes":
        return (
            f"the points along {name} are taken as nodes, the outermost of them on the ends of the domain, "
            f"({lower:.6g}, {upper:.6g}); if they are the centres of cells, say cells as {setting('points')}"
        )
    return (
        f"the points along {name} are taken as the centres of cells, so the domain is ({lower:.6g}, {upper:.6g}), "
        f"half a spacing beyond them; if the outermost lie on its ends, say nodes as {setting('points')}"
    )


def rounded_ends(lower: float, upper: float) -> tuple[float, float]:
    """The same, where they miss zero by no more than coordinates in single precision are rounded, zero."""
    near = 1e-7 * (upper - lower)
    return (0.0 if abs(lower) < near else lower), (0.0 if abs(upper) < near else upper)


def _same(one: float, other: float, spacing: float) -> bool:
    # A hundredth of a spacing: coordinates are often single precision or rounded.
    return abs(one - other) < 0.01 * spacing
