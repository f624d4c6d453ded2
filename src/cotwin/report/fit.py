"""How a calibrated simulator fits what was measured, and its estimates with their intervals."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.stats
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cotwin.data.nearest import nearest
from cotwin.estimation import Interval
from cotwin.estimation.calibration import Calibration
from cotwin.layout import Layout
from cotwin.report.numbers import resolved
from cotwin.report.picture import channel_label, label_of, latest, picture_of
from cotwin.sensors import Sensors

FARTHEST_RESIDUAL = 5.0  # standard deviations
FARTHEST_TRUTH = 3.0  # half widths of an interval


def draw(calibration: Calibration, recorded: Float[Tensor, "T C *S"], sensors: Sensors | None = None) -> bytes:
    """A PNG of the first rollout as measured and as fitted, the residuals, and the estimates.

    recorded: the states that were measured, nan where they were not. sensors: what the residuals are of where these
    are states at the points next to sensors.
    """
    layout = calibration.estimation.problem.observation.layout
    scalars = [one for one in calibration.intervals.values() if one.value.numel() == 1]
    fields = [one for one in calibration.intervals.values() if one.value.numel() > 1]
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    top, bottom = np.asarray(figure.subfigures(2, 1))
    channel = layout.static_channels.index(False)
    measured = recorded[:, channel]
    if sensors is None:
        off = (measured - calibration.fitted[0, :, channel].to(measured)) / float(
            calibration.estimation.noise[channel]
        )
    else:
        off = _at_sensors(sensors, layout, calibration, len(recorded))[:, channel]
        if layout.dims > 1:
            # Of more than one dimension the last state is shown, at which hardly a sensor may have read.
            measured, off = latest(measured), latest(off)
    _images(top, layout, measured, off, calibration, channel)
    panels = np.atleast_1d(bottom.subplots(1, 1 + bool(scalars) + bool(fields)))
    _residuals(panels[0], calibration)
    if scalars:
        _scalars(panels[1], calibration, scalars)
    if fields:
        _field(panels[-1], layout, calibration, fields[0])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _at_sensors(sensors: Sensors, layout: Layout, calibration: Calibration, frames: int) -> Float[Tensor, "T C *S"]:
    """Residuals in standard deviations of the noise, at the points next to sensors of the first rollout."""
    own = replace(sensors, values=-calibration.estimation.residuals).of_rows([0], int(sensors.row.max()) + 1)
    off, there = nearest(own, layout, 1, frames)
    return torch.where(there, off, torch.nan)[0]


def _images(
    figure: Any, layout: Layout, measured: Tensor, off: Tensor, calibration: Calibration, channel: int
) -> None:
    fitted = calibration.fitted[0, :, channel].to(measured)
    seen = torch.cat([fitted.flatten(), measured[measured.isfinite()]])
    low, high = float(seen.min()), float(seen.max())
    axes = figure.subplots(1, 3, sharey=True)
    for axis, name, states in zip(axes[:2], ("measured", "fitted"), (measured, fitted), strict=True):
        picture, extent, labels = picture_of(states, layout)
        image = axis.imshow(picture, extent=extent, origin="lower", aspect="auto", vmin=low, vmax=high, cmap="RdBu_r")
        axis.set(title=name, xlabel=labels[0])
    axes[0].set_ylabel(labels[1])
    figure.colorbar(image, ax=axes[:2]).ax.set_title(channel_label(layout, channel), fontsize="small")
    picture, extent, labels = picture_of(off, layout)
    image = axes[2].imshow(picture, extent=extent, origin="lower", aspect="auto", vmin=-4, vmax=4, cmap="PuOr")
    axes[2].set(title="measured − fitted", xlabel=labels[0])
    figure.colorbar(image, ax=axes[2], label="standard deviations of the noise")


def _residuals(axis: Axes, calibration: Calibration) -> None:
    """All of them, against the normal density that the intervals suppose."""
    # Those beyond count at the ends: a few of them would make the bars too broad to see anything.
    residuals = calibration.estimation.residuals.clamp(-FARTHEST_RESIDUAL, FARTHEST_RESIDUAL)
    bins = np.linspace(-FARTHEST_RESIDUAL, FARTHEST_RESIDUAL, 61).tolist()
    label = "residuals / noise" if calibration.estimation.discrepancy is None else "whitened residuals"
    axis.hist(residuals.numpy(), bins=bins, density=True, color="tab:blue", alpha=0.6, label=label)
    x = np.linspace(-4, 4, 200)
    axis.plot(x, scipy.stats.norm.pdf(x), color="black", label="normal")
    axis.set(
        xlim=(-FARTHEST_RESIDUAL, FARTHEST_RESIDUAL), xlabel="standard deviations", title="residuals of all values"
    )
    axis.legend(fontsize="small")


def _scalars(axis: Axes, calibration: Calibration, scalars: list[Interval]) -> None:
    """Each interval in units of its own half width, so that all are to be seen."""
    for row, one in enumerate(scalars):
        value, low, high = (float(part) for part in (one.value, one.low, one.high))
        half = max((high - low) / 2, 1e-300)
        axis.plot([(low - value) / half, (high - value) / half], [row, row], "-", color="tab:blue", linewidth=4)
        axis.plot(0, row, "o", color="tab:blue")
        truth = calibration.truth.get(one.name)
        if truth is not None:
            _truth(axis, (float(truth) - value) / half, row)
        axis.annotate(
            resolved(value, high - low),
            (0, row),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axis.set_yticks(range(len(scalars)), [label_of(one.name, one.unit) for one in scalars])
    axis.set(
        xlabel="half widths of the interval", ylim=(-0.6, len(scalars) - 0.4), xlim=(-FARTHEST_TRUTH, FARTHEST_TRUTH)
    )
    crosses = "; × truth" if any(one.name in calibration.truth for one in scalars) else ""
    axis.set_title(f"estimates, {100 * calibration.estimation.level:g}% intervals{crosses}")


def _truth(axis: Axes, place: float, row: int) -> None:
    """A cross; beyond the axis an arrow that says how far it is."""
    if abs(place) < FARTHEST_TRUTH:
        axis.plot(place, row, "x", color="black", markersize=9)
        return
    side = math.copysign(1.0, place)
    axis.plot(0.95 * side * FARTHEST_TRUTH, row, ">" if side > 0 else "<", color="black")
    axis.annotate(
        f"× at {place:.3g}",
        (0.95 * side * FARTHEST_TRUTH, row),
        xytext=(0, 7),
        textcoords="offset points",
        ha="right" if side > 0 else "left",
        fontsize="small",
    )


def _field(axis: Axes, layout: Layout, calibration: Calibration, field: Interval) -> None:
    axis.set_title(f"{label_of(field.name, field.unit)}, {100 * calibration.estimation.level:g}% interval")
    if layout.dims == 1 and field.value.dim() == 1 and len(field.value) == layout.grid[0]:
        x = layout.points(0)
        truth = calibration.truth.get(field.name)
        axis.fill_between(x, field.low, field.high, color="tab:blue", alpha=0.3)
        axis.plot(x, field.value, color="tab:blue", label="estimate")
        if truth is not None:
            axis.plot(x, truth.expand(len(x)), color="black", label="truth")
        axis.plot(x, calibration.start[field.name].expand(len(x)), ":", color="grey", label="start")
        axis.legend(fontsize="small")
        axis.set(xlabel=label_of("x", layout.space_unit))
    elif tuple(field.value.shape) == layout.grid:
        picture, extent, labels = picture_of(field.value[None].float(), layout)
        image = axis.imshow(picture, extent=extent, origin="lower", aspect="auto")
        axis.set(xlabel=labels[0], ylabel=labels[1])
        axis.figure.colorbar(image, ax=axis)
    else:
        numbers = torch.arange(field.value.numel())
        half = calibration.estimation.quantile * field.deviation.flatten()
        axis.errorbar(numbers, field.value.flatten(), yerr=half, fmt="o", capsize=3)
        axis.set(xlabel="number")
