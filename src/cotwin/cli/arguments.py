"""Arguments that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Config = Annotated[str, typer.Argument(help="A preset's name, or the path of a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Changes, as key.path=value.")]
