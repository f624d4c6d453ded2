"""Calibrate the simulator alone, and say how sure that is."""

from __future__ import annotations

import logging
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from cotwin.cli.arguments import Config, Overrides
from cotwin.cli.errors import errors_explained, fail
from cotwin.cli.next_steps import print_next

if TYPE_CHECKING:
    from cotwin.estimation.calibration import Calibration
    from cotwin.experiment.calibrate import Task
    from cotwin.run import Run

OF_ESTIMATE = ("posterior.nc", "posterior.png", "check.json", "check.png", "next.json", "next.png")
"""Files of what else an estimate was asked."""
SOON = 60.0
"""Seconds, for which it is said how many repetitions they suffice for."""


def estimate(
    config: Config,
    overrides: Overrides = None,
    run_dir: Annotated[Path | None, typer.Option(help="Where to write; runs/NAME-estimate if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    checkpoint: Annotated[int | None, typer.Option(help="With --resume: this one, not the newest.")] = None,
    check: Annotated[
        int | None,
        typer.Option(
            help="Repeat the experiment so often, with truths that are known, and count whether intervals hold them."
        ),
    ] = None,
    check_minutes: Annotated[
        float, typer.Option(min=0, help="A check that is forecast to take longer is left out, or asked about.")
    ] = 10.0,
) -> None:
    """Estimate the simulator's unknowns alone, with intervals."""
    from cotwin.estimation.checkable import require_checkable
    from cotwin.experiment.calibrate import prepare
    from cotwin.experiment.load import dump, load
    from cotwin.experiment.resume import FREE_OF_ESTIMATE, reopen
    from cotwin.report.calibration import render
    from cotwin.run import Run

    console = Console()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=console)])
    if resume and overwrite:
        fail("--resume goes on with a run, --overwrite throws it away; choose one.")
    if checkpoint is not None and not resume:
        fail("--checkpoint goes with --resume.")
    with errors_explained():
        experiment = load(config, overrides or [])
        task = prepare(experiment)
        if check is not None:
            require_checkable(task.stepper, check, experiment.estimation.level)
        path = Path("runs") / f"{experiment.name}-estimate" if run_dir is None else run_dir
        if resume:
            directory = reopen(path, experiment, FREE_OF_ESTIMATE)
        else:
            directory = Run.create(path, dump(experiment), overwrite=overwrite)
        with directory:
            console.print(f"Estimating {experiment.name!r} into {path}.", *task.notes, highlight=False, markup=False)
            try:
                calibration = _calibrated(console, task, directory, checkpoint)
            except KeyboardInterrupt:
                where = [] if run_dir is None else ["--run-dir", str(run_dir)]
                again = shlex.join(["cotwin", "estimate", config, *(overrides or []), *where, "--resume"])
                console.print(
                    f"\nInterrupted; what was finished is kept. Go on with:\n  {again}", markup=False, soft_wrap=True
                )
                raise typer.Exit(130) from None
            _write(directory, task, calibration)
            for part in render(calibration):
                console.print(part, highlight=False)
            if check is not None:
                _check(console, directory, calibration, check, check_minutes, experiment.seed)
    changes = [f"physical.{name}={value}" for name, value in calibration.changes.items()]
    train_too = shlex.join(["cotwin", "train", config, *(overrides or []), *changes])
    further = shlex.join(["cotwin", "next", str(path)])
    go_on = f"What to measure next: {further}\nTrain a surrogate with it: {train_too}"
    print_next(console, path, "fit.png", go_on)


def _calibrated(console: Console, task: Task, directory: Run, checkpoint: int | None) -> Calibration:
    """The estimation, from where an earlier one was interrupted if the directory holds one."""
    from cotwin.experiment.calibrate import run
    from cotwin.experiment.kept_stages import KeptStages
    from cotwin.experiment.load import dump
    from cotwin.experiment.resume import checkpoint_of, origin, require_same_origin

    begun = origin(task.data, task.experiment)
    there = directory.checkpoints() or checkpoint is not None
    before = checkpoint_of(directory, "estimation", checkpoint) if there else None
    if before is not None:
        require_same_origin(before, begun, task.experiment)
    directory.write_text("config.yaml", dump(task.experiment))
    with console.status("rollouts and their derivatives") as status:
        say = status.update if console.is_terminal else partial(_line, console)
        with KeptStages(directory, say, begun, task.stepper.effort, before) as stages:
            return run(task, stages)


def _write(directory: Run, task: Task, calibration: Calibration) -> None:
    """The results, for people and programs."""
    from cotwin.experiment.further import write_estimate
    from cotwin.experiment.trained import write_models
    from cotwin.report.fit import draw

    model = calibration.estimation.stepper
    physical = task.experiment.physical.model_copy(update=calibration.changes)
    solved = task.experiment.model_copy(update={"physical": physical})
    write_models(directory, solved, task.data, {"physical": model})
    write_estimate(directory, task, calibration.estimation)
    directory.write_result("estimation.json", calibration.as_json(), OF_ESTIMATE)
    directory.write_figure("fit.png", lambda: draw(calibration, task.recorded, task.sensors))
    _write_posterior(directory, calibration)


def _line(console: Console, stage: str) -> None:
    """For a log, where nothing can be overwritten."""
    console.print(f"  {stage}", highlight=False, markup=False)


def _write_posterior(directory: Run, calibration: Calibration) -> None:
    """The draws, for ArviZ and to look at, where there are any."""
    from cotwin.report.corner import draw

    if calibration.posterior is not None:
        directory.write_bytes("posterior.nc", calibration.posterior.as_netcdf())
        directory.write_figure("posterior.png", lambda: draw(calibration))


def _check(console: Console, directory: Run, calibration: Calibration, draws: int, minutes: float, seed: int) -> None:
    """Whether the intervals can be relied on; nothing where that would take too long and nobody asks for it."""
    from cotwin.estimation.check import check, forecast, unjudged
    from cotwin.estimation.checkable import fewest
    from cotwin.report.check import draw, render

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    found = calibration.estimation
    say("Checking the intervals: how long that takes, from a few repetitions.")
    expected = forecast(found, seed=seed)
    seconds, enough = expected.seconds(draws), max(fewest(found.level), expected.draws_within(SOON))
    say(f"{draws} repetitions are forecast to take {_duration(seconds)}.")
    if seconds > 60 * minutes:
        say(f"--check {enough} would take {_duration(expected.seconds(enough))}.")
        if not (sys.stdin.isatty() and console.is_terminal and typer.confirm("Go on?")):
            say(f"The check is left out; for it, estimate again with --check-minutes {seconds / 60:.0f}.")
            return
    result = check(found, draws, seed=seed, say=lambda stage: say(f"{stage} …"))
    # What held-out data say counts too.
    result = replace(result, reasons=unjudged(calibration.reasons))
    directory.write_json("check.json", result.as_json())
    if result.coverages:
        directory.write_figure("check.png", lambda: draw(result))
    for part in render(result):
        console.print(part, highlight=False)
    say(f"Check: {directory.path / 'check.json'}, check.png ({_duration(result.seconds)}).")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
