"""The command line: train, config, data."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="Look at configurations without running anything.")
data_app = typer.Typer(no_args_is_help=True, help="Look at data files.")
app.add_typer(config_app, name="config")
app.add_typer(data_app, name="data")

Config = Annotated[str, typer.Argument(help="A preset's name, or the path of a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Changes, as key.path=value.")]


@app.command()
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
    from cotwin.experiment.train import prepare
    from cotwin.experiment.train import train as run_training
    from cotwin.report.table import render
    from cotwin.run import Run

    console = Console()
    if resume and overwrite:
        _fail("--resume goes on with a run, --overwrite throws it away; choose one.")
    if checkpoint is not None and not resume:
        _fail("--checkpoint goes with --resume.")
    with _errors_explained():
        experiment = load(config, overrides or [])
        session = prepare(experiment)
        path = Path("runs") / experiment.name if run_dir is None else run_dir
        text = dump(experiment)
        run = Run.reopen(path, text) if resume else Run.create(path, text, overwrite=overwrite)
    again = shlex.join(["cotwin", "train", config, *(overrides or []), *_option("--run-dir", run_dir), "--resume"])
    with run:
        console.print(
            f"Training {experiment.name!r} into {path}.", *session.data.notes, highlight=False, markup=False
        )
        try:
            with _errors_explained():
                state = run.load_checkpoint(checkpoint) if resume else None
                done = 0 if state is None else sum(line["steps"] for line in state["metrics"])
                with _Bars(console, session.total_steps, done) as bars:
                    comparison = run_training(session, run, bars, state)
        except KeyboardInterrupt:
            console.print(
                f"\nInterrupted; what was finished is kept. Go on with:\n  {again}", markup=False, soft_wrap=True
            )
            raise typer.Exit(130) from None
        for part in render(comparison):
            console.print(part, highlight=False)
        console.print(f"Figure: {path / 'rollout.png'}", highlight=False, markup=False, soft_wrap=True)


@config_app.command("show")
def config_show(config: Config, overrides: Overrides = None) -> None:
    """Print the resolved configuration as YAML."""
    from cotwin.experiment.load import dump, load

    with _errors_explained():
        typer.echo(dump(load(config, overrides or [])), nl=False)


@config_app.command("validate")
def config_validate(config: Config, overrides: Overrides = None) -> None:
    """Check settings and data together, building everything but training nothing."""
    from cotwin.experiment.load import load
    from cotwin.experiment.train import prepare

    with _errors_explained():
        session = prepare(load(config, overrides or []))
    typer.echo(f"{config} is valid. " + " ".join(session.data.notes))


@config_app.command("explain")
def config_explain() -> None:
    """Print every setting: what it may be, its default and what it means."""
    from cotwin.experiment.explain import explain

    typer.echo("\n".join(explain()))


@config_app.command("list")
def config_list() -> None:
    """Print the names of the presets."""
    from cotwin.experiment.load import presets

    typer.echo("\n".join(presets()))


@data_app.command("inspect")
def data_inspect(
    file: Annotated[Path, typer.Argument(help="An npz file, or HDF5 in The Well's layout.")],
) -> None:
    """Say what is in a file: fields, grid, time step, boundaries, trajectories, values that are not finite."""
    from cotwin.data.inspect import inspect_file, render

    with _errors_explained():
        typer.echo(render(inspect_file(file)))


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


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


@contextmanager
def _errors_explained() -> Iterator[None]:
    """Mistakes that a person can mend are one message, not a traceback; everything else is a defect."""
    from cotwin.run import RunError
    from cotwin.stepper import DivergenceError
    from cotwin.trainer import TrainingDivergedError

    try:
        yield
    except (ValueError, OSError, RunError, DivergenceError, TrainingDivergedError) as error:
        _fail(str(error))


def _fail(message: str) -> None:
    Console(stderr=True).print("[bold red]error:[/]", escape(message), highlight=False, soft_wrap=True)
    raise typer.Exit(1)
