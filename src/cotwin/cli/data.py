"""Look at data files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotwin.cli.arguments import Overrides
from cotwin.cli.errors import errors_explained

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command("inspect")
def inspect(
    file: Annotated[str, typer.Argument(help="Of any format that docs/data.md names, or several, as runs/*.npz.")],
    format: Annotated[str | None, typer.Option(help="Of the file; by its content if not given.")] = None,
    plot: Annotated[Path | None, typer.Option(help="A PNG to draw each field into, over time.")] = None,
) -> None:
    """Say what is in a file, what may be times, coordinates and fields, and the settings that read it."""
    from cotwin.data.inspection.inspect import inspected, render

    with errors_explained(), inspected(file, format) as (found, contents):
        typer.echo(render(found))
        if plot is not None:
            from cotwin.report.contents import draw_contents

            if contents is None:
                raise ValueError(f"{file}: nothing in it can be read yet, so there is nothing to draw.")
            plot.write_bytes(draw_contents(contents))
            typer.echo(f"drawn into {plot}")


@app.command("check")
def check(
    what: Annotated[str, typer.Argument(help="A data file, several as runs/*.npz, or a YAML file with `data`.")],
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list of what is found.")] = False,
) -> None:
    """Say what is odd in data: times, coordinates, missing values, dead sensors, walls, units, copies, frozen states.

    A file is read with the settings that `inspect` finds, changed by key=value. Exit status: 0 nothing found, 1
    reading refuses the data, 3 they are read, but something is odd.
    """
    import json
    from dataclasses import asdict

    from cotwin.data.inspection.finding import told
    from cotwin.experiment.checking import check as check_data

    with errors_explained():
        findings, looked = check_data(what, overrides or [])
    typer.echo(json.dumps([asdict(one) for one in findings], indent=2) if as_json else told(findings, looked))
    if findings:
        raise typer.Exit(1 if any(one.refused for one in findings) else 3)
