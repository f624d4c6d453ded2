"""Whether states meet the boundary that is declared: their outermost cells, continued to the wall, against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.assembling.lasting import Lasting
from cotwin.data.assembling.outermost import (
    VALUE_AT_WALL,
    Jump,
    Wall,
    channels_at_ends,
    combined,
    outermost,
    values_of,
)
from cotwin.data.stored.contents import setting
from cotwin.data.trajectories import Trajectories
from cotwin.layout import Boundary, Layout
from cotwin.pieces import Moments, pieces

# Sound data of all presets with walls, with and without noise, stay below 0.11.
NOTED, SURE = 0.2, 0.5
# Of a value that is missed, by which continuations to the wall may differ: 0.25 and more where a layer of an error
# function is 0.7 to 1.2 cells thick, 0.2 and less from two cells on.
AGREE = 0.2
# Along a periodic axis a step between the ends may also be a front that stands there.
NOTED_JUMP = 3.0
HOLDS: dict[Boundary, str] = {"dirichlet": "is zero at the wall", "neumann": "has no slope at the wall"}


@dataclass(frozen=True)
class Contradiction:
    """One channel against the boundary of one axis. size: how much, 0 is none. sure: that it is nothing else."""

    text: str
    size: float
    sure: bool


@dataclass(frozen=True)
class _End:
    """What a channel does at one end of an axis.

    value: at the wall, over the channel's size; slope: over that between neighbouring cells inside; zero where noise
    alone could make as much. mean: of the values at the wall. scatter: their deviation from it.
    """

    name: str
    value: float
    slope: float
    mean: float
    scatter: float

    def size(self, kind: Boundary) -> float:
        """By how much it misses what a kind holds there; robin and outflow ends hold nothing that data could miss."""
        return {"dirichlet": self.value, "neumann": self.slope}.get(kind, 0.0)


def contradictions(
    states: Float[Tensor, "N T C *S"],
    mask: Bool[Tensor, "N T C *S"] | None,
    layout: Layout,
    given_at: Sequence[str] = (),
) -> Iterator[Contradiction]:
    """Where the states of a channel that moves do not meet the layout's boundary.

    given_at: ends at which a value or a flux is given, "x_lower" and so on: what the states do there is not judged.

    The component of a vector across a wall may vanish where all else has no slope. With several moving channels only
    what does neither is sure, since a model may have walls that mean one thing for each.
    """
    across = [axis if field.components > 1 else None for field in layout.fields for axis in range(field.components)]
    moving = [channel for channel, static in enumerate(layout.static_channels) if not static]
    for channel, found in zip(moving, channels_at_ends(states, mask, layout, moving), strict=True):
        size, name = found.size.size, layout.channel_names[channel]
        for axis, (steep, ends) in found.axes.items():
            kinds, steepness = layout.sides(axis), steep.typical(surely=False)
            if steepness == 0 or not size > 0:
                continue
            if isinstance(ends, Jump):
                yield from _told_jump(ends.value / steepness, name, "xyz"[axis])
                continue
            both = [_seen(*end, size, steepness) for end in zip(("lower", "upper"), ends, strict=True)]
            for place, side in enumerate(("lower", "upper")):
                if f"{'xyz'[axis]}_{side}" in given_at:
                    both[place] = replace(both[place], value=0.0, slope=0.0)
            lenient = [end.size(kind) and min(end.value, end.slope) for end, kind in zip(both, kinds, strict=True)]
            strict = [end.size(kind) for end, kind in zip(both, kinds, strict=True)]
            sizes = lenient if across[channel] == axis else strict
            sure = max(strict if len(moving) == 1 else lenient) > SURE
            if max(sizes) > NOTED:
                text = _told(both, sizes, kinds, name, "xyz"[axis])
                yield Contradiction(text, max(sizes), sure)


def _seen(name: str, wall: Wall, size: float, steepness: float) -> _End:
    """In units of the channel's size, and of its slope inside."""
    return _End(name, wall.value / size, wall.slope / steepness, wall.at_wall.mean, wall.at_wall.deviation)


def _told_jump(jump: float, name: str, axis: str) -> Iterator[Contradiction]:
    if jump > NOTED_JUMP:
        yield Contradiction(
            f"along {axis} the boundary is 'periodic', but {name} jumps between the ends by {jump:.2g} times what "
            "neighbouring points differ by; unless a front stands there, the data do not repeat",
            jump,
            sure=False,
        )


@dataclass(frozen=True)
class Missed:
    """What the data come to at a wall.

    mean: of it. size: how far that lasts beside a value, in deviations of the channel. how: in words, where it was
    seen. sure: that it is nothing else, as where a layer at the wall is no thicker than a cell.
    """

    mean: float
    size: float
    how: str
    sure: bool


