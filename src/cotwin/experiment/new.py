"""A folder to start from: a configuration that reads a data file, and a simulator to be made one's own."""

from __future__ import annotations

import importlib.util
import keyword
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cotwin.data.formats.known import TABLES
from cotwin.data.inspection.inspect import inspect_file
from cotwin.data.inspection.recipe import yaml_of
from cotwin.data.inspection.summary import Inspection, Setting
from cotwin.data.tables.long_form import read_long_form
from cotwin.experiment.learner_settings import PhysicalSettings
from cotwin.experiment.settings import FileData
from cotwin.experiment.stub import class_of, identifier, stub_of

EXAMPLE = "example.npz"
WINDOW = PhysicalSettings.model_fields["window"].default
HELD_OUT = FileData.model_fields["held_out_fraction"].default
SCALAR, SEVERAL, VECTOR = "one scalar", "two scalars", "a vector"
NATURAL = {
    (SCALAR, 1): "heat, advection_diffusion, fisher, burgers, korteweg_de_vries, kuramoto_sivashinsky or allen_cahn",
    (SCALAR, 2): "heat, advection_diffusion, fisher, darcy, navier_stokes (vorticity) or allen_cahn",
    (SCALAR, 3): "heat, advection_diffusion, fisher, darcy or allen_cahn",
    (SEVERAL, 1): "gray_scott, advection_diffusion_reaction, wave (with its velocity) or shallow_water",
    (SEVERAL, 2): "gray_scott, advection_diffusion_reaction or wave (with its velocity)",
    (SEVERAL, 3): "gray_scott, advection_diffusion_reaction or wave (with its velocity)",
    (VECTOR, 2): "spectral_burgers or incompressible_flow",
    (VECTOR, 3): "spectral_burgers",
}
"""Simulators of Cotwin's that such fields are often states of."""


@dataclass(frozen=True)
class New:
    """What was written. left: settings that are to be chosen before it runs."""

    config: Path
    stub: Path
    left: tuple[str, ...]


def new(folder: str | Path, file: str | Path | None = None, format: str | None = None) -> New:
    """Write a folder with NAME.yaml, of the data in a file, and NAME.py, a simulator that runs. Without a file an
    example is made.

    Raises FileExistsError where the folder is there already, ValueError for a file in which no field is found, or
    OSError.
    """
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; choose another name, or move it away.")
    seen = None if file is None else _seen(Path(file), folder, format)
    folder.mkdir(parents=True)
    if seen is None:
        _make_example(folder / EXAMPLE)
        seen = _seen(folder / EXAMPLE, folder, None)
    name = _module(folder.name)
    left = tuple(one.name for one in seen.recipe if not one.said)
    made = New(folder / f"{name}.yaml", folder / f"{name}.py", left)
    made.stub.write_text(stub_of(name, seen.fields), encoding="utf-8")
    made.config.write_text(_config(name, seen, left), encoding="utf-8")
    return made


@dataclass(frozen=True)
class _Seen:
    """What a file holds: the settings that read it; fields that move, with their components; length of the domain and
    of the times; frames that train, where that is known.
    """

    recipe: tuple[Setting, ...]
    fields: Sequence[tuple[str, int]]
    dims: int
    length: float
    duration: float
    frames: int | None = None


def _seen(file: Path, folder: Path, format: str | None) -> _Seen:
    """With the path as it is seen from the folder."""
    found = inspect_file(file, format)
    path = str(file) if file.is_absolute() else os.path.relpath(file, folder)
    recipe = tuple(replace(one, value=path) if one.name == "path" else one for one in found.recipe)
    if found.format in TABLES and "grid" in found.options:
        names = found.options.get("names", {})
        form = read_long_form(file, dict(names), None, ())  # type: ignore[call-overload]
        fields = [(one.name, one.components) for one in form.fields]
        length = float((form.upper.max(axis=0) - form.lower.min(axis=0)).max())
        return _Seen(recipe, fields, form.lower.shape[1], length, float(np.ptp(form.time)))
    fields = _moving(found)
    if found.summary is None or not fields:
        why = f": {found.problem}" if found.problem else "."
        raise ValueError(f"{file}: no field that changes in time is found in it{why} See cotwin data inspect {file}.")
    axes, time, alone = found.summary.axes, found.summary.time, found.summary.trajectories == 1
    frames = math.floor((1 - HELD_OUT) * time.points) if alone else time.points
    return _Seen(recipe, fields, len(axes), max(one.last - one.first for one in axes), time.last - time.first, frames)


