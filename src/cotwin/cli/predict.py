"""Roll a trained model out from a state of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cotwin.cli.errors import errors_explained


def predict(
    run: Annotated[Path, typer.Argument(help="The directory of a finished run.")],
    initial: Annotated[Path, typer.Option(help="Where to start: a file as data files are (docs/data.md).")],
    steps: Annotated[int, typer.Option(min=1, help="Data intervals to predict.")],
    out: Annotated[Path, typer.Option(help="The file to write: .npz, .nc, .zarr, .h5 or .hdf5.")],
    model: Annotated[
        Literal["synthetic", "physical"], typer.Option(help="The surrogate, or the simulator.")
    ] = "synthetic",
    frame: Annotated[int, typer.Option(help="Which state of each trajectory in the file to start from.")] = 0,
    axes: Annotated[
        str | None, typer.Option(help="The order of the axes of its fields, as the setting data.axes.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER that the model has to be given, instead of what the file says; repeatable."),
    ] = None,
) -> None:
    """Roll a trained model out from a state of yours; neither the training data nor its cache is needed."""
    from cotwin.experiment.predict import predict as roll_out

    with errors_explained():
        predicted = roll_out(run, model, initial, frame, steps, out, axes, _numbers(given or []))
    typer.echo(f"{len(predicted)} × {steps} steps of the {model} model written to {out}.")


def _numbers(given: list[str]) -> dict[str, float]:
    """From NAME=NUMBER. Raises ValueError for what is not of that form."""
    numbers = {}
    for one in given:
        name, _, value = one.partition("=")
        try:
            numbers[name] = float(value)
        except ValueError:
            raise ValueError(f"--given {one!r} is not of the form NAME=NUMBER.") from None
    return numbers
