"""Begin with a data file, or with an example."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cotwin.cli.errors import errors_explained


def new(
    folder: Annotated[Path, typer.Argument(help="To be made; its name is that of the experiment.")],
    source: Annotated[Path | None, typer.Option("--from", help="A data file; without, an example is made.")] = None,
    format: Annotated[str | None, typer.Option(help="Of the file; by its content if not given.")] = None,
) -> None:
    """Write a commented YAML that reads a data file, and a simulator that runs, to be made your own."""
    from cotwin.experiment.new import new as begin

    with errors_explained():
        made = begin(folder, source, format)
    name = made.config.name
    lines = [f"{made.config}: the data and the model", f"{made.stub}: the equation"]
    if made.left:
        lines.append(f"To choose in {name}: {', '.join(made.left)}")
    lines += [
        f"Then: cd {shlex.quote(str(folder))}",
        *(f"  cotwin {one} {name}" for one in ("data check", "estimate", "train")),
    ]
    typer.echo("\n".join(lines))
