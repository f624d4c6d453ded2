"""Trajectories taken apart for whoever writes them: fields, what is given with them, the words of their layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cotwin.data.room import require_room
from cotwin.data.stored.boundaries import FROM_END_TO_END
from cotwin.data.stored.contents import Array
from cotwin.data.trajectories import Trajectories
from cotwin.layout import Field, Layout

FIRST = "first_time"
"""When the first state is, in the trajectory that it is cut from, where that differs."""


@dataclass(frozen=True)
class WrittenField:
    """One field of the states.

    order: of its first axes: "nt", "n" of a static field that differs between trajectories, "" of one that does not;
        components and grid follow.
    values: in that order, not a number where nothing was observed. observed: likewise; None where all of it was.
    """

    field: Field
    order: str
    values: Array
    observed: Array | None = None


@dataclass(frozen=True)
class WrittenNumber:
    """What is known beside the states: numbers, or with the grid's axes behind them fields.

    order: of its first axes, "n" and "t" or neither. times: where it has others than the states.
    """

    order: str
    values: Array
    times: Array | None = None


def fields_of(trajectories: Trajectories) -> Iterator[WrittenField]:
    """Each field. Raises ValueError where states lie beside the frames: a grid of times has no place for them."""
    if trajectories.between is not None:
        raise ValueError(
            f"{trajectories.source}: {len(trajectories.between)} states lie beside the frames, at times of their "
            "own, and what is written has one row of times; read them with a larger dt_tolerance, or keep the source."
        )
    states, mask = trajectories.states.detach().cpu(), trajectories.mask
    channel = 0
    for field in trajectories.layout.fields:
        own = slice(channel, channel + field.components)
        channel += field.components
        values, observed = states[:, :, own], None if mask is None else mask[:, :, own].cpu()
        if field.static:
            values, observed = values[:, 0], None if observed is None else observed[:, 0]
        order = "n" if field.static else "nt"
        if observed is not None and bool(observed.all()):
            observed = None
        if field.static and bool((values == values[:1]).all()) and observed is None:
            order, values = "", values[0]
        if observed is not None:
            require_room(values.shape, values.element_size(), f"{trajectories.source}: {field.name} with its holes")
            values = values.masked_fill(~observed, torch.nan)
        yield WrittenField(field, order, values.numpy(), None if observed is None else observed.numpy())


def known_of(trajectories: Trajectories) -> Mapping[str, WrittenNumber]:
    """Known numbers and fields by name. What changes in time is given at the states' times where it is a field."""
    given, layout, found = trajectories.given, trajectories.layout, {}
    if len(given.frame.unique()) > 1:
        found[FIRST] = WrittenNumber("n", given.frame.cpu().numpy() * layout.dt)
    for name, condition in given.conditions.items():
        found[name] = _alike("n", condition.cpu().numpy())
    for name, course in given.inputs.items():
        if name in found:
            continue
        values = course.values.cpu()
        if values.dim() > 2 or (course.per_step == 1 and values.shape[1] == trajectories.num_frames):
            frames = np.arange(trajectories.num_frames, dtype=float)
            found[name] = _alike("nt", course.means(np.stack([frames, frames], 1)).movedim(0, 1).cpu().numpy())
        else:
            times = times_of(trajectories)[0] + layout.dt / course.per_step * np.arange(values.shape[1])
            found[name] = _alike("nt", values.numpy(), times)
    return found


def _alike(order: str, values: Array, times: Array | None = None) -> WrittenNumber:
    """Without trajectories where all of several have the same."""
    if len(values) > 1 and (values == values[:1]).all():
        return WrittenNumber(order[1:], np.asarray(values[0]), times)
    return WrittenNumber(order, values, times)


def times_of(trajectories: Trajectories) -> Array:
    """Of the states, from the first one of the trajectories that they are cut from; from zero where these differ."""
    frames = trajectories.given.frame.unique()
    begin = int(frames[0]) if len(frames) == 1 else 0
    return trajectories.layout.dt * (begin + np.arange(trajectories.num_frames))


def boundary_words(layout: Layout) -> list[str]:
    """Of each axis what stands at its ends, as a file says it."""
    pairs = map(layout.sides, range(layout.dims))
    return [lower if lower == upper else f"{lower}{FROM_END_TO_END}{upper}" for lower, upper in pairs]


def row_of(layout: Layout, axis: int) -> Array:
    """Coordinates along an axis."""
    return np.array(layout.points(axis))


def require_names(fields: Iterable[str], given: Iterable[str], taken: Sequence[str], what: str) -> None:
    """Raise ValueError for names that what is written keeps for something else, or that are there twice."""
    seen: set[str] = set()
    for name in (*fields, *given):
        if name in taken:
            raise ValueError(
                f"in {what} {', '.join(taken)} are no fields, and the data have one that is called {name}; rename it "
                "in the data."
            )
        if name in seen:
            raise ValueError(f"the data have {name!r} twice, in the state and given with it; rename one of them.")
        seen.add(name)
