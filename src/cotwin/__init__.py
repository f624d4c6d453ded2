"""Cotwin: train a differentiable simulator and a neural surrogate of the same system together.

The names that a script needs are declared in `__init__.pyi`; each module's docstring tells more.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# From name to module. Each is imported when it is first asked for: `cotwin --help` should not wait for torch.
_HOMES = {
    alias.name: statement.module
    for statement in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(statement, ast.ImportFrom) and statement.module is not None
    for alias in statement.names
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cotwin' has no attribute {name!r}")
    # With fromlist, a name may be a module too: `alpha`, `starts`.
    value = globals()[name] = getattr(__import__(_HOMES[name], fromlist=[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
