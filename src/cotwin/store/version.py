"""The version of the code that computes, by its source."""

from __future__ import annotations

import functools
import hashlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "numpy", "phiflow", "phiml", "jax", "jaxlib")


@functools.cache
def code_version() -> str:
    """Changes with every line of Cotwin's source, not only at releases, and with the libraries that compute."""
    libraries = "".join(f"{name} {_version(name)}\0" for name in LIBRARIES)
    return _hash(libraries, Path(__file__).parents[1])


def module_version(name: str) -> str:
    """Changes with every line of an imported module's source, and of the package's that it belongs to."""
    outermost, own = (getattr(sys.modules.get(one), "__file__", None) for one in (name.partition(".")[0], name))
    if outermost is not None and Path(outermost).name == "__init__.py":
        return _hash(name, Path(outermost).parent)
    return name if own is None else _hash(name, Path(own))


def _hash(about: str, source: Path) -> str:
    """Of a file, or of all Python files in a folder."""
    parts = hashlib.sha256(about.encode())
    for path in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
        parts.update(str(path.relative_to(source.parent)).encode() + b"\0" + path.read_bytes() + b"\0")
    return parts.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
