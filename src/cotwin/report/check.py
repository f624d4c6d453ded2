"""A check of intervals: a sentence, a table and a picture."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cotwin.estimation.check import Check, Ends
from cotwin.estimation.coverage import Coverage
from cotwin.report.numbers import interval
from cotwin.report.picture import label_of

ACROSS, MOST_PANELS = 4, 12
BAND = 0.99
"""Of each bar, how often chance leaves it in the band."""


def render(check: Check) -> Iterator[RenderableType]:
    """The verdict, the table, and what they rest on."""
    yield Text(check.verdict, style="green" if check.reliable else "yellow")
    if check.coverages:
        yield _table(check)
    for line in (*_lost(check), *_about(check)):
        yield Text(line)


def draw(check: Check) -> bytes:
    """A PNG of the ranks of truths in their estimated posteriors, one panel for each of up to twelve unknowns."""
    shown = list(check.coverages.values())[:MOST_PANELS]
    across = min(ACROSS, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(max(6.5, 1 + 3.4 * across), 0.8 + 2.8 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for axis, one in zip(panels, shown, strict=False):
        _ranks(axis, one)
    for axis in panels[len(shown) :]:
        axis.set_axis_off()
    figure.suptitle(
        f"Where truths lie in their estimated posteriors, of {check.settled} repetitions", fontsize="medium"
    )
    figure.supxlabel(
        "part of the posterior below the truth; grey: where chance leaves nearly every bar", fontsize="small"
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _ranks(axis: Axes, one: Coverage) -> None:
    """Flat where all is right; a hump: too wide intervals; a trough: too narrow ones; a slope: bias."""
    bins = min(20, max(5, one.draws // 20))
    # Numbers of a field are not independent: the band is that of one of them.
    low, high = (float(end) / one.draws * bins for end in scipy.stats.binom.interval(BAND, one.draws, 1 / bins))
    counts, edges = np.array(one.rank_counts(bins)), np.linspace(0, 1, bins + 1)
    axis.axhspan(low, high, color="0.85")
    axis.axhline(1.0, color="black", linewidth=0.8)
    axis.stairs(counts / one.ranks.numel() * bins, edges, fill=True, color="tab:blue", alpha=0.6)
    axis.set_xlim(0, 1)
    axis.set_ylim(bottom=0)
    axis.set_title(f"{one.name}: {100 * one.share:.0f} % in {100 * one.level:g} % intervals", fontsize="small")


def _table(check: Check) -> Table:
    level = f"{100 * check.level:g}%"
    table = Table(title=f"{check.settled} repetitions of the experiment")
    corrected = ["corrected interval"] if check.corrected else []
    for column in ("parameter", "interval held the truth", "bias in deviations", f"{level} interval", *corrected):
        table.add_column(column, justify="left" if column == "parameter" else "right")
    for name, one in check.coverages.items():
        ends = [interval(check.printed[name])]
        if corrected:
            ends.append(_corrected(check.corrected.get(name), one.factor))
        share = f"{100 * one.share:.1f} % ± {100 * one.share_error:.1f} %"
        table.add_row(Text(label_of(name, one.unit)), share, f"{one.bias:+.2f} ± {one.bias_error:.2f}", *ends)
    return table


def _lost(check: Check) -> Iterator[str]:
    if check.diverged:
        yield (
            f"The rollouts of {check.diverged} of {check.draws} truths diverge, so nothing was measured of them. "
            "They are left out."
        )
    if check.unsettled:
        yield (
            f"{check.unsettled} of {check.draws} estimates did not come to rest or left an unknown open, which "
            "cotwin estimate would say of each; they are left out."
        )


def _about(check: Check) -> Iterator[str]:
    if check.source == "priors":
        yield "Truths are drawn from the priors."
    else:
        yield "Truths are drawn around the estimate, from the normal distribution that its intervals suppose."
    if check.starts == "priors":
        yield "Starts are drawn from their prior: smooth random fields, which may look unlike yours."
    elif check.starts == "estimate":
        yield "Starts are drawn around the estimated ones."
    if check.searches:
        lost = f"; {check.nowhere} led to no estimate" if check.nowhere else ""
        yield f"{check.same} of {check.searches} whole searches came to where those begun at the truth did{lost}."
    yield (
        "A check finds what is wrong with intervals where model and noise are right. It cannot find a wrong model, "
        "wrong noise or the error of the grid, since its data are made with them."
    )


def _corrected(ends: Ends | None, factor: float) -> str:
    if ends is None:
        return "-"
    return f"{factor:.2f} times as wide" if ends[0].numel() > 1 else interval(ends)
