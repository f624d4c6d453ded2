"""Look at data files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotwin.cli.errors import errors_explained

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command("inspect")
def inspect(
    file: Annotated[Path, typer.Argument(help="An npz file, or HDF5 in The Well's layout.")],
) -> None:
    """Say what is in a file: fields, grid, time step, boundaries, trajectories, values that are not finite."""
    from cotwin.data.inspect import inspect_file, render

    with errors_explained():
        typer.echo(render(inspect_file(file)))
