"""Calibrate the simulator alone, and say how sure that is."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from cotwin.cli.arguments import Config, Overrides
from cotwin.cli.errors import errors_explained
from cotwin.cli.next_steps import print_next


def estimate(
    config: Config,
    overrides: Overrides = None,
    run_dir: Annotated[Path | None, typer.Option(help="Where to write; runs/NAME-estimate if not given.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
) -> None:
    """Estimate the simulator's unknowns alone, with intervals."""
    from cotwin.experiment.calibrate import prepare, run
    from cotwin.experiment.load import dump, load
    from cotwin.experiment.trained import write_models
    from cotwin.report.calibration import render
    from cotwin.report.fit import draw
    from cotwin.run import Run

    console = Console()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=console)])
    with errors_explained():
        experiment = load(config, overrides or [])
        task = prepare(experiment)
        path = Path("runs") / f"{experiment.name}-estimate" if run_dir is None else run_dir
        with Run.create(path, dump(experiment), overwrite=overwrite) as directory:
            console.print(f"Estimating {experiment.name!r} into {path}.", *task.notes, highlight=False, markup=False)
            with console.status("rollouts and their derivatives"):
                calibration = run(task)
            train, model = task.data.train, calibration.estimation.stepper
            physical = experiment.physical.model_copy(update=calibration.changes)
            solved = experiment.model_copy(update={"physical": physical})
            write_models(directory, solved, train.states, train.layout, {"physical": model})
            directory.write_json("estimation.json", calibration.as_json())
            directory.write_figure("fit.png", lambda: draw(calibration, task.recorded))
    for part in render(calibration):
        console.print(part, highlight=False)
    changes = [f"physical.{name}={value}" for name, value in calibration.changes.items()]
    train_too = shlex.join(["cotwin", "train", config, *(overrides or []), *changes])
    print_next(console, path, "fit.png", f"Train a surrogate with it: {train_too}")
