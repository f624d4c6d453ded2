"""Train simulator and surrogate together, then alone, and compare."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cotwin.cli.arguments import Config, Overrides
from cotwin.cli.errors import errors_explained, fail
from cotwin.cli.next_steps import print_next

NAMES = {"physical": "simulator", "synthetic": "surrogate"}


def train(
    config: Config,
    overrides: Overrides = None,
    run_dir: Annotated[Path | None, typer.Option(help="Where to write; runs/NAME if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is there.")] = False,
    checkpoint: Annotated[int | None, typer.Option(help="With --resume: this one, not the newest.")] = None,
) -> None:
    """Train simulator and surrogate together, then alone, and compare."""
    from cotwin.experiment.load import dump, load
    from cotwin.experiment.resume import checkpoint_of, reopen
    from cotwin.experiment.train import prepare
    from cotwin.experiment.train import train as run_training
    from cotwin.report.table import render
    from cotwin.run import Run

    console = Console()
    if resume and overwrite:
        fail("--resume goes on with a run, --overwrite throws it away; choose one.")
    if checkpoint is not None and not resume:
        fail("--checkpoint goes with --resume.")
    with errors_explained():
        experiment = load(config, overrides or [])
        session = prepare(experiment)
        path = Path("runs") / experiment.name if run_dir is None else run_dir
        if resume:
            run = reopen(path, experiment, session.free)
        else:
            run = Run.create(path, dump(experiment), overwrite=overwrite)

    def again(words: list[str]) -> str:
        return shlex.join(["cotwin", "train", config, *words, *_option("--run-dir", run_dir), "--resume"])

    with run:
        console.print(
            f"Training {experiment.name!r} into {path}.", *session.data.notes, highlight=False, markup=False
        )
        try:
            with errors_explained():
                state = checkpoint_of(run, "training", checkpoint) if resume else None
                done = 0 if state is None else sum(line["steps"] for line in state["metrics"])
                with _Bars(console, session.total_steps, done) as bars:
                    comparison = run_training(session, run, bars, state)
        except KeyboardInterrupt:
            console.print(
                f"\nInterrupted; what was finished is kept. Go on with:\n  {again(overrides or [])}",
                markup=False,
                soft_wrap=True,
            )
            raise typer.Exit(130) from None
        for part in render(comparison):
            console.print(part, highlight=False)
        for line in _chosen_starts(path):
            console.print(line, highlight=False, markup=False)
        kept = [word for word in overrides or [] if not word.startswith("hybrid.cycles=")]
        print_next(console, path, "rollout.png", f"Go on: {again(kept)} hybrid.cycles={experiment.hybrid.cycles * 2}")


def _chosen_starts(path: Path) -> Iterator[str]:
    """What held-out data chose among kinds of starts, by the run's metrics."""
    for line in map(json.loads, (path / "metrics.jsonl").read_text().splitlines()):
        if line["trial_steps"]:
            yield (
                f"Windows for the {NAMES[line['learner']]} begin at {line['starts']} states, as held-out data chose; "
                f"to try the other kinds took {line['trial_steps']} steps more."
            )


class _Bars:
    """Progress bars; silent where the output is no terminal."""

    def __init__(self, console: Console, steps: int, done: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("all", total=steps, completed=done)
        self._phase: TaskID | None = None
        logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=console)])

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def begin(self, description: str, steps: int) -> None:
        if self._phase is not None:
            self._progress.remove_task(self._phase)
        self._phase = self._progress.add_task(description, total=steps)

    def step(self, loss: float) -> None:
        self._progress.advance(self._all)
        if self._phase is not None:
            self._progress.advance(self._phase)

    def restart(self) -> None:
        if self._phase is not None:
            *_, phase = self._progress.tasks
            self._progress.update(self._all, advance=-phase.completed)
            self._progress.reset(self._phase)


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]
