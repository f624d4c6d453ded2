"""Look at configurations without running anything."""

from __future__ import annotations

from typing import Annotated

import typer

from cotwin.cli.arguments import Config, Overrides
from cotwin.cli.errors import errors_explained

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command("show")
def show(config: Config, overrides: Overrides = None) -> None:
    """Print the resolved configuration as YAML."""
    from cotwin.experiment.load import dump, load

    with errors_explained():
        typer.echo(dump(load(config, overrides or [])), nl=False)


@app.command("validate")
def validate(config: Config, overrides: Overrides = None) -> None:
    """Check settings and data together: build everything, train nothing. A file is converted into the cache."""
    from cotwin.experiment.load import load
    from cotwin.experiment.train import prepare

    with errors_explained():
        session = prepare(load(config, overrides or []))
    typer.echo(f"{config} is valid. " + " ".join(session.data.notes))


@app.command("explain")
def explain(
    part: Annotated[str | None, typer.Argument(help="A block, a setting's path, or the name of a kind.")] = None,
) -> None:
    """Print what settings may be, their defaults and what they mean; without PART the blocks."""
    from cotwin.experiment import lookup

    with errors_explained():
        typer.echo(lookup.overview() if part is None else lookup.part(part))


@app.command("list")
def list_() -> None:
    """Print the names of the presets."""
    from cotwin.experiment.presets import presets

    typer.echo("\n".join(presets()))
