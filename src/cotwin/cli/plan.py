"""Say what a training or an estimate would take, without either."""

from __future__ import annotations

from rich.console import Console

from cotwin.cli.arguments import Config, Overrides
from cotwin.cli.errors import errors_explained


def plan(config: Config, overrides: Overrides = None) -> None:
    """Print what training and estimate would take, without either: data, placements, memory, disk and time."""
    from cotwin.cli.plan_table import about_estimate, render
    from cotwin.experiment.load import load
    from cotwin.experiment.plan import plan_session
    from cotwin.experiment.train import prepare

    with errors_explained():
        experiment = load(config, overrides or [])
        session = prepare(experiment)
        planned = plan_session(session)
    console = Console()
    console.print(*session.data.notes, highlight=False, markup=False)
    for part in render(planned):
        console.print(part, highlight=False)
    console.print(about_estimate(experiment, session.data), highlight=False)
