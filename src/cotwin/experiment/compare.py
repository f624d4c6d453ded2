"""A comparison over seeds: which cells it has, what each may cost, and what they say together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from cotwin.experiment.arms import ARMS, ArmName, Cell, sized, work
from cotwin.experiment.build import build_store
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.resume import origin, require_same_origin
from cotwin.experiment.settings import Experiment, FileData
from cotwin.run import ORIGIN, Run
from cotwin.store.store import Store
from cotwin.study.cells import finish
from cotwin.study.outcome import Outcome
from cotwin.study.study import Study

REFERENCE: ArmName = "together"
"""Whose processor time the others may spend, too."""
MOST = 10.0
"""Times the steps in the settings, that equal cost asks for."""

MOST_FOLDS = 1_000_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is compared.

    seeds: how many, from the settings' own on. variants: settings of further arms, trained together, by name.
    curve: numbers of training trajectories with which the surrogate is trained alone, for the efficiency gain.

    Raises ValueError for what cannot be compared.
    """

    experiment: Experiment
    seeds: int = 5
    variants: Mapping[str, Experiment] = field(default_factory=dict)
    curve: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"{self.seeds} seeds; a comparison needs at least one, and three for a verdict.")
        if taken := sorted(self.variants.keys() & ARMS.keys()):
            raise ValueError(f"the arm {taken[0]!r} is there already; choose another name.")

    @property
    def arms(self) -> list[str]:
        """All, variants after the others."""
        return [*ARMS, *self.variants]

    def cells(
        self, arm: str, factor: float = 1.0, trajectories: int | None = None, seeds: int | None = None
    ) -> list[Cell]:
        """Of an arm, for all seeds or the first ones. factor: by which it takes more optimiser steps."""
        experiment = self.variants.get(arm, self.experiment)
        own: ArmName = REFERENCE if arm in self.variants else arm  # type: ignore[assignment]
        count = self.seeds if seeds is None else seeds
        return [
            Cell(_seeded(_with_steps(experiment, factor), number).model_dump_json(), own, trajectories)
            for number in range(count)
        ]


def compare(plan: Plan, run: Run, executor: Executor, say: Say) -> Study:
    """Train all arms with all seeds, but for what the run has already, and put them side by side.

    First all arms with the first seed, whose processor time says how many steps cost as much as REFERENCE; so all
    other cells are functions of settings and seed. Raises what cells raise; RunError where the run is of other data.
    """
    experiment = _seeded(plan.experiment, 0)
    store = build_store(experiment.store)
    data = load_dataset(experiment.data, experiment.physical, experiment.seed, store)
    for note in data.notes:
        say(note)
    _require_same_origin(run, plan, store)
    for number in plan.curve:
        if isinstance(experiment.data, FileData):
            sized(data, plan.cells("surrogate alone", trajectories=number, seeds=1)[0], experiment, store)
    kept = _Kept(run, executor, say)
    first = kept.finish({arm: plan.cells(arm, seeds=1) for arm in plan.arms})
    factors = {arm: _factor(outcomes[0], first[REFERENCE][0]) for arm, outcomes in first.items() if arm != "null"}
    wanted: dict[tuple[str, str | int], list[Cell]] = {("steps", arm): plan.cells(arm) for arm in plan.arms}
    wanted |= {("cost", arm): plan.cells(arm, factor) for arm, factor in factors.items() if factor is not None}
    wanted |= {("curve", number): plan.cells("surrogate alone", trajectories=number) for number in plan.curve}
    found = kept.finish(wanted)
    return Study(
        [experiment.seed + number for number in range(plan.seeds)],
        {
            table: {arm: found[table, arm] for arm in plan.arms if (table, arm) in found}
            for table in ("steps", "cost")
            if (table, REFERENCE) in found
        },
        {arm: factor for arm, factor in factors.items() if factor is not None},
        len(data.train),
        {number: found["curve", number] for number in plan.curve},
    )


