"""The version of the code that computes, by its source."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "numpy", "phiflow", "phiml", "jax", "jaxlib")


@functools.cache
def code_version() -> str:
    """Changes with every line of Cotwin's source, not only at releases, and with the libraries that compute."""
    libraries = "".join(f"{name} {_version(name)}\0" for name in LIBRARIES)
    return _hash(libraries, Path(__file__).parents[1])


def sources_version(modules: Iterable[str]) -> str:
    """Changes with every line of imported modules' source, and of the packages' that they belong to."""
    return " ".join(f"{path.name} {_hash('', path)}" for path in sorted(filter(None, map(_source, set(modules)))))


def _source(module: str) -> Path | None:
    """The folder of its outermost package, or its own file; None for what was typed in, or is compiled."""
    outermost, own = (getattr(sys.modules.get(name), "__file__", None) for name in (module.partition(".")[0], module))
    if outermost is not None and Path(outermost).name == "__init__.py":
        return Path(outermost).parent
    return None if own is None else Path(own)


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
