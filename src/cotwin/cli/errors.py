"""What a person reads when something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape


@contextmanager
def errors_explained() -> Iterator[None]:
    """Mistakes that a person can mend are one message, not a traceback; everything else is a defect."""
    try:
        yield
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        if not isinstance(error, explained()):
            raise
        fail(str(error))


def explained() -> tuple[type[Exception], ...]:
    """What a person can mend."""
    from cotwin.run import RunError
    from cotwin.stepper import DivergenceError
    from cotwin.training.trainer import TrainingDivergedError

    return (ValueError, OSError, RunError, DivergenceError, TrainingDivergedError)


def fail(message: str) -> NoReturn:
    """Say it and end with exit code 1."""
    Console(stderr=True).print("[bold red]error:[/]", escape(message), highlight=False, soft_wrap=True)
    raise typer.Exit(1)
