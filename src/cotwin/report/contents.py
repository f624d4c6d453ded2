"""What a data file holds, drawn: each field of one trajectory over time."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cotwin.data.stored.contents import Array, Contents, StoredField, as_type
from cotwin.report.picture import label_of

BOTH = 0.1
"""Of the largest value, that has to be reached on the other side of zero: less is an undershoot."""
GAP = "0.8"
"""Grey where nothing is known."""
MOST_ROWS, MOST_TIMES, FRAMES = 8, 400, 4
"""Components of fields, times of a picture of space and time, and frames of others, that are drawn at most."""


def draw_contents(contents: Contents, trajectory: int = 0) -> bytes:
    """A PNG of each field: space and time in one dimension, else some frames, of three dimensions the middle plane.

    Where nothing was observed, or is not finite, it is grey. Raises ValueError where no field can be drawn.
    """
    rows = [(field, one) for field in contents.fields for one in range(field.components)][:MOST_ROWS]
    if not rows:
        raise ValueError(f"{contents.source}: no field is found in it, so there is nothing to draw.")
    figure = Figure(figsize=(11, 2.6 * len(rows) + 0.5), layout="constrained")
    parts = np.atleast_1d(np.asarray(figure.subfigures(len(rows), 1), dtype=object))
    for part, (field, component) in zip(parts, rows, strict=True):
        draw = _over_time if len(contents.axes) == 1 else _frames
        draw(part, contents, field, component, trajectory if field.per_trajectory else 0)
    some = f" of {contents.num_trajectories}" if contents.num_trajectories > 1 else ""
    figure.suptitle(f"{contents.source}, trajectory {trajectory}{some}", fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _over_time(part: Any, contents: Contents, field: StoredField, component: int, trajectory: int) -> None:
    axis, axes = contents.axes[0], part.subplots()
    x = as_type(axis.coordinates, np.float64)
    label = _label(field, component)
    if field.static:
        axes.plot(x, _values(field, trajectory, slice(0, 1), component)[0])
        axes.set(xlabel=label_of(axis.name, axis.unit), ylabel=label)
        return
    stride = -(-contents.num_frames // MOST_TIMES)
    frames = slice(0, contents.num_frames, stride)
    values, times = _values(field, trajectory, frames, component), _times(contents, trajectory)[frames]
    image = axes.pcolormesh(times, x, values.T, shading="nearest", **_colours(values))
    axes.set(xlabel=label_of("time", contents.time_unit), ylabel=label_of(axis.name, axis.unit), facecolor=GAP)
    part.colorbar(image, ax=axes, label=label)


def _frames(part: Any, contents: Contents, field: StoredField, component: int, trajectory: int) -> None:
    count = 1 if field.static else min(FRAMES, contents.num_frames)
    chosen = np.linspace(0, 0 if field.static else contents.num_frames - 1, count).round().astype(int)
    pictures = [_values(field, trajectory, slice(at, at + 1), component)[0] for at in chosen.tolist()]
    plane = "" if len(contents.axes) == 2 else f", the middle plane of {contents.axes[2].name}"
    if plane:
        pictures = [one[:, :, one.shape[2] // 2] for one in pictures]
    colours = _colours(np.stack(pictures))
    x, y = contents.axes[:2]
    panels = np.atleast_1d(np.asarray(part.subplots(1, FRAMES, sharey=True, squeeze=False)[0], dtype=object))
    for panel in panels[len(pictures) :]:
        panel.set_axis_off()
    for panel, picture, at in zip(panels, pictures, chosen.tolist(), strict=False):
        rows = (as_type(one.coordinates, np.float64) for one in (x, y))
        image = panel.pcolormesh(*rows, picture.T, shading="nearest", **colours)
        time = f"{_times(contents, trajectory)[at]:.4g}" + (
            "" if contents.time_unit == "1" else f" {contents.time_unit}"
        )
        title = "static" if field.static else f"t = {time}"
        panel.set(xlabel=label_of(x.name, x.unit), title=title, facecolor=GAP)
        panel.title.set_fontsize("small")
    panels[0].set_ylabel(label_of(y.name, y.unit))
    part.colorbar(image, ax=list(panels), label=f"{_label(field, component)}{plane}")


def _values(field: StoredField, trajectory: int, frames: slice, component: int) -> Array:
    """(T, *grid) of one component, not a number where it is not known."""
    values = as_type(field.read(trajectory, frames)[:, component], np.float64)
    values[~np.isfinite(values)] = np.nan
    if field.observed is not None:
        seen = field.observed(trajectory, frames)
        values[~np.broadcast_to(seen[:, min(component, seen.shape[1] - 1)], values.shape)] = np.nan
    return values


def _times(contents: Contents, trajectory: int) -> Array:
    row = contents.times[trajectory if len(contents.times) > 1 else 0]
    return as_type(row, np.float64)


def _colours(values: Array) -> dict[str, Any]:
    """From blue to red about zero where values have both signs."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if min(-low, high) > BOTH * max(-low, high):
        return {"cmap": "RdBu_r", "vmin": -max(-low, high), "vmax": max(-low, high)}
    margin = 0.0 if low < high else 0.1 * abs(high) or 1.0
    return {"cmap": "viridis", "vmin": low - margin, "vmax": high + margin}


def _label(field: StoredField, component: int) -> str:
    name = field.name if field.components == 1 else f"{field.name}_{'xyz'[component]}"
    return label_of(name, field.unit)
