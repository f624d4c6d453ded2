"""Data that nobody on this project made, beside it in ../shared/data."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared/data"


def published(name: str) -> Path:
    """The path of one; where the folder is absent the test is skipped."""
    if not (FOLDER / name).exists():
        pytest.skip(f"../shared/data/{name} is absent")
    return FOLDER / name
