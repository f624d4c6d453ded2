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

from cotwin.data.inspect import inspect_file
from cotwin.data.recipe import yaml_of
from cotwin.data.summary import FieldSummary, FileSummary, Inspection
from cotwin.experiment.learner_settings import PhysicalSettings
from cotwin.experiment.stub import class_of, identifier, stub_of

EXAMPLE = "example.npz"
WINDOW = PhysicalSettings.model_fields["window"].default
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
    found = None if file is None else _inspected(Path(file), folder, format)
    folder.mkdir(parents=True)
    if found is None:
        _make_example(folder / EXAMPLE)
        found = _inspected(folder / EXAMPLE, folder, None)
    summary = found.summary
    assert summary is not None
    name = _module(folder.name)
    fields = _moving(found)
    made = New(
        folder / f"{name}.yaml", folder / f"{name}.py", tuple(one.name for one in found.recipe if not one.said)
    )
    made.stub.write_text(stub_of(name, [(one.name, one.components) for one in fields]), encoding="utf-8")
    made.config.write_text(_config(name, found, summary, fields, made.left), encoding="utf-8")
    return made


def _inspected(file: Path, folder: Path, format: str | None) -> Inspection:
    """With the path as it is seen from the folder."""
    found = inspect_file(file, format)
    if found.summary is None or not _moving(found):
        why = f": {found.problem}" if found.problem else "."
        raise ValueError(f"{file}: no field that changes in time is found in it{why} See cotwin data inspect {file}.")
    path = str(file) if file.is_absolute() else os.path.relpath(file, folder)
    recipe = tuple(replace(one, value=path) if one.name == "path" else one for one in found.recipe)
    return replace(found, recipe=recipe)


def _moving(found: Inspection) -> list[FieldSummary]:
    assert found.summary is not None
    named, given = found.options.get("fields"), found.options.get("given", ())
    chosen = {one.name for one in found.summary.fields} if named is None else set(named)  # type: ignore[call-overload]
    return [one for one in found.summary.fields if one.name in chosen and one.name not in given and not one.static]  # type: ignore[operator]


def _module(name: str) -> str:
    """A name that Python imports from the folder, and from nowhere else."""
    plain = re.sub(r"\W", "_", name).lstrip("_0123456789") or "mine"
    taken = keyword.iskeyword(plain) or importlib.util.find_spec(plain) is not None
    return f"{plain}_model" if taken else plain


def _config(
    name: str, found: Inspection, summary: FileSummary, fields: Sequence[FieldSummary], left: Sequence[str]
) -> str:
    choose = (
        f"# Before it runs, choose {', '.join(left)} below: uncomment the line, with your word.\n" if left else ""
    )
    guess = _first_guess(summary)
    unknowns = "  # By the first guess the domain's longest wave fades by a tenth over the times of the data.\n"
    unknowns += "\n".join(
        f"  diffusivity_{identifier(one.name)}: {{initial: {guess:g}}}  # length²/time; a first guess"
        for one in fields
    )
    frames = math.floor(0.8 * summary.time.points) if summary.trajectories == 1 else summary.time.points
    if frames <= WINDOW:
        unknowns += f"\n  window: {max(frames - 1, 1)}  # steps; the trajectories are short"
    kinds = [one.components for one in fields]
    kind = VECTOR if kinds[0] > 1 else SCALAR if len(kinds) == 1 else SEVERAL
    natural = NATURAL.get((kind, len(summary.axes)), "")
    others = (
        "  # Or a simulator of Cotwin's in place of model and unknowns; cotwin config explain NAME says its own.\n"
        f"  # Of such fields: {natural}.\n"
    )
    return (
        f"# In this folder:\n#   cotwin data check {name}.yaml    what is odd in the data\n"
        f"#   cotwin estimate {name}.yaml      the unknowns, with intervals\n"
        f"#   cotwin train {name}.yaml         simulator and surrogate together\n{choose}"
        f"name: {name}\n{yaml_of(found.recipe)}\nphysical:\n"
        f"  model: {name}:{class_of(name)}  # your equation, in {name}.py\n{unknowns}\n{others if natural else ''}"
    )


def _first_guess(summary: FileSummary) -> float:
    """A diffusivity by which the longest wave fades by a tenth over the times of the data, one digit."""
    length = max(axis.last - axis.first for axis in summary.axes)
    value = 0.1 * (length / math.pi) ** 2 / max(summary.time.last - summary.time.first, 1e-300)
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
