"""The problems of the suite and their settings, chosen before anything was measured; none is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LARGEST_CURVE = 32
"""Trajectories with which the surrogate is trained alone at most."""


@dataclass(frozen=True)
class Problem:
    """One row. config: the YAML beside this file. data: the file of data, without its ending. title: for the table.

    overrides: of the settings there. curve: the largest number of trajectories of the surrogate alone.
    """

    name: str
    config: str
    data: str
    title: str
    overrides: tuple[str, ...] = ()
    curve: int = 0


def _one(name: str, title: str, data: str | None = None, curve: int = LARGEST_CURVE) -> Problem:
    return Problem(name, f"{name}.yaml", data or name, title, curve=curve)


MAIN = (
    _one("burgers_field", "Burgers, viscosity field, 2 trajectories, 2 % noise", "burgers_field_2"),
    _one("potential", "A potential from one trajectory of which half is seen"),
    _one("heat_sensors", "Heat, sensors that move in a quarter"),
    _one("gray_scott_points", "Gray-Scott, one point in twenty"),
    _one("fisher_wrong_law", "Fisher, wrong law of mobility, 2 % noise"),
    _one("kolmogorov", "Kolmogorov flow, unknown viscosity and force, 2 % noise"),
    _one("shallow_water_drag", "Shallow water, wrong law of drag, 2 % noise"),
    _one("scratch_assay", "Scratch assay (measured), initial number 0 held out", "scratch_assay_0", curve=4),
    _one("burgers_semi_lagrangian", "Burgers by PhiFlow's semi-Lagrangian advection, 1 trajectory"),
)
"""One setting a problem."""


def further() -> Iterator[Problem]:
    """The other settings of problems that have several."""
    for percent in (2, 10):
        for train in (1, 2, 4, 8):
            if (percent, train) != (2, 2):
                data = f"burgers_field_{percent}"
                yield Problem(
                    f"{data}_{train}",
                    "burgers_field.yaml",
                    data,
                    f"Burgers, viscosity field, {train} trajector{'y' if train == 1 else 'ies'}, {percent} % noise",
                    (f"data.path=benchmarks/results/suite/{data}.npz", f"data.train={train}"),
                )
    for number in range(1, 4):
        data = f"scratch_assay_{number}"
        yield Problem(
            data,
            "scratch_assay.yaml",
            data,
            f"Scratch assay (measured), initial number {number} held out",
            (f"data.path=benchmarks/results/suite/{data}.npz",),
        )


WHOLE = (*MAIN, *further())
"""All settings."""
