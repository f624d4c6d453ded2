"""Studies as the tables and lines of docs/suite.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

from common.table import markdown

from cotwin.report.study import shown
from cotwin.study.ratios import FEWEST, Ratio, geometric_mean
from cotwin.study.study import ALONE, DISTILLED, NULL, TOGETHER, Study
from cotwin.training.hybrid import Role

SURROGATE: Role = "synthetic"
SIMULATOR: Role = "physical"
HEAD = (
    "problem",
    "surrogate alone",
    "again",
    "distilled",
    "together",
    "together / alone",
    "together / distilled",
    "simulator alone",
    "calibrated",
    "together",
    "CPU s",
)
WORDS = {
    "better": "is better",
    "worse": "is worse",
    "same": "is the same to the last digit",
    "open": "shows no difference",
    "diverges": "diverges with another number of seeds",
    "unsaid": "diverges too often for a verdict",
}


def show(studies: Mapping[str, Study]) -> None:
    """By title of the problem: both tables, efficiency gains where there are curves, and a line for each."""
    for which in ("steps", "cost"):
        print(f"\n### Equal {which}\n")
        markdown(HEAD, [(title, *_cells(study, which)) for title, study in studies.items()])
    if any(study.curve for study in studies.values()):
        print("### Efficiency gain\n")
        numbers = sorted({number for study in studies.values() for number in study.curve})
        head = ("problem", *(f"{number} alone" for number in numbers), "together", "gain")
        markdown(head, [(title, *_curve(study, numbers)) for title, study in studies.items() if study.curve])
    print("### What cooperating changed\n")
    for title, study in studies.items():
        print(f"- **{title}.** {' '.join(_lines(study))}")


def seconds(study: Study) -> float:
    """Processor time of all cells, those that stand in two tables once."""
    every = {id(one): one for arms in (*study.tables.values(), study.curve) for some in arms.values() for one in some}
    return sum(one.seconds for one in every.values())


def _cells(study: Study, which: str) -> Iterator[str]:
    for arm in (ALONE[SURROGATE], NULL, DISTILLED, TOGETHER):
        # The null arm is the control's treatment; at equal cost there is no other of it.
        yield _error(study, which, arm, SURROGATE) if arm in study.tables[which] else ""
    for against in (ALONE[SURROGATE], DISTILLED):
        yield shown(study.ratio(which, SURROGATE, TOGETHER, against))
    for arm in (ALONE[SIMULATOR], DISTILLED, TOGETHER):
        yield _error(study, which, arm, SIMULATOR)
    yield f"{median(one.seconds for outcomes in study.tables[which].values() for one in outcomes):.0f}"


def _error(study: Study, which: str, arm: str, role: Role) -> str:
    errors = study.errors(which, arm, role)
    lost = sum(math.isinf(error) for error in errors)
    return f"{geometric_mean(errors):.3g}" + (f" ({lost} diverged)" if lost else "")


def _curve(study: Study, numbers: list[int]) -> Iterator[str]:
    for number in numbers:
        outcomes = study.curve.get(number)
        yield "" if outcomes is None else f"{geometric_mean([one.error(SURROGATE) for one in outcomes]):.3g}"
    yield _error(study, "steps", TOGETHER, SURROGATE)
    yield str(study.gain)


def _lines(study: Study) -> Iterator[str]:
    """Of both models, at equal steps and equal cost, never more than the intervals allow."""
    if len(study.seeds) < FEWEST:
        yield f"Fewer than {FEWEST} seeds: no verdict."
        return
    for role, name in ((SURROGATE, "surrogate"), (SIMULATOR, "simulator")):
        said = {"alone": ALONE[role], "distilled" if role == SURROGATE else "calibrated": DISTILLED}
        parts = [
            f"against {label} it {_said(study.ratio('steps', role, TOGETHER, against))} at equal steps, "
            f"{_said(study.ratio('cost', role, TOGETHER, against))} at equal cost"
            for label, against in said.items()
        ]
        yield f"The {name}: {'; '.join(parts)}."


def _said(ratio: Ratio) -> str:
    word = WORDS[ratio.word]
    return word if ratio.word in ("same", "unsaid", "diverges") else f"{word} ({shown(ratio)})"
