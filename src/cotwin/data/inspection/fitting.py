"""Which boundary the data themselves meet, where nothing says it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.assembling.grid import period_is_round
from cotwin.data.assembling.walls import contradictions
from cotwin.layout import Boundary, Ends, Layout

BETWEEN: tuple[Boundary, ...] = ("dirichlet", "neumann")
"""Kinds that say of an end what data can contradict."""
REPEATED = 1e-3
"""Of what neighbours differ by: less, and two points are one."""
KINK = 3.0
"""Times the bends between the ends: more, and where the end meets the beginning is a kink."""


@dataclass(frozen=True)
class Fit:
    """Kinds of one axis that the data do not speak against.

    lower, upper: of each of its ends, where it is no period.
    repeats: whether the last point holds what the first does. round: whether coordinates look like those of a period.
    """

    kinds: tuple[Ends, ...]
    lower: tuple[Boundary, ...]
    upper: tuple[Boundary, ...]
    repeats: bool
    round: bool

    def between_walls(self) -> Fit:
        """Where the file says that there is no period."""
        return replace(self, kinds=tuple(one for one in self.kinds if one != "periodic"))

    @property
    def only(self) -> Ends | None:
        """The one that is left, by the data or else by the coordinates; None where several are, or none."""
        if len(self.kinds) == 1 or (self.kinds[:1] == ("periodic",) and self.round):
            return self.kinds[0]
        return None

    @property
    def nearest(self) -> Ends:
        """For a beginning: one that the data meet, a value where they meet none."""
        if self.kinds:
            return self.kinds[0]
        ends = (*self.lower, "dirichlet")[0], (*self.upper, "dirichlet")[0]
        return ends[0] if ends[0] == ends[1] else ends


UNKNOWN = Fit(("periodic", *BETWEEN), BETWEEN, BETWEEN, repeats=False, round=False)
"""Where nothing can be said."""


def fits(states: Float[Tensor, "N T C *S"], mask: Bool[Tensor, "N T C *S"] | None, layout: Layout) -> list[Fit]:
    """For each axis, of states whose layout says nothing of it."""
    found = []
    for axis in range(layout.dims):
        known = states if mask is None else states.masked_fill(~mask, torch.nan)
        repeats = _repeats(known, axis + 3)
        lower, upper = (
            [kind for kind in BETWEEN if _meets(states, mask, layout, axis, ends(kind))]
            for ends in (lambda kind: (kind, "outflow"), lambda kind: ("outflow", kind))
        )
        kinds: list[Ends] = [kind for kind in lower if kind in upper] or list(itertools.product(lower, upper))
        if _closes(known, axis + 3, repeats) and _meets(states, mask, layout, axis, "periodic"):
            kinds.insert(0, "periodic")
        points = layout.points(axis)
        around = period_is_round(points[0], points[-1], layout.spacing[axis])
        found.append(Fit(tuple(kinds), tuple(lower), tuple(upper), repeats, around))
    return found


def _meets(states: Tensor, mask: Tensor | None, layout: Layout, axis: int, kind: Ends) -> bool:
    """Whether nothing speaks against a kind along one axis; along others stands what no data can contradict."""
    ends: list[Ends] = ["outflow"] * layout.dims
    ends[axis] = kind
    return not any(contradictions(states, mask, replace(layout, boundary=tuple(ends))))


def _repeats(states: Tensor, axis: int) -> bool:
    first, second, last = (states.select(axis, index).double() for index in (0, 1, -1))
    across, along = ((one - first).square().nanmean().sqrt() for one in (last, second))
    return bool(along > 0 and across < REPEATED * along)


def _closes(states: Tensor, axis: int, repeats: bool) -> bool:
    """Whether no kink lies where the end meets the beginning, in any channel: values alike do not make a period."""
    points = list(range(states.shape[axis] - repeats))
    if len(points) < 4:
        return True
    inside = states.index_select(axis, torch.tensor(points)).double().diff(n=2, dim=axis)
    across = states.index_select(axis, torch.tensor([*points[-2:], *points[:2]])).double().diff(n=2, dim=axis)
    seam, usual = (one.movedim(2, 0).flatten(1).square().nanmean(1).sqrt() for one in (across, inside))
    return not bool((seam > KINK * usual).any())
