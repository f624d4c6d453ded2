"""Fields of the state that nothing measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from cotwin.data.trajectories import Trajectories
from cotwin.experiment.part import require_memory
from cotwin.experiment.settings import Hidden
from cotwin.layout import Field
from cotwin.pieces import any_of


def with_hidden(
    trajectories: Trajectories, hidden: Mapping[str, Hidden], order: Sequence[str] | None
) -> Trajectories:
    """Trajectories with the hidden fields as channels of which nothing is observed.

    order: of all fields; those that are hidden come last if not given.

    Raises ValueError where one is measured, and where nothing else is.
    """
    if not hidden:
        return trajectories
    require_memory(trajectories, "a field that nothing measures is estimated from the states of all times")
    layout, count = trajectories.layout, len(trajectories.layout.state_shape)
    there = {field.name for field in layout.fields}
    added = [Field(name, one.components, unit=one.unit) for name, one in hidden.items() if name not in there]
    fields = (*layout.fields, *added)
    names = [field.name for field in fields]
    wanted = names if order is None else list(order)
    if sorted(wanted) != sorted(names):
        raise ValueError(f"data.fields lists {wanted}, the state has {sorted(names)}; list all, hidden ones too.")
    spare = layout.channels, sum(field.components for field in added)
    states = torch.nn.functional.pad(trajectories.states, (*[0, 0] * (count - 1), 0, spare[1]))
    mask = torch.zeros_like(states, dtype=torch.bool)
    mask[:, :, : spare[0]] = True if trajectories.mask is None else trajectories.mask
    wide = replace(layout, fields=fields)
    places = torch.tensor([place for name in wanted for place in wide.channels_of(name)])
    ordered = replace(layout, fields=tuple(fields[names.index(name)] for name in wanted))
    states, mask, between = states[:, :, places].contiguous(), mask[:, :, places].contiguous(), trajectories.between
    if between is not None:
        values, seen = (
            torch.nn.functional.pad(one, (*[0, 0] * (count - 1), 0, spare[1]))
            for one in (between.states, between.mask)
        )
        between = replace(between, states=values[:, places], mask=seen[:, places])
    sensors = trajectories.sensors
    if sensors is not None:
        sensors = replace(sensors, channel=places.argsort()[sensors.channel])
    for name in hidden:
        read = sensors is not None and bool(
            torch.isin(sensors.channel, torch.tensor(ordered.channels_of(name))).any()
        )
        if read or bool(mask[:, :, ordered.channels_of(name)].any()):
            raise ValueError(
                f"data.hidden: {name} is measured. Leave it out: where a start of it is missing, it is estimated."
            )
    return replace(trajectories, states=states, mask=mask, layout=ordered, between=between, sensors=sensors)


def require_seen(trajectories: Trajectories, hidden: Mapping[str, Hidden]) -> None:
    """Raise ValueError for a field that is measured nowhere, and of which nothing is said to be known."""
    if trajectories.mask is None:
        return
    near = trajectories.on_the_grid()
    assert near.mask is not None
    for field in trajectories.layout.fields:
        channels = trajectories.layout.channels_of(field.name)
        if field.name not in hidden and not bool(any_of(near.mask, channels).any()):
            raise ValueError(
                f"{trajectories.source}: field {field.name!r} is measured nowhere in the training data. If it is "
                "part of the state, say roughly what is known of it at the start, in its own unit: "
                f"data.hidden={{{field.name}: {{mean: 0.5, deviation: 0.5}}}}. Else name the others: data.fields."
            )
