"""A comparison over seeds as tables and sentences for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cotwin.study.ratios import Ratio, geometric_mean
from cotwin.study.study import ALONE, ROLES, Study
from cotwin.training.hybrid import Role

SHORT: dict[Role, dict[str, str]] = {
    "synthetic": {"surrogate alone": "alone", "null": "alone, again"},
    "physical": {"simulator alone": "alone", "distilled": "calibrated"},
}
"""Arms beside the name of the model."""
CAPTION = """NRMSE: of full rollouts on data that chose nothing, geometric mean over seeds. / alone: paired by seed,
with its {level:.0%} interval. lost: seeds with which it diverged. Steps, processor time and memory are medians.
alone, again: with another order of batches, the noise of it all. calibrated: by cotwin estimate; distilled: trained
with what that simulator generates."""


def render(study: Study) -> Iterator[RenderableType]:
    """A table for equal steps and one for equal cost, then what may be said."""
    for table in study.tables:
        yield _table(study, table)
    yield Text(" ".join(CAPTION.format(level=study.level).split()), style="dim")
    if study.curve:
        yield _curve(study)
    for sentence in study.sentences():
        # Text: a plain string's square brackets would be taken for markup.
        yield Text(sentence)


def _table(study: Study, which: str) -> Table:
    table = Table(title=f"Equal {which}, {len(study.seeds)} seed{'s' * (len(study.seeds) > 1)}")
    for column in ("model", "trained"):
        table.add_column(column)
    for column in ("NRMSE", "/ alone", "lost", "steps", "CPU s", "MB"):
        table.add_column(column, justify="right")
    for role, name in ROLES.items():
        for arm in study.arms(which, role):
            table.add_row(name, SHORT[role].get(arm, arm), *_cells(study, which, role, arm))
        table.add_section()
    return table


def _cells(study: Study, which: str, role: Role, arm: str) -> Iterator[str]:
    outcomes, errors = study.tables[which][arm], study.errors(which, arm, role)
    yield f"{geometric_mean(errors):.3g}"
    yield "" if arm == ALONE[role] else shown(study.ratio(which, role, arm, ALONE[role]))
    yield str(sum(math.isinf(error) for error in errors) or "-")
    yield f"{median(one.steps[role] for one in outcomes):.0f}"
    yield f"{median(one.seconds for one in outcomes):.0f}"
    yield f"{median(one.memory for one in outcomes) / 1e6:.0f}"


def shown(ratio: Ratio) -> str:
    """A ratio with its interval, as far as there is one."""
    if ratio.same:
        return "same"
    if not math.isfinite(ratio.high):
        return f"{ratio.mean:.2f}" if math.isfinite(ratio.mean) else "-"
    return f"{ratio.mean:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _curve(study: Study) -> Table:
    table = Table(title=f"The surrogate by training trajectories ({study.used} were used together)")
    table.add_column("trajectories")
    table.add_column("test NRMSE", justify="right")
    for number, outcomes in sorted(study.curve.items()):
        table.add_row(f"{number} alone", f"{geometric_mean([one.error('synthetic') for one in outcomes]):.3g}")
    table.add_row(f"{study.used} together", f"{geometric_mean(study.errors('steps', 'together', 'synthetic')):.3g}")
    return table
