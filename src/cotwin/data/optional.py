"""Packages that are not installed with Cotwin, but with one of its extras."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, extra: str, source: str) -> Any:
    """A module, imported. Raises ValueError, naming the extra to install, where it is not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{source}: it needs {error.name}, which is missing: pip install cotwin[{extra}]."
        ) from error
