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
    except (ValueError, OSError, RuntimeError, ArithmeticError, MemoryError) as error:
        if _is_out_of_memory(error):
            fail(f"there is not enough memory: {error}. Take smaller batches, windows, grids or networks.")
        if not isinstance(error, explained()):
            raise
        fail(str(error))


def explained() -> tuple[type[Exception], ...]:
    """What a person can mend."""
    from cotwin.run import RunError
    from cotwin.stepper import DivergenceError, ProgramError
    from cotwin.study.cells import StudyError
    from cotwin.training.safe_steps import TrainingDivergedError

    return (ValueError, OSError, RunError, StudyError, DivergenceError, ProgramError, TrainingDivergedError)


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU torch has no class of its own for it.
    return isinstance(error, MemoryError) or any(
        words in str(error)
        for words in ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
    )


def fail(message: str) -> NoReturn:
    """Say it and end with exit code 1."""
    Console(stderr=True).print("[bold red]error:[/]", escape(message), highlight=False, soft_wrap=True)
    raise typer.Exit(1)
