"""A comparison over seeds as a picture: errors of all arms with every seed, and by training trajectories."""

from __future__ import annotations

import io
import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from cotwin.report.study import SHORT
from cotwin.study.ratios import geometric_mean
from cotwin.study.study import ROLES, TOGETHER, Study
from cotwin.training.hybrid import Role

COLOURS = {"steps": "tab:blue", "cost": "tab:orange"}


def draw(study: Study) -> bytes:
    """A PNG: a panel for each model, a line for each arm, a dot for each seed; and the curve, where there is one."""
    count = len(ROLES) + bool(study.curve)
    figure = Figure(figsize=(4.4 * count, 3.6), layout="constrained")
    axes = figure.subplots(1, count)
    for axis, role in zip(axes, ROLES, strict=False):
        _arms(axis, study, role)
    if study.curve:
        _curve(axes[-1], study)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _arms(axis: Axes, study: Study, role: Role) -> None:
    arms = study.arms("steps", role)
    for shift, (table, colour) in zip((0.15, -0.15), COLOURS.items(), strict=True):
        for place, arm in enumerate(reversed(arms)):
            if arm not in study.tables.get(table, {}):
                continue
            errors = [error for error in study.errors(table, arm, role) if math.isfinite(error)]
            axis.plot(errors, [place + shift] * len(errors), "o", color=colour, alpha=0.4, markersize=5)
            axis.plot(geometric_mean(errors), place + shift, "|", color=colour, markersize=14, markeredgewidth=2)
        axis.plot([], [], "o", color=colour, label=f"equal {table}")
    axis.set_yticks(range(len(arms)), [SHORT[role].get(arm, arm) for arm in reversed(arms)])
    axis.set(xscale="log", xlabel="NRMSE", title=f"{ROLES[role]}, {len(study.seeds)} seeds")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="x", which="both", alpha=0.3)
    axis.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)


def _curve(axis: Axes, study: Study) -> None:
    numbers = sorted(study.curve)
    errors = {number: [one.error("synthetic") for one in study.curve[number]] for number in numbers}
    for number in numbers:
        axis.plot([number] * len(errors[number]), errors[number], "o", color="0.6", markersize=4)
    axis.plot(numbers, [geometric_mean(errors[number]) for number in numbers], color="0.3", label="alone")
    together = study.errors("steps", TOGETHER, "synthetic")
    axis.plot([study.used] * len(together), together, "o", color="tab:red", markersize=4)
    axis.axhline(geometric_mean(together), color="tab:red", label=f"together, {study.used} trajectories")
    axis.set(xscale="log", yscale="log", xlabel="training trajectories", ylabel="NRMSE", title="surrogate alone")
    axis.set_xticks(numbers, [str(number) for number in numbers])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
