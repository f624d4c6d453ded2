"""Whether states meet the boundary that is declared: their outermost cells, continued to the wall, against it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.contents import setting
from cotwin.data.trajectories import Trajectories
from cotwin.layout import Boundary, Layout

# Of the outermost three cells, nearest first: what lies at the wall, half a cell before them, by each order. Of the
# orders the one that speaks for the boundary counts: where the states bend, or are noisy, they differ.
VALUE_AT_WALL = ((1.0, 0.0, 0.0), (1.5, -0.5, 0.0), (1.875, -1.25, 0.375))
SLOPE_AT_WALL = ((-1.0, 1.0, 0.0), (-2.0, 3.0, -1.0))
# Nodes: the outermost lies on the wall.
VALUE_AT_NODE = ((1.0, 0.0, 0.0),) * 3
SLOPE_AT_NODE = ((-1.0, 1.0, 0.0), (-1.5, 2.0, -0.5))
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
    for channel in moving:
        values = states[:, :, channel].double()
        if mask is not None:
            values = values.masked_fill(~mask[:, :, channel], torch.nan)
        size, name = float(values.square().nanmean().sqrt()), layout.channel_names[channel]
        for axis in range(layout.dims):
            kinds = layout.sides(axis)
            steepness = _typical(values.diff(dim=axis + 2), surely=False)
            if layout.grid[axis] < 3 or steepness == 0 or not size > 0:
                continue
            cells = [[values.select(axis + 2, place) for place in places] for places in ((0, 1, 2), (-1, -2, -3))]
            if layout.is_periodic(axis):
                yield from _jump(cells, steepness, name, "xyz"[axis])
            else:
                ends, nodes = zip(("lower", "upper"), cells, strict=True), layout.has_nodes(axis)
                both = [_end(*end, size, steepness, nodes) for end in ends]
                for place, side in enumerate(("lower", "upper")):
                    if f"{'xyz'[axis]}_{side}" in given_at:
                        both[place] = replace(both[place], value=0.0, slope=0.0)
                lenient = [
                    end.size(kind) and min(end.value, end.slope) for end, kind in zip(both, kinds, strict=True)
                ]
                strict = [end.size(kind) for end, kind in zip(both, kinds, strict=True)]
                sizes = lenient if across[channel] == axis else strict
                sure = max(strict if len(moving) == 1 else lenient) > SURE
                if max(sizes) > NOTED:
                    text = _told(both, sizes, kinds, name, "xyz"[axis])
                    yield Contradiction(text, max(sizes), sure)


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
    values, cells, _ = _at_end(trajectories, name, axis, end)
    spread = float((values - values.nanmean()).square().nanmean().sqrt())
    if len(cells) < 3 or not spread > 0:
        return None
    nodes, wall = trajectories.layout.has_nodes(axis), known.view(*known.shape, *[1] * (values.dim() - 3))
    size, at_wall = _value([cell - wall for cell in cells], spread, nodes)
    how = "on the outermost node are" if nodes else "continued to the wall are"
    # Where a layer is hardly resolved, a line and a parabola lead elsewhere.
    apart = 0.0 if nodes else _typical(_combined(cells, VALUE_AT_WALL[2]) - _combined(cells, VALUE_AT_WALL[1]))
    sure = size > SURE and apart < AGREE * size * spread
    return Missed(float(at_wall.mean()) + float(known.mean()), size, how, sure)


def slope_sign(trajectories: Trajectories, name: str, axis: int, end: int) -> int:
    """Of a channel's outward derivative at one end: 0 where it has none to speak of, or changes."""
    _, cells, steepness = _at_end(trajectories, name, axis, end)
    if len(cells) < 3 or not steepness > 0:
        return 0
    weights = SLOPE_AT_NODE if trajectories.layout.has_nodes(axis) else SLOPE_AT_WALL
    inward = [_combined(cells, one) for one in weights]
    if min(map(_typical, inward)) < SURE * steepness:
        return 0
    signs = {int(torch.sign(-one.nanmean(dim=(0, *range(2, one.dim()))).nanmedian())) for one in inward}
    return signs.pop() if len(signs) == 1 else 0


def _at_end(trajectories: Trajectories, name: str, axis: int, end: int) -> tuple[Tensor, list[Tensor], float]:
    """A channel's values, nan where unknown; its outermost three at one end; and what neighbours differ by."""
    channel = trajectories.layout.channel_names.index(name)
    values = trajectories.states[:, :, channel].double()
    if trajectories.mask is not None:
        values = values.masked_fill(~trajectories.mask[:, :, channel], torch.nan)
    places = (-1, -2, -3) if end else (0, 1, 2)
    enough = trajectories.layout.grid[axis] >= 3
    cells = [values.select(axis + 2, place) for place in places] if enough else []
    return values, cells, _typical(values.diff(dim=axis + 2), surely=False)


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


def _jump(cells: list[list[Tensor]], steepness: float, name: str, axis: str) -> Iterator[Contradiction]:
    orders = [_combined(cells[0], weights) - _combined(cells[1], weights) for weights in VALUE_AT_WALL]
    jump = min(_typical(one) for one in orders) / steepness
    if jump > NOTED_JUMP:
        yield Contradiction(
            f"along {axis} the boundary is 'periodic', but {name} jumps between the ends by {jump:.2g} times what "
            "neighbouring points differ by; unless a front stands there, the data do not repeat",
            jump,
            sure=False,
        )


def _end(name: str, cells: list[Tensor], size: float, steepness: float, nodes: bool) -> _End:
    value, at_wall = _value(cells, size, nodes)
    slope = min(_typical(_combined(cells, weights)) for weights in (SLOPE_AT_NODE if nodes else SLOPE_AT_WALL))
    scatter = float((at_wall - at_wall.mean()).square().mean().sqrt())
    return _End(name, value, slope / steepness, float(at_wall.mean()), scatter)


def _value(cells: list[Tensor], size: float, nodes: bool) -> tuple[float, Tensor]:
    """What lies at the wall, over the channel's size, and all values there that are known."""
    at_wall = [_combined(cells, weights) for weights in (VALUE_AT_NODE if nodes else VALUE_AT_WALL)]
    return min(map(_typical, at_wall)) / size, at_wall[1][at_wall[1].isfinite()]


def _combined(cells: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    # Cells of weight zero are left out: where one was not observed, the others still say something.
    return torch.stack([weight * cell for weight, cell in zip(weights, cells, strict=True) if weight]).sum(dim=0)


def _typical(values: Float[Tensor, "N T *P"], surely: bool = True) -> float:
    """Size of what lasts from one state to the next: noise, which does not, has none.

    The median over trajectories and times of products of successive states, so that what is there for a few states
    alone (a start, a wave that passes) does not count. surely: less three standard errors by the noise, which second
    differences in time bound.
    """
    flat = values.reshape(*values.shape[:2], -1)
    products = (flat[:, 1:] * flat[:, :-1]).nanmean(dim=2).flatten()
    products = products[products.isfinite()]
    noise = float(flat.diff(n=2, dim=1).square().nanmean()) / 6
    if len(products) == 0 or not math.isfinite(noise):
        return 0.0
    typical = float(products.median())
    if surely and typical > 0:
        typical -= 3 * 1.25 * math.sqrt((2 * typical * noise + noise**2) / (len(products) * flat.shape[2]))
    return math.sqrt(max(typical, 0.0))