def missed_value(
    trajectories: Trajectories, name: str, axis: int, end: int, known: Float[Tensor, "N T"]
) -> Missed | None:
    """A channel against a value that is known to stand at one end; None where too little tells."""
    states, layout = trajectories.states, trajectories.layout
    if layout.grid[axis] < 3:
        return None
    channel, nodes = layout.channel_names.index(name), layout.has_nodes(axis)
    every, wall, bent = Moments(), Wall(nodes), Lasting()
    for piece in pieces(states, before=2):
        values = values_of(states, trajectories.mask, piece, channel)
        cells, there = outermost(values, axis, end), known[piece.rows, piece.frames]
        beside = [cell - there.view(*there.shape, *[1] * (cell.dim() - 2)) for cell in cells]
        new = values[:, piece.lead :]
        every.add(new[new.isfinite()])
        wall.add(beside, piece.lead)
        bent.add(combined(cells, VALUE_AT_WALL[2]) - combined(cells, VALUE_AT_WALL[1]), piece.lead)
    if not every.count or not every.deviation > 0:
        return None
    how = "on the outermost node are" if nodes else "continued to the wall are"
    # Where a layer is hardly resolved, a line and a parabola lead elsewhere.
    size, apart = wall.value / every.deviation, 0.0 if nodes else bent.typical()
    sure = size > SURE and apart < AGREE * size * every.deviation
    return Missed(wall.at_wall.mean + float(known.mean()), size, how, sure)


def slope_sign(trajectories: Trajectories, name: str, axis: int, end: int) -> int:
    """Of a channel's outward derivative at one end: 0 where it has none to speak of, or changes."""
    states, layout = trajectories.states, trajectories.layout
    if layout.grid[axis] < 3:
        return 0
    channel = layout.channel_names.index(name)
    steep, wall = Lasting(), Wall(layout.has_nodes(axis))
    sums = torch.zeros(len(wall.slope_weights), 2, states.shape[1], dtype=torch.float64)
    for piece in pieces(states, before=2):
        values = values_of(states, trajectories.mask, piece, channel)
        cells = outermost(values, axis, end)
        steep.add(values.diff(dim=axis + 2), piece.lead)
        wall.add(cells, piece.lead)
        new = slice(piece.frames.start + piece.lead, piece.frames.stop)
        for weights, (total, count) in zip(wall.slope_weights, sums, strict=True):
            inward = combined(cells, weights)[:, piece.lead :].transpose(0, 1).flatten(1)
            total[new] += inward.nansum(dim=1)
            count[new] += inward.isfinite().sum(dim=1)
    steepness = steep.typical(surely=False)
    if not steepness > 0 or wall.slope < SURE * steepness:
        return 0
    signs = {int(torch.sign(-(total / count).nanmedian())) for total, count in sums}
    return signs.pop() if len(signs) == 1 else 0


def _told(both: list[_End], sizes: list[float], kinds: tuple[Boundary, Boundary], name: str, axis: str) -> str:
    against = [(end, kind) for end, kind, size in zip(both, kinds, sizes, strict=True) if size > NOTED]
    at = " and ".join(
        f"at the {end.name} end {end.mean:.3g} (deviation {end.scatter:.2g}) with a slope {end.slope:.2g} times that "
        "inside"
        for end, _ in against
    )
    said = repr(kinds[0]) if kinds[0] == kinds[1] else f"{kinds[0]!r} below and {kinds[1]!r} above"
    holds = " and ".join(dict.fromkeys(HOLDS[kind] for _, kind in against))
    return (
        f"along {axis} the boundary is {said}, so {name} {holds}, but continued to the wall it is {at}; "
        f"{_nearest(both, kinds, axis)}"
    )


def _nearest(both: list[_End], kinds: tuple[Boundary, Boundary], axis: str) -> str:
    """What the data can be told as instead."""
    fit = [
        next((one for one in (kind, *HOLDS) if end.size(one) < NOTED), None)
        for end, kind in zip(both, kinds, strict=True)
    ]
    if None not in fit:
        words = f"{fit[0]!r} fits both ends" if fit[0] == fit[1] else f"[{', '.join(map(str, fit))}] fits its ends"
        return f"{words} ({setting('boundary')})"
    one, two = both
    constant = all(end.scatter < 0.05 * abs(end.mean) for end in both) and abs(one.mean - two.mean) < 0.05 * abs(
        one.mean
    )
    if kinds == ("dirichlet", "dirichlet") and constant:
        stands = f"physical.walls.{axis}_lower.value and {axis}_upper.value can say {one.mean:.4g}"
        return f"{stands}; or, where the equation does not mind a constant, subtract {one.mean:.4g} from the data"
    return (
        "a value or a flux that is not zero stands in the model, known or unknown: "
        f"physical.walls.{axis}_lower.value, at a neumann end .flux (docs/walls.md; in Python walls= of the "
        "simulator, and given_at=)"
    )
