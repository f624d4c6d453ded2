"""What to do with a finished run."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console


def print_next(console: Console, path: Path, figure: str, go_on: str) -> None:
    """Where the figure is, how to use the models, and how to go on."""
    model = "" if (path / "synthetic.safetensors").is_file() else " --model physical"
    lines = [
        *([f"Figure: {path / figure}"] if (path / figure).is_file() else []),
        f"Predict: cotwin predict {shlex.quote(str(path))} --initial FILE --steps N --out FILE{model}",
        go_on,
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
