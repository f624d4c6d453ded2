"""The version of the code that makes windows."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "numpy", "phiflow", "phiml", "jax", "jaxlib")


@functools.cache
def code_version() -> str:
    """Changes with every line of Cotwin's source, not only at releases, and with the libraries that compute."""
    source = Path(__file__).parents[1]
    parts = hashlib.sha256()
    for name in LIBRARIES:
        parts.update(f"{name} {_version(name)}\0".encode())
    for path in sorted(source.rglob("*.py")):
        parts.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    return parts.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
