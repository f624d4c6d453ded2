"""The command line."""

from __future__ import annotations

from typing import Annotated

import typer

import cotwin
from cotwin.cli import cache, config, data
from cotwin.cli.compare import compare
from cotwin.cli.estimate import estimate
from cotwin.cli.further import next_
from cotwin.cli.new import new
from cotwin.cli.plan import plan
from cotwin.cli.predict import predict
from cotwin.cli.train import train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> bool:
    if asked:
        typer.echo(cotwin.__version__)
        raise typer.Exit
    return asked


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Train a simulator and a surrogate of the same system together."""


app.command()(train)
app.command()(compare)
app.command()(estimate)
app.command("next")(next_)
app.command()(new)
app.command()(plan)
app.command()(predict)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")
