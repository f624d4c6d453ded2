"""The command line."""

from __future__ import annotations

import typer

from cotwin.cli import cache, config, data
from cotwin.cli.estimate import estimate
from cotwin.cli.plan import plan
from cotwin.cli.train import train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Train a simulator and a surrogate of the same system together.",
    pretty_exceptions_enable=False,
)
app.command()(train)
app.command()(estimate)
app.command()(plan)
app.add_typer(config.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(cache.app, name="cache")