def _moving(found: Inspection) -> list[tuple[str, int]]:
    fields = () if found.summary is None else found.summary.fields
    given = found.options.get("given", ())
    named = found.options.get("fields", [one.name for one in fields])
    assert isinstance(given, Sequence)
    assert isinstance(named, Sequence)
    chosen = {*named} - {*given}
    return [(one.name, one.components) for one in fields if one.name in chosen and not one.static]


def _module(name: str) -> str:
    """A name that Python imports from the folder, and from nowhere else."""
    plain = re.sub(r"\W", "_", name).lstrip("_0123456789") or "mine"
    taken = keyword.iskeyword(plain) or importlib.util.find_spec(plain) is not None
    return f"{plain}_model" if taken else plain


def _config(name: str, seen: _Seen, left: Sequence[str]) -> str:
    choose = (
        f"# Before it runs, choose {', '.join(left)} below: uncomment the line, with your word.\n" if left else ""
    )
    guess = _first_guess(seen)
    unknowns = "  # By the first guess the domain's longest wave fades by a tenth over the times of the data.\n"
    unknowns += "\n".join(
        f"  diffusivity_{identifier(one)}: {{initial: {guess:g}}}  # length²/time; a first guess"
        for one, _ in seen.fields
    )
    if seen.frames is not None and seen.frames <= WINDOW:
        unknowns += f"\n  window: {max(seen.frames - 1, 1)}  # steps; the trajectories are short"
    kind = VECTOR if seen.fields[0][1] > 1 else SCALAR if len(seen.fields) == 1 else SEVERAL
    natural = NATURAL.get((kind, seen.dims), "")
    others = (
        "  # Or a simulator of Cotwin's in place of model and unknowns; cotwin config explain NAME says its own.\n"
        f"  # Of such fields: {natural}.\n"
    )
    return (
        f"# In this folder:\n#   cotwin data check {name}.yaml    what is odd in the data\n"
        f"#   cotwin estimate {name}.yaml      the unknowns, with intervals\n"
        f"#   cotwin train {name}.yaml         simulator and surrogate together\n{choose}"
        f"name: {name}\n{yaml_of(seen.recipe)}\nphysical:\n"
        f"  model: {name}:{class_of(name)}  # your equation, in {name}.py\n{unknowns}\n{others if natural else ''}"
    )


def _first_guess(seen: _Seen) -> float:
    """A diffusivity by which the longest wave fades by a tenth over the times of the data, one digit."""
    value = 0.1 * (seen.length / math.pi) ** 2 / max(seen.duration, 1e-300)
    return float(f"{value:.0e}")


def _make_example(path: Path) -> None:
    """Three solutions of ∂u/∂t = 0.05 ∂²u/∂x² between insulated ends, sums of cosines, with 1 % noise."""
    x, t, generator = (np.arange(48) + 0.5) / 48, 0.05 * np.arange(31), np.random.default_rng(0)
    waves = np.arange(4)
    heights = generator.normal(size=(3, 4))
    fading = np.exp(-0.05 * (np.pi * waves) ** 2 * t[:, None])
    u = np.einsum("nk,tk,kx->ntx", heights, fading, np.cos(np.pi * waves[:, None] * x))
    u += 0.01 * u.std() * generator.normal(size=u.shape)
    np.savez(path, x=x, t=t, u=u, boundary="neumann")
