"""What stands at the ends of a file's axes: the file's word, and the caller's where it leaves that open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from cotwin.data.stored.contents import Axis, Contents, setting
from cotwin.layout import Boundary, Centring, Ends

KINDS: tuple[Boundary, ...] = get_args(Boundary)
# A file that says "wall" or "open" does not say what holds there: the caller chooses.
UNDECIDED = ("wall", "open")
WALLS = "'dirichlet' (a value), 'neumann' (a flux), 'robin' (an exchange) or 'outflow'"
FROM_END_TO_END = " to "
"""Between the words of the lower and the upper end, where a file has one for each."""


def boundaries(contents: Contents, boundary: Boundary | Sequence[Ends] | None) -> tuple[Ends, ...]:
    """The boundary of each axis: what the file says, and the caller's word where the file leaves it open.

    boundary: one for each axis or for each of its ends, or one for all axes of which the file does not decide.
    Raises ValueError where neither decides, or the two contradict each other.
    """
    if boundary is not None and not isinstance(boundary, str) and len(boundary) != len(contents.axes):
        raise ValueError(
            f"{contents.source}: {setting('boundary')} names {len(boundary)} boundaries, the file has the axes "
            f"{[axis.name for axis in contents.axes]}; give one for each, or one name for all. The two ends of one "
            "axis are a pair in that list, [[dirichlet, neumann]]."
        )
    decided = all(said_by(axis) is not None for axis in contents.axes)
    chosen: list[Ends] = []
    for index, axis in enumerate(contents.axes):
        if boundary is None or isinstance(boundary, str):
            asked: Ends | None = boundary if decided or said_by(axis) is None else None
        else:
            asked = boundary[index]
        chosen.append(_boundary(axis, asked, contents.source))
    return tuple(chosen)


def centrings(contents: Contents, points: Centring | Sequence[Centring] | None) -> tuple[Centring | None, ...]:
    """Whether the points of each axis are cells or nodes, as the file or the caller says; None where neither does.

    points: one for each axis, or one for all that are not periodic. Raises ValueError where the two contradict.
    """
    asked: Sequence[Centring | None]
    asked = [points] * len(contents.axes) if points is None or isinstance(points, str) else points
    if len(asked) != len(contents.axes):
        raise ValueError(
            f"{contents.source}: {setting('points')} has {len(asked)} words, the file has the axes "
            f"{[axis.name for axis in contents.axes]}; give one for each, or one for all."
        )
    chosen: list[Centring | None] = []
    for axis, word in zip(contents.axes, asked, strict=True):
        said = next((kind for kind in get_args(Centring) if kind == axis.points), None)
        if (axis.points is not None and said is None) or (word is not None and said not in (None, word)):
            raise ValueError(
                f"{contents.source}: the points along {axis.name} are {axis.points!r} in the file; "
                f"{setting('points')} and the file may say cells or nodes, and both the same."
            )
        chosen.append(word or said)
    return tuple(chosen)


def said_by(axis: Axis) -> Ends | None:
    """The boundary of an axis by the file alone; None where that does not decide it."""
    ends: list[Boundary] = []
    for word in [] if axis.boundary is None else axis.boundary.split(FROM_END_TO_END):
        ends += [kind for kind in KINDS if kind == word]
    match ends:
        case [both] if both == axis.boundary:
            return both
        case [lower, upper]:
            return lower, upper
    return None


def _boundary(axis: Axis, asked: Ends | None, source: str) -> Ends:
    where = f"{source}: the boundary along {axis.name}"
    asked = asked if asked is None or isinstance(asked, str) or len(set(asked)) > 1 else asked[0]
    known = said_by(axis)
    if known is not None:
        if asked not in (None, known):
            raise ValueError(
                f"{where} is {axis.boundary!r} in the file and {asked!r} in {setting('boundary')}; drop one of them."
            )
        return known
    said = [] if axis.boundary is None else axis.boundary.replace(FROM_END_TO_END, " and ").split(" and ")
    unknown = [word for word in said if word not in (*KINDS, *UNDECIDED)]
    if unknown:
        words = ", ".join((*KINDS, *UNDECIDED))
        raise ValueError(f"{where} is {axis.boundary!r} in the file; Cotwin knows {words}.")
    if said and asked == "periodic":
        raise ValueError(
            f"{where} is {axis.boundary!r} in the file and 'periodic' in {setting('boundary')}; "
            f"choose {WALLS} (docs/walls.md)."
        )
    if asked is None:
        states = f"is {axis.boundary!r}, which does not say what holds there" if said else "is not in the file"
        choices = WALLS if said else f"'periodic', {WALLS}"
        raise ValueError(f"{where} {states}; choose {choices} with {setting('boundary')}.")
    return asked
