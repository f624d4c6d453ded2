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
    """Print what is on each shelf: converted files and rollouts of trained models, with size and age."""
    from cotwin.report.cache import render
    from cotwin.store.shelf import shelves

    with errors_explained():
        entries = [entry for shelf in shelves(cache_dir) for entry in shelf.entries()]
    Console().print(render(entries, time.time()), highlight=False)


@app.command()
def clean(
    shelf: Annotated[list[str] | None, typer.Option(help="All that this shelf keeps: real or evaluation.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that every shelf keeps.")] = False,
    cache_dir: CacheDir = Path(".cotwin/cache"),
) -> None:
    """Remove what killed runs left half-written, and what is asked for. A run that reads it goes on."""
    from cotwin.report.cache import summary
    from cotwin.store.shelf import SHELVES, shelves, strangers, sweep

    with errors_explained():
        emptied = SHELVES if everything else tuple(shelf or ())
        unknown = set(emptied) - set(SHELVES)
        if unknown:
            raise ValueError(f"there is no shelf {', '.join(sorted(unknown))}; choose among {', '.join(SHELVES)}.")
        parts = sweep(cache_dir)
        removed = [entry for one in shelves(cache_dir) if one.name in emptied for entry in one.clear()]
        others = strangers(cache_dir)
    typer.echo(summary(removed, parts))
    if others:
        typer.echo(f"These stay, since this version of Cotwin did not make them: {', '.join(map(str, others))}.")
