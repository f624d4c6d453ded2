"""The experiments that come with the package, a YAML file each."""

from __future__ import annotations

from importlib.resources import files


def presets() -> list[str]:
    """Their names."""
    entries = files(__name__).iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """The YAML of one of them."""
    return (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
