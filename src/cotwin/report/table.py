"""The comparison as tables and sentences for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from cotwin.report.numbers import number
from cotwin.training.evaluation import ONE_SEED, Comparison, Estimate

CAPTION = {
    "NRMSE": "NRMSE decides: the root mean square of the error over the standard deviation of the training data.",
    "VRMSE": "VRMSE, as The Well has it: over the standard deviation in space at each time.",
}
KINDS = tuple(CAPTION)
NAMES = {"physical": "simulator", "synthetic": "surrogate"}


def render(comparison: Comparison) -> Iterator[RenderableType]:
    """Estimates, errors of the four models, then sentences."""
    if comparison.estimates:
        yield _estimates(comparison)
    yield _scores(comparison)
    for role in ("synthetic", "physical"):
        # Text: a plain string's square brackets would be taken for markup.
        yield Text(comparison.figures(role))
    yield Text(ONE_SEED)
    for remark in comparison.remarks():
        yield Text(remark, style="yellow")


def _scores(comparison: Comparison) -> Table:
    # Of sensors there is no spread in space at one time.
    kinds = KINDS[:1] if all(math.isnan(score.validation) for score in comparison.scores) else KINDS
    table = Table(
        title="Errors of full rollouts (0: exact, 1: no better than the mean)",
        caption=" ".join((*(CAPTION[kind] for kind in kinds), *comparison.about)),
    )
    for column in ("model", "trained", *(f"{kind} {which}" for kind in kinds for which in ("validation", "test"))):
        table.add_column(column, justify="left" if column in ("model", "trained") else "right")
    for role in ("physical", "synthetic"):
        for training in ("together", "alone"):
            score = comparison.score(role, training)
            sizes = (score.validation_nrmse, score.test_nrmse, score.validation, score.test)[: 2 * len(kinds)]
            shown = ("-" if size is None else f"{size:.3g}" for size in sizes)
            table.add_row(NAMES[role], training, *shown)
    return table


def _estimates(comparison: Comparison) -> Table:
    known = any(e.truth is not None for e in comparison.estimates)
    table = Table(title="Estimated parameters" + (" (and their relative error)" if known else ""))
    for column in ("parameter", *(("truth",) if known else ()), "start", "together", "alone"):
        table.add_column(column, justify="left" if column == "parameter" else "right")
    for e in comparison.estimates:
        name = e.name if e.unit == "1" else f"{e.name} [{e.unit}]"
        truth = ("-" if e.truth is None else _value(e.truth),) if known else ()
        for place, row in enumerate(e.rows):
            values = (_value(value[place]) for value in (e.start, e.together, e.alone))
            table.add_row(Text(f"{name} of {row}"), *truth, *values)
        if not e.rows:
            table.add_row(Text(name), *truth, *(_with_error(e, value) for value in (e.start, e.together, e.alone)))
    return table


def _with_error(estimate: Estimate, value: Tensor) -> str:
    error = estimate.error(value)
    return _value(value) if error is None else f"{_value(value)}\n{error:.2%}"


def _value(value: Tensor) -> str:
    if value.numel() == 1:
        return number(float(value))
    if value.ndim == 1 and len(value) <= 3:
        return "(" + ", ".join(f"{float(part):.4g}" for part in value) + ")"
    return f"{float(value.min()):.3g} … {float(value.max()):.3g}"
