"""Data, simulator and surrogate beside each other, and how their errors grow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from torch import Tensor

from cotwin.data.nearest import nearest
from cotwin.layout import Layout
from cotwin.pieces import pieces
from cotwin.report.picture import channel_label, label_of, latest, picture_of
from cotwin.stepper import DivergenceError, Stepper
from cotwin.training.evaluation import Comparison, Estimate, Training
from cotwin.training.held_out import HeldOut
from cotwin.training.hybrid import Role

# Together solid, alone dashed and in another shade: both show where they coincide.
COLOURS: dict[tuple[Role, Training], str] = {
    ("physical", "together"): "tab:blue",
    ("physical", "alone"): "tab:cyan",
    ("synthetic", "together"): "tab:red",
    ("synthetic", "alone"): "tab:orange",
}
NAMES = {"physical": "simulator", "synthetic": "surrogate"}


def draw(
    layout: Layout,
    shown: HeldOut,
    models: Mapping[Role, Stepper],
    comparison: Comparison,
    metrics: Sequence[Mapping[str, Any]],
) -> bytes:
    """A PNG of rollouts of the first shown trajectory, errors over time, learning curves and estimated fields.

    models: the simulator and the surrogate, by role, as trained together.
    metrics: the lines of metrics.jsonl.
    """
    fields = [e for e in comparison.estimates if tuple(e.together.shape) == layout.grid]
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    top, bottom = np.asarray(figure.subfigures(2, 1))
    _rollouts(top, layout, shown, models)
    panels = bottom.subplots(1, 3 if fields else 2)
    _errors_over_time(panels[0], layout, shown, comparison)
    _learning_curves(panels[1], metrics)
    if fields:
        _field(panels[2], layout, fields[0])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _rollouts(figure: Any, layout: Layout, shown: HeldOut, models: Mapping[Role, Stepper]) -> None:
    channel = layout.static_channels.index(False)
    # Of more than one dimension the last state is shown.
    seen = slice(None) if layout.dims == 1 else slice(-1, None)
    recorded = shown.states[0, seen, channel]
    if shown.sensors is not None:
        near, there = nearest(shown.sensors, layout, len(shown.states), shown.states.shape[1])
        read = torch.where(there, near, torch.nan)[0, :, channel].to(recorded)
        recorded = read if layout.dims == 1 else latest(read)
    elif shown.mask is not None:
        recorded = torch.where(shown.mask[0, seen, channel], recorded, torch.nan)
    images = {"truth" if shown.clean else "measured": recorded}
    for role, model in models.items():
        try:
            images[NAMES[role]] = _first(shown, model, channel, seen)
        except DivergenceError:
            images[f"{NAMES[role]} (diverged)"] = torch.full_like(recorded, torch.nan)
    low, high = _range(shown, channel)
    axes = figure.subplots(1, len(images), sharey=True)
    for axis, (name, states) in zip(axes, images.items(), strict=True):
        picture, extent, labels = picture_of(states, layout)
        image = axis.imshow(picture, extent=extent, origin="lower", aspect="auto", vmin=low, vmax=high, cmap="RdBu_r")
        axis.set(title=name, xlabel=labels[0])
    axes[0].set_ylabel(labels[1])
    figure.colorbar(image, ax=axes).ax.set_title(channel_label(layout, channel), fontsize="small")


def _first(shown: HeldOut, model: Stepper, channel: int, seen: slice) -> Tensor:
    """A channel of the first trajectory as a model predicts it, at these frames."""
    parts = []
    for piece, states in shown.predictions(model):
        if piece.rows.start > 0:
            break
        parts.append(states[0, seen, channel])
    return torch.cat(parts)[seen]


def _range(shown: HeldOut, channel: int) -> tuple[float, float]:
    """Of a channel of the first trajectory, least and largest of what is known."""
    ends = []
    for piece in pieces(shown.states[:1]):
        values = piece.of(shown.states)[:, :, channel]
        known = values.isfinite() if shown.mask is None else piece.of(shown.mask)[:, :, channel]
        if bool(known.any()):
            ends.append((float(values[known].min()), float(values[known].max())))
    return min(low for low, _ in ends), max(high for _, high in ends)


def _errors_over_time(axis: Axes, layout: Layout, shown: HeldOut, comparison: Comparison) -> None:
    for score in comparison.scores:
        times = layout.dt * (shown.scored_from + np.arange(len(score.over_time)))
        style = "-" if score.training == "together" else "--"
        label = f"{NAMES[score.role]}, {score.training}"
        axis.plot(times, score.over_time, style, color=COLOURS[score.role, score.training], label=label)
    which = "validation" if comparison.scores[0].test is None else "test"
    axis.set(
        xlabel=label_of("time", layout.time_unit),
        ylabel="NRMSE",
        yscale="log",
        title=f"{which} error over a rollout",
    )
    axis.legend(fontsize="small")


def _learning_curves(axis: Axes, metrics: Sequence[Mapping[str, Any]]) -> None:
    for (role, training), colour in COLOURS.items():
        lines = [m for m in metrics if m["learner"] == role and m["training"] in ("both", training)]
        axis.plot(
            np.cumsum([m["steps"] for m in lines]),
            [m["validation_error"] for m in lines],
            "-" if training == "together" else "--",
            marker="o",
            markersize=3,
            color=colour,
        )
    axis.set(xlabel="optimiser steps", ylabel="NRMSE", yscale="log", xscale="log", title="best validation error")
    # Plain numbers: powers of ten lie on each other where a run is short.
    axis.xaxis.set_major_formatter(LogFormatter())
    axis.xaxis.set_minor_formatter(LogFormatter())


def _field(axis: Axes, layout: Layout, estimate: Estimate) -> None:
    if layout.dims == 1:
        x = layout.points(0)
        if estimate.truth is not None:
            axis.plot(x, estimate.truth, color="black", label="truth")
        axis.plot(x, estimate.start.expand(len(x)), ":", color="grey", label="start")
        axis.plot(x, estimate.together, color="tab:blue", label="together")
        axis.plot(x, estimate.alone, "--", color="tab:cyan", label="alone")
        axis.legend(fontsize="small")
        axis.set(xlabel=label_of("x", layout.space_unit), ylim=(0, None))
    else:
        picture, extent, labels = picture_of(estimate.together[None], layout)
        image = axis.imshow(picture, extent=extent, origin="lower", aspect="auto")
        axis.set(xlabel=labels[0], ylabel=labels[1])
        axis.figure.colorbar(image, ax=axis)
    axis.set_title(f"{label_of(estimate.name, estimate.unit)}, estimated")
