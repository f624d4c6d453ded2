"""What further measurements would tell: a sentence, a table and a map."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cotwin.estimation.foreseen import Further, Kind
from cotwin.layout import Layout
from cotwin.report.numbers import interval
from cotwin.report.picture import label_of

KINDS: dict[Kind, str] = {
    "sensor": "sensor",
    "sensors": "sensors",
    "longer": "longer",
    "denser": "denser",
    "experiment": "again",
}
MOST_PANELS = 4


def render(further: Further) -> Iterator[RenderableType]:
    """The verdict, the table by unknown, and what the best of each kind are."""
    yield Text(further.verdict, style="green")
    yield _table(further)
    for kind, heading in KINDS.items():
        best = further.best(kind)
        if best is not None and best.gain >= 1.005:
            mean = " in the mean" if len(best.factors) > 1 else ""
            size = "determined by it" if math.isinf(best.gain) else f"{best.gain:.2f} times as narrow{mean}"
            yield Text(f"{heading}: {best.words} ({best.values:,} values), {size}")
    yield Text(
        "To first order around the estimate, with the noise as it is. A wrong model, a wrong noise or another "
        "minimum shows in none of these numbers. Beyond the time measured they rest on the model."
    )
    for note in further.notes:
        yield Text(f"Note: {note}", style="yellow")


def draw(further: Further, layout: Layout) -> bytes:
    """A PNG: by how much a sensor at each place would narrow the interval, of up to four unknowns.

    In one dimension a line for each channel, in two an image of the channel that tells most, in three its plane.
    """
    shown = list(further.sensors.factors)[:MOST_PANELS]
    across = min(2, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(1 + 5.2 * across, 0.8 + 3.2 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for axis, name in zip(panels, shown, strict=False):
        (_line if layout.dims == 1 else _image)(axis, further, layout, name)
    for axis in panels[len(shown) :]:
        axis.set_axis_off()
    figure.suptitle("One more sensor: how many times as narrow the interval would be", fontsize="medium")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _line(axis: Axes, further: Further, layout: Layout, name: str) -> None:
    sensors = further.sensors
    for channel, factors in zip(sensors.channels, sensors.factors[name], strict=True):
        axis.plot(sensors.axes[0], factors, ".-" if len(factors) < 65 else "-", label=channel)
    axis.set(title=name, xlabel=label_of("x", layout.space_unit), ylabel="times as narrow")
    axis.set_ylim(bottom=1, top=max(1.001, axis.get_ylim()[1]))
    if len(sensors.channels) > 1:
        axis.legend(fontsize="small")


def _image(axis: Axes, further: Further, layout: Layout, name: str) -> None:
    sensors, factors = further.sensors, further.sensors.factors[name]
    most = int(np.unravel_index(int(factors.argmax()), factors.shape)[0])
    where, plane = "", factors[most]
    if layout.dims == 3:
        depth = int(np.unravel_index(int(plane.argmax()), plane.shape)[2])
        where, plane = f", z = {sensors.axes[2][depth]:.3g}", plane[:, :, depth]
    image = axis.pcolormesh(sensors.axes[0], sensors.axes[1], plane.T.numpy(), shading="nearest")
    axis.set(
        title=f"{name}, by {sensors.channels[most]}{where}",
        xlabel=label_of("x", layout.space_unit),
        ylabel=label_of("y", layout.space_unit),
        aspect="equal",
    )
    axis.figure.colorbar(image, ax=axis)


def _table(further: Further) -> Table:
    level = f"{100 * further.level:g}%"
    table = Table(title=f"Of {level} intervals, how many times as narrow with the best of each kind")
    kinds = [kind for kind in KINDS if further.best(kind) is not None]
    for column in ("parameter", "now", *(KINDS[kind] for kind in kinds), "with the best"):
        table.add_column(column, justify="left" if column == "parameter" else "right")
    for name, now in further.intervals.items():
        factors = [best.factors[name] for kind in kinds if (best := further.best(kind, name)) is not None]
        then = _ends(further, name, max(factors)) if math.isfinite(max(factors)) else "determined"
        cells = [f"{one:.2f}" if math.isfinite(one) else "determined" for one in factors]
        table.add_row(Text(label_of(name, now.unit)), _ends(further, name, 1.0), *cells, then)
    return table


def _ends(further: Further, name: str, factor: float) -> str:
    low, high = further.interval(name, factor)
    return interval((low, high)) if low.numel() == 1 else f"± {float((high - low).mean() / 2):.3g} in the mean"
