"""The version of the code that makes windows."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import torch


@functools.cache
def code_version() -> str:
    """Changes with every line of Cotwin's source, not only at releases, and with the version of torch."""
    source = Path(__file__).parents[1]
    parts = hashlib.sha256(torch.__version__.encode())
    for path in sorted(source.rglob("*.py")):
        parts.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    return parts.hexdigest()
