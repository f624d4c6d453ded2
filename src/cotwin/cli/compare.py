"""Train all arms with several seeds, and say what that shows."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from cotwin.cli.arguments import Config, Overrides
from cotwin.cli.errors import errors_explained, fail

if TYPE_CHECKING:
    from cotwin.experiment.compare import Plan


def compare(
    config: Config,
    overrides: Overrides = None,
    seeds: Annotated[
        int, typer.Option(help="How many, from the settings' own on; three at least for a verdict.")
    ] = 5,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="A further arm, trained together with other settings: 'NAME: key.path=value …'."),
    ] = None,
    curve: Annotated[
        int | None,
        typer.Option(
            min=1, help="For the efficiency gain: the surrogate alone with 1, 2, 4, … up to so many trajectories."
        ),
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="As many as cores if not given.")] = None,
    run_dir: Annotated[Path | None, typer.Option(help="Where to write; runs/NAME-compare if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the comparison that is there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the comparison that is there.")] = False,
) -> None:
    """Compare training together with training alone and with distilling, over seeds."""
    from cotwin.experiment.compare import compare as run_comparison
    from cotwin.experiment.load import dump
    from cotwin.experiment.resume import reopen
    from cotwin.report.study import render
    from cotwin.report.study_figure import draw
    from cotwin.run import Run

    console = Console()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=console)])
    if resume and overwrite:
        fail("--resume goes on with a comparison, --overwrite throws it away; choose one.")

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    with errors_explained():
        plan = _plan(config, overrides or [], seeds, arm or [], curve)
        path = Path("runs") / f"{plan.experiment.name}-compare" if run_dir is None else run_dir
        if resume:
            run = reopen(path, plan.experiment)
        else:
            run = Run.create(path, dump(plan.experiment), overwrite=overwrite)
        with run, _pool(processes, plan) as executor:
            run.write_text("config.yaml", dump(plan.experiment))
            say(f"Comparing {', '.join(plan.arms)} of {plan.experiment.name!r} over {seeds} seeds into {path}.")
            try:
                study = run_comparison(plan, run, executor, say)
            except KeyboardInterrupt:
                say("\nInterrupted; what was finished is kept. Go on with:\n  the same command and --resume")
                raise typer.Exit(130) from None
            run.write_json("comparison.json", study.as_json())
            run.write_figure("comparison.png", lambda: draw(study))
    for part in render(study):
        console.print(part, highlight=False)
    say(f"All figures: {path / 'comparison.json'}, and as a picture: {path / 'comparison.png'}")


def _plan(config: str, overrides: list[str], seeds: int, arms: list[str], curve: int | None) -> Plan:
    from cotwin.experiment.compare import Plan
    from cotwin.experiment.load import load

    variants = {}
    for one in arms:
        name, colon, changes = one.partition(":")
        if not colon or not name.strip() or not changes.strip():
            fail(f"--arm {one!r} is not of the form 'NAME: key.path=value …'.")
        if name.strip() in variants:
            fail(f"--arm names {name.strip()!r} twice; give each a name of its own.")
        # Between settings, not within the braces of one.
        variants[name.strip()] = load(config, [*overrides, *re.split(r"\s+(?=[\w.-]+=)", changes.strip())])
    numbers = tuple(2**power for power in range((curve or 0).bit_length()))
    return Plan(load(config, overrides), seeds, variants, numbers)


def _pool(processes: int | None, plan: Plan) -> ProcessPoolExecutor:
    """Each cell in a process of its own: its memory can be told, and nothing hangs on what ran before."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = processes or max(1, cores // (plan.experiment.threads or 1))
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)
