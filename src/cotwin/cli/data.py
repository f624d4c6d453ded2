"""Look at data files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotwin.cli.errors import errors_explained

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command("inspect")
def inspect(
    file: Annotated[Path, typer.Argument(help="Of any format that docs/data.md names.")],
    format: Annotated[str | None, typer.Option(help="Of the file; by its content if not given.")] = None,
    plot: Annotated[Path | None, typer.Option(help="A PNG to draw each field into, over time.")] = None,
) -> None:
    """Say what is in a file, what may be times, coordinates and fields, and the settings that read it."""
    from cotwin.data.inspect import inspected, render

    with errors_explained(), inspected(file, format) as (found, contents):
        typer.echo(render(found))
        if plot is not None:
            from cotwin.report.contents import draw_contents

            if contents is None:
                raise ValueError(f"{file}: nothing in it can be read yet, so there is nothing to draw.")
            plot.write_bytes(draw_contents(contents))
            typer.echo(f"drawn into {plot}")
