"""True trajectories of the suite's problems, by solvers that are not the model's: another scheme, another grid."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from cotwin import write_trajectories

MODULES = {
    "burgers_field_2": "burgers_field",
    "burgers_field_10": "burgers_field",
    "potential": "potential",
    "heat_sensors": "heat_sensors",
    "gray_scott_points": "gray_scott_points",
    "fisher_wrong_law": "fisher_wrong_law",
    "kolmogorov": "kolmogorov",
    "shallow_water_drag": "shallow_water_drag",
    "burgers_semi_lagrangian": "burgers_semi_lagrangian",
    **{f"scratch_assay_{number}": "scratch_assay" for number in range(4)},
}
"""The file that makes each file of data."""


def source(name: str):  # a Truth, or what else has `trajectories`
    """What makes the data of this name."""
    return import_module(f"truth.{MODULES[name]}").SOURCES[name]


def made(name: str, folder: Path) -> Path:
    """The file of data of this name; made where it is not there. The same bits each time on one machine."""
    path = folder / f"{name}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_trajectories(path, source(name).trajectories())
    return path
