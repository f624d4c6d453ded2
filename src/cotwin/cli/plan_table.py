"""A plan for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cotwin.experiment.calibrate import with_data
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.estimate_forecast import forecast
from cotwin.experiment.plan import PhasePlan, Plan
from cotwin.experiment.settings import Experiment
from cotwin.stepper import DivergenceError
from cotwin.store.placement import in_words

LEARNER = {"physical": "simulator", "synthetic": "surrogate"}


def about_estimate(experiment: Experiment, data: Dataset) -> Text:
    """What `cotwin estimate` would take with the same configuration, or why it cannot be had."""
    try:
        found = forecast(with_data(experiment, data))
    except (ValueError, DivergenceError) as error:
        return Text(f"cotwin estimate: not with this configuration: {error}")
    if found is None:
        return Text("cotwin estimate: along gradients, for so many unknowns; its time is not forecast.")
    starts = f" and {found.starts} of the initial states" if found.starts else ""
    return Text(
        f"cotwin estimate: {found.unknowns} unknown numbers{starts}. Derivatives take {found.rollouts} rollouts of "
        f"{found.trajectories} trajectories over {found.steps} steps at a time. About {_duration(found.seconds)} in "
        "all, without profiles, bootstrap, posterior and repetitions on finer grids."
    )


def render(plan: Plan) -> Iterator[RenderableType]:
    """Real data, phases, then what it comes to."""
    yield _real(plan)
    yield _phases(plan)
    for reason in dict.fromkeys(phase.choice.reason for phase in plan.phases if phase.choice is not None):
        yield Text(f"  {reason}")
    for phase, last in _alike(plan.phases):
        if phase.windows > phase.windows_read:
            yield Text(
                f"  {_name(phase, last)}: the {LEARNER[phase.phase.learner]} reads {phase.windows_read} of the "
                f"{phase.windows} generated windows in its {phase.steps} steps; a smaller hybrid.generated_per_real, "
                "or more steps, would make use of all."
            )
    yield Text()
    held = max(phase.held_bytes for phase in plan.phases)
    yield Text(
        f"Peak memory: about {in_words(plan.peak_bytes)}: {in_words(plan.base_bytes)} for code, models, gradients "
        f"and real data, {in_words(held)} for generated data (budget {in_words(plan.memory_budget)})."
    )
    yield Text(
        f"Disk: {in_words(plan.cache_bytes)} for generated data (budget {in_words(plan.disk_budget)}), "
        f"{in_words(plan.kept_bytes)} for rollouts and converted files that are kept."
    )
    yield Text(
        f"Time: about {_duration(plan.seconds)}, from a trial of {_duration(plan.trial_seconds)} on this machine. A "
        "teacher that has not earned trust generates less, which takes less."
    )


def _real(plan: Plan) -> Table:
    table = _table("Real data")
    for column in ("part", "trajectories", "states", "channels × grid", "size", "in"):
        table.add_column(column, justify="left" if column in ("part", "in") else "right")
    for part in plan.real:
        count, states, *rest = part.shape
        table.add_row(
            part.name, str(count), str(states), " × ".join(map(str, rest)), in_words(part.num_bytes), part.where
        )
    return table


def _phases(plan: Plan) -> Table:
    table = _table("Each phase, with the most that may be generated")
    for column in ("phase", "learner", "steps", "windows", "size", "placement", "time"):
        words = column in ("phase", "learner", "placement")
        table.add_column(column, justify="left" if words else "right", no_wrap=True)
    for first, last in _alike(plan.phases):
        windows, size, placement = "-", "-", "-"
        if first.choice is not None:
            windows, size, placement = str(first.windows), in_words(first.choice.num_bytes), first.choice.placement
        table.add_row(
            _name(first, last),
            LEARNER[first.phase.learner],
            str(first.steps),
            windows,
            size,
            placement,
            _duration(first.seconds),
        )
    return table


def _table(title: str) -> Table:
    return Table(box=SIMPLE, title=title, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)


def _alike(phases: list[PhasePlan]) -> Iterator[tuple[PhasePlan, PhasePlan]]:
    """First and last of the cycles that take the same, for each training and learner."""
    first: dict[tuple[object, ...], PhasePlan] = {}
    last: dict[tuple[object, ...], PhasePlan] = {}
    for phase in phases:
        key = (phase.training, phase.phase.learner, phase.phase.cycle < 0, phase.windows, phase.choice)
        first.setdefault(key, phase)
        last[key] = phase
    for alike, phase in first.items():
        yield phase, last[alike]


def _name(first: PhasePlan, last: PhasePlan) -> str:
    if first.phase.cycle < 0:
        return f"{first.training}, warm-up"
    number = first.phase.cycle + 1
    cycles = f"cycle {number}" if first is last else f"cycles {number} to {last.phase.cycle + 1}"
    return f"{first.training}, {cycles}"


def _duration(seconds: float) -> str:
    """
    >>> _duration(0.04), _duration(75), _duration(7500)
    ('0.04 s', '75 s', '2 h 5 min')
    """
    if seconds < 100:
        return f"{seconds:.2g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