def _require_same_origin(run: Run, plan: Plan, store: Store) -> None:
    """Cells are named by settings alone: those of other data are refused, and those of other code warned of.

    Raises ValueError for a variant whose data are others: nothing is paired then.
    """
    now, experiment = _origin(plan.experiment, store), plan.experiment
    for arm, variant in plan.variants.items():
        if variant.seed != experiment.seed or _origin(variant, store)["data"] != now["data"]:
            raise ValueError(f"the arm {arm!r} has other data or another seed; compare it by itself.")
    before = run.read_json(ORIGIN)
    if before is None:
        run.write_json(ORIGIN, now)
    else:
        require_same_origin({"origin": before}, now, experiment)


def _origin(experiment: Experiment, store: Store) -> dict[str, str]:
    """Of all that a file holds, whichever part a fold takes."""
    settings = experiment.data
    whole = settings.model_copy(update={"train": None}) if isinstance(settings, FileData) else settings
    return origin(load_dataset(whole, experiment.physical, experiment.seed, store), experiment)


class _Kept:
    """Outcomes that a run has; others are computed, and kept there."""

    def __init__(self, run: Run, executor: Executor, say: Say) -> None:
        self.run, self.executor, self.say = run, executor, say

    def finish(self, wanted: Mapping[Any, list[Cell]]) -> dict[Any, list[Outcome]]:
        """Of lists of cells, by whatever they are called."""
        names = {_name(cell): (key, cell) for key, cells in wanted.items() for cell in cells}
        there = {name: self.run.cell(name) for name in names}
        found = {name: Outcome.from_json(one["outcome"]) for name, one in there.items() if one is not None}
        missing = {name: cell for name, (_, cell) in names.items() if name not in found}
        done = 0

        def keep(name: str, outcome: Outcome) -> None:
            nonlocal done
            done += 1
            key, cell = names[name]
            self.run.keep_cell(name, {"cell": cell._asdict(), "outcome": outcome.as_json()})
            self.say(f"{done} of {len(missing)}: {_described(key, cell, outcome)}")

        found |= finish(missing, work, self.executor, keep)
        return {key: [found[_name(cell)] for cell in cells] for key, cells in wanted.items()}


def _name(cell: Cell) -> str:
    settings = json.loads(cell.settings)
    del settings["store"]  # where generated data are kept changes no digit
    return hashlib.sha256(json.dumps([settings, *cell[1:]]).encode()).hexdigest()[:32]


def _described(key: str | tuple[str, str | int], cell: Cell, outcome: Outcome) -> str:
    what, which = ("steps", key) if isinstance(key, str) else key
    arm = {"steps": which, "cost": f"{which} at equal cost", "curve": f"surrogate alone, {which} trajectories"}[what]
    names = {"synthetic": "surrogate", "physical": "simulator"}
    errors = ", ".join(f"{names[role]} {score.nrmse:.3g}" for role, score in outcome.scores.items())
    why = "".join(f"; {note}" for note in outcome.notes)
    return f"{arm}, seed {json.loads(cell.settings)['seed']}: NRMSE {errors}; {outcome.seconds:.0f} s{why}"


def _factor(outcome: Outcome, reference: Outcome) -> float | None:
    """How many times the steps an arm may take to cost as much as the reference; None where that is none at all, or
    the reference diverged, whose cost says nothing then. What all arms share is left out of both.
    """
    if reference.notes:
        return None
    left = reference.seconds - reference.shared - outcome.fixed
    each = outcome.seconds - outcome.shared - outcome.fixed
    if left <= 0:
        return None
    return min(left / each, MOST) if each > 0 else 1.0


def _seeded(experiment: Experiment, number: int) -> Experiment:
    """With the seed of this number, and of a file its fold: other seeds have others, to choose settings on."""
    seed = experiment.seed + number
    changes: dict[str, Any] = {"seed": seed}
    if isinstance(experiment.data, FileData):
        changes["data"] = experiment.data.model_copy(update={"fold": seed % MOST_FOLDS})
    return experiment.model_copy(update=changes)


def _with_steps(experiment: Experiment, factor: float) -> Experiment:
    changes = {}
    for role in ("physical", "synthetic"):
        own = getattr(experiment, role)
        steps = {"warmup_steps": round(own.warmup_steps * factor), "steps": max(1, round(own.steps * factor))}
        changes[role] = own.model_copy(update=steps)
    return experiment.model_copy(update=changes)
