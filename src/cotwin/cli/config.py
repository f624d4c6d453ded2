"""Look at configurations without running anything."""

from __future__ import annotations

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
def explain() -> None:
    """Print every setting: what it may be, its default and what it means."""
    from cotwin.experiment.explain import explain

    typer.echo("\n".join(explain()))


@app.command("list")
def list_() -> None:
    """Print the names of the presets."""
    from cotwin.experiment.load import presets

    typer.echo("\n".join(presets()))
