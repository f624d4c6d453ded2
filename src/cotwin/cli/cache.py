"""Look at what Cotwin keeps on disk, and remove it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cotwin.cli.errors import errors_explained

app = typer.Typer(no_args_is_help=True, help=__doc__)

CacheDir = Annotated[Path, typer.Option(help="As in the setting store.cache_dir.")]


@app.command("list")
def list_(cache_dir: CacheDir = Path(".cotwin/cache")) -> None:
    """Print what is on each shelf: size, age, who made it, whether it is in use or left over."""
    from cotwin.report.cache import render
    from cotwin.store.shelf import shelves

    with errors_explained():
        entries = [entry for shelf in shelves(cache_dir) for entry in shelf.entries()]
    Console().print(render(entries, time.time()), highlight=False)


@app.command()
def clean(
    shelf: Annotated[
        list[str] | None, typer.Option(help="Also all that this shelf keeps: real, generated or evaluation.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also all that every shelf keeps.")] = False,
    cache_dir: CacheDir = Path(".cotwin/cache"),
) -> None:
    """Remove what dead runs left behind; what a run uses now always stays."""
    from cotwin.report.cache import summary
    from cotwin.store.shelf import SHELVES, shelves

    with errors_explained():
        emptied = SHELVES if everything else tuple(shelf or ())
        unknown = set(emptied) - set(SHELVES)
        if unknown:
            raise ValueError(f"there is no shelf {', '.join(sorted(unknown))}; choose among {', '.join(SHELVES)}.")
        removed = [
            entry for one in shelves(cache_dir) for entry in (one.clear() if one.name in emptied else one.sweep())
        ]
    typer.echo(summary(removed))
