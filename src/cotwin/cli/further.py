"""Say what to measure next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cotwin.cli.errors import errors_explained


def next_(run: Annotated[Path, typer.Argument(help="The directory of a finished cotwin estimate.")]) -> None:
    """By how much a further sensor, time or experiment would narrow the intervals of an estimate."""
    from cotwin.experiment.further import foresee
    from cotwin.report.further import draw, render
    from cotwin.run import Run

    console = Console()
    with errors_explained():
        with console.status("rollouts and their derivatives"):
            foreseen = foresee(run)
        with Run.reopen(run) as directory:
            directory.write_json("next.json", foreseen.further.as_json())
            directory.write_figure("next.png", lambda: draw(foreseen.further, foreseen.layout))
    for part in render(foreseen.further):
        console.print(part, highlight=False)
    console.print(f"Map: {run / 'next.png'}; numbers: {run / 'next.json'}", highlight=False, markup=False)
