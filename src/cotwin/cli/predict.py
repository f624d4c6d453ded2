"""Roll a trained model out from a state of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cotwin.cli.errors import errors_explained


def predict(
    run: Annotated[Path, typer.Argument(help="The directory of a finished run.")],
    initial: Annotated[Path, typer.Option(help="Where to start: npz or HDF5, as data files (docs/data.md).")],
    steps: Annotated[int, typer.Option(min=1, help="Data intervals to predict.")],
    out: Annotated[Path, typer.Option(help="The npz file to write.")],
    model: Annotated[
        Literal["synthetic", "physical"], typer.Option(help="The surrogate, or the simulator.")
    ] = "synthetic",
    frame: Annotated[int, typer.Option(help="Which state of each trajectory in the file to start from.")] = 0,
    axes: Annotated[
        str | None, typer.Option(help="The order of the axes of its fields, as the setting data.axes.")
    ] = None,
) -> None:
    """Roll a trained model out from a state of yours; neither the training data nor its cache is needed."""
    from cotwin.experiment.predict import predict as roll_out

    with errors_explained():
        states = roll_out(run, model, initial, frame, steps, out, axes)
    typer.echo(f"{len(states)} × {steps} steps of the {model} model written to {out}.")
