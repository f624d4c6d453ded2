"""Estimates with their intervals, as tables and sentences for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from cotwin.estimation import Estimation
from cotwin.estimation.calibration import Calibration, Ends
from cotwin.estimation.discrepancy import Process
from cotwin.estimation.pooled import pools
from cotwin.report.numbers import interval, number


def render(calibration: Calibration) -> Iterator[RenderableType]:
    """The estimates, what else a person has to know to use them, and the warnings."""
    yield _estimates(calibration)
    for line in (*_noise(calibration), *_search(calibration), *_posterior(calibration), _errors(calibration)):
        # Text: a plain string's square brackets would be taken for markup.
        yield Text(line)
    for remark in calibration.remarks():
        yield Text(remark, style="yellow")
    for warning in calibration.estimation.warnings:
        yield Text(f"Note: {warning}", style="yellow")
    if calibration.reasons:
        yield Text(f"Not reliable as it stands: {', '.join(calibration.reasons)}.", style="yellow")


MOVED = (
    "Estimates are moved by the error of the numerics, and intervals widened by half of it. The simulator keeps the "
    "numbers that fit the data on its own grid."
)


def _estimates(calibration: Calibration) -> Table:
    found = calibration.estimation
    level = f"{100 * found.level:g}%"
    kinds = {
        "if residuals were independent": calibration.independent,
        "by profile": calibration.profiled,
        "by bootstrap": calibration.resampled,
        "by posterior": calibration.drawn,
    }
    asked = [kind for kind, ends in kinds.items() if ends]
    checked = any(calibration.shift(name) is not None for name in calibration.intervals)
    caption = MOVED if calibration.moved else None
    table = Table(title="Estimated parameters", caption=caption)
    columns = [
        "parameter",
        *(["truth"] if calibration.truth else []),
        "start",
        f"estimate ± {level}",
        f"{level} interval",
        *(["numerics"] if checked else []),
    ]
    for column in (*columns, *asked):
        table.add_column(column, justify="left" if column == "parameter" else "right")
    for name, own in calibration.intervals.items():
        shown = name if own.unit == "1" else f"{name} [{own.unit}]"
        truth = calibration.truth.get(name)
        reach = torch.fmax(own.high - own.value, own.value - own.low)
        half = torch.fmax(found.reach * own.deviation, reach)
        pairs = [(own.low, own.high), *(kinds[kind].get(name) for kind in asked)]
        moved = calibration.shift(name)
        rows = found.problem.unknowns.parameters[name].rows
        for place, label in enumerate(rows) if rows else [(..., "")]:
            known = (
                ["-" if truth is None else _number(truth.expand_as(own.value)[place])] if calibration.truth else []
            )
            ends = [_between(None if pair is None else (pair[0][place], pair[1][place])) for pair in pairs]
            ends[1:1] = [] if moved is None else [_shift(moved[place])]
            estimate = _with_half(own.value[place], half[place])
            of = f"{shown} of {label}" if label else shown
            table.add_row(Text(of), *known, _number(calibration.start[name][place]), estimate, *ends)
    return table


def _noise(calibration: Calibration) -> Iterator[str]:
    found = calibration.estimation
    names = found.problem.observation.layout.channel_names
    seen = set(found.problem.observation.channel.tolist())
    levels = ", ".join(f"{name} {float(found.noise[c]):.3g}" for c, name in enumerate(names) if c in seen)
    if found.noise_estimated:
        # χ² would be one, whatever the fit.
        yield f"Noise (standard deviation), estimated with {found.freedom:,.0f} degrees of freedom: {levels}."
    else:
        chi_square = f"χ² a degree of freedom, of {found.freedom:,.0f}: {found.fit:.3g}"
        yield f"Noise (standard deviation) as given: {levels}. {chi_square}."
    if found.discrepancy is not None:
        yield _discrepancy(found, found.discrepancy)
    for pool in pools(found):
        prior = "" if pool.scale is None else f", half-normal prior of scale {pool.scale:g}, since they are few"
        yield (
            f"{pool.name} of {pool.groups} groups: centre {pool.centre:.4g}, {pool.low:.4g} … {pool.high:.4g} at "
            f"{100 * found.level:g}%, spread {pool.spread:.2g} (standard "
            f"deviation of its logarithm or logit{prior}). The groups' values are drawn towards the centre by it."
        )


def _discrepancy(found: Estimation, process: Process) -> str:
    if not process.present:
        return "Discrepancy: the data ask for none; intervals are as without it."
    names, seen = found.problem.observation.layout.channel_names, found.problem.observation.channel.unique().tolist()
    sizes = ", ".join(
        f"{names[c]} {float(process.ratio[c]) * float(found.noise[c]):.3g} (prior {float(process.scale[c]):.3g})"
        for c in seen
    )
    explained = process.explained(found.residuals.to(process.ratio))
    return (
        f"Discrepancy (standard deviation), estimated: {sizes}. It explains {explained:.0%} of the squares of "
        f"measured less fitted, with {process.effective():.3g} effective degrees of freedom; the intervals hold it."
    )


def _search(calibration: Calibration) -> Iterator[str]:
    found = calibration.estimation
    if found.information is not None and len(found.problem.unknowns) > 1:
        condition = found.information.condition
        many = "infinite" if math.isinf(condition) else f"{condition:.3g}"
        yield f"Condition number {many}; least identifiable: {found.information.weakest}."
    if calibration.changes:
        changed = " ".join(f"physical.{name}={value}" for name, value in calibration.changes.items())
        yield f"Estimated again with {changed}, since the error of grid or time steps was larger than an interval."
    if calibration.effort is not None:
        rollouts, calls = calibration.effort.rollouts, calibration.effort.calls
        yield f"Search and intervals took {rollouts:,} rollouts, {calls:,} calls of the program."
    if found.points > 1:
        yield f"{found.agreeing} of {found.points} starting points came to this minimum.{_second(found)}"


def _second(found: Estimation) -> str:
    if found.second is None:
        return ""
    there = ", ".join(f"{name} {value:.4g}" for name, value in found.labelled(found.second.raw).items())
    return f" The second-best has a log-likelihood that is less by {found.second.behind:.3g}: {there}."


def _posterior(calibration: Calibration) -> Iterator[str]:
    posterior = calibration.posterior
    if posterior is not None:
        chains, draws = posterior.log.shape
        k = "equal weights" if posterior.pareto_k == -math.inf else f"Pareto's k {posterior.pareto_k:.2f}"
        yield (
            f"Posterior: {chains} chains of {draws:,} draws, at least {posterior.effective:,.0f} effective ones, "
            f"R-hat at most {posterior.r_hat:.4f}; Laplace's normal against it: {k}."
        )
    apart = {"profile": calibration.profiled, "bootstrap": calibration.resampled, "posterior": calibration.drawn}
    if calibration.moved and any(apart.values()):
        yield f"Ends by {' and '.join(kind for kind, ends in apart.items() if ends)} are not moved by the numerics."
    if calibration.drawn and calibration.widened:
        yield f"Intervals by posterior are not widened by {' and '.join(calibration.widened)}, as the others are."


def _errors(calibration: Calibration) -> str:
    sizes = []
    for name in ("nrmse", "vrmse"):
        before, after = getattr(calibration.before, name), getattr(calibration.after, name)
        if math.isnan(after):  # no frame of which enough was seen
            continue
        test = "" if calibration.test is None else f", {getattr(calibration.test, name):.3g} on test data"
        sizes.append(f"{name.upper()} {before:.3g} at the start, {after:.3g} at the estimate{test}")
    return f"Errors of full rollouts on held-out data: {'; '.join(sizes)}."


def _with_half(value: Tensor, half: Tensor) -> str:
    """Digits as far as the interval gives them a meaning.

    >>> import torch
    >>> _with_half(torch.tensor(0.29920), torch.tensor(0.00727))
    '0.2992 ± 0.0073'
    """
    if value.numel() > 1:
        return f"{_number(value)}\n± up to {float(half.max()):.2g}"
    middle, spread = float(value), float(half)
    if not (math.isfinite(spread) and spread > 0):
        return f"{middle:.6g} ± {spread:.2g}"
    digits = 1 - math.floor(math.log10(spread))
    if digits > 12 or middle == 0 or not 1e-4 < abs(middle) < 1e6:
        significant = max(1, digits + math.floor(math.log10(abs(middle) or 1.0)) + 1)
        return f"{middle:.{min(significant, 12)}g} ± {spread:.2g}"
    return f"{middle:.{max(digits, 0)}f} ± {spread:.{max(digits, 0)}f}"


def _shift(moved: Tensor) -> str:
    return f"{float(moved):+.2g}" if moved.numel() == 1 else f"up to {float(moved.abs().max()):.2g}"


def _between(ends: Ends | None) -> str:
    return "-" if ends is None else interval(ends)


def _number(value: Tensor) -> str:
    if value.numel() == 1:
        return number(float(value))
    return f"{float(value.min()):.3g} … {float(value.max()):.3g}"
