"""Values and fluxes that settings say stand at walls, against data that are exact: a rod heated from one end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import erfc

from cotwin.data.read import open_trajectories
from cotwin.experiment.known_walls import against_walls
from cotwin.experiment.wall_settings import WallsSettings

T = np.arange(1, 21) * 0.05
NODES, CELLS = np.linspace(0, 1, 33), (np.arange(32) + 0.5) / 32


def told(folder: Path, x: Any, value: Any, kappa: float = 0.003, trusted: bool = False, **arrays: Any) -> list[str]:
    """u = 300 + erfc(x/√(4κt)): 301 at the left. What is said of another value."""
    u = 300 + erfc(x / np.sqrt(4 * kappa * T[:, None])) + 0.01 * np.random.default_rng(0).normal(size=(20, len(x)))
    np.savez(folder / "rod.npz", x=x, t=T, u=u, boundary=[["dirichlet", "neumann"]], **arrays)
    data = open_trajectories(folder / "rod.npz", given_at=["x_lower"])
    return against_walls(data, WallsSettings.model_validate({"x_lower": {"value": value}}), trusted)


@pytest.mark.parametrize("x", [NODES, CELLS], ids=["nodes", "cells"])
def test_a_known_value_that_the_data_do_not_come_to_is_refused(tmp_path: Path, x: Any) -> None:
    assert told(tmp_path, x, 301.0) == []
    seen = "on the outermost node are 301:" if x is NODES else "continued to the wall are 30"
    with pytest.raises(ValueError, match=rf"x_lower\.value says that u is 300 there, but the data {seen}"):
        told(tmp_path, x, 300.0)
    (note,) = told(tmp_path, x, 300.0, trusted=True)
    assert note.startswith("the data speak against a wall")
    # What is unknown is for the estimate to find.
    assert told(tmp_path, x, {"initial": 300.0}) == []


def test_a_layer_that_a_cell_hides_is_a_note_at_most(tmp_path: Path) -> None:
    for kappa in (0.0003, 0.0005, 0.001):  # 0.8, 1 and 1.4 cells
        assert len(told(tmp_path, CELLS, 301.0, kappa)) <= 1


def test_a_course_that_is_given_is_compared_at_its_times(tmp_path: Path) -> None:
    assert told(tmp_path, NODES, {"given": "bath"}, bath=np.full((1, 20), 301.0)) == []
    with pytest.raises(ValueError, match=r"says that u is 302 in the mean there, but the data"):
        told(tmp_path, NODES, {"given": "bath"}, bath=np.linspace(301, 303, 20))


@pytest.mark.parametrize("at_wall", [False, True])
def test_sensors_without_neighbours_are_judged_where_one_is_at_the_wall(tmp_path: Path, at_wall: bool) -> None:
    u = 300 + erfc(NODES / np.sqrt(0.012 * T[:, None]))
    u[:, [n for n in range(33) if n not in (0 if at_wall else 2, 9, 20, 28)]] = np.nan
    np.savez(tmp_path / "rod.npz", x=NODES, t=T, u=u, boundary=[["dirichlet", "neumann"]])
    data = open_trajectories(tmp_path / "rod.npz", given_at=["x_lower"], missing="mask")
    said = [WallsSettings.model_validate({"x_lower": {"value": value}}) for value in (301.0, 300.0)]
    assert against_walls(data, said[0], trusted=False) == []
    assert len(against_walls(data, said[1], trusted=True)) == at_wall


def test_a_flux_of_the_other_sign_is_said(tmp_path: Path) -> None:
    x, kappa = CELLS, 0.1
    # u_t = κ u_xx with κ ∂u/∂n = 0.5 at the left: steady in shape, rising with what enters.
    u = 0.5 * T[:, None] + 0.5 / kappa * ((1 - x) ** 2 / 2)
    np.savez(tmp_path / "rod.npz", x=x, t=T, u=u, boundary="neumann")
    data = open_trajectories(tmp_path / "rod.npz", given_at=["x_lower"])

    def said(flux: float) -> list[str]:
        return against_walls(data, WallsSettings.model_validate({"x_lower": {"flux": flux}}), trusted=False)

    assert said(0.5) == []
    assert said(0.0) == []
    (note,) = said(-0.5)
    assert "by physical.walls.x_lower.flux u leaves there, but its slope next to the wall has the other sign" in note


def test_two_fields_with_one_number_are_not_judged(tmp_path: Path) -> None:
    u = 300 + erfc(NODES / np.sqrt(0.012 * T[:, None]))
    np.savez(tmp_path / "rod.npz", x=NODES, t=T, u=u, v=-u, boundary=[["dirichlet", "neumann"]])
    data = open_trajectories(tmp_path / "rod.npz", given_at=["x_lower"])
    assert against_walls(data, WallsSettings.model_validate({"x_lower": {"value": 300.0}}), trusted=False) == []
    each = WallsSettings.model_validate({"x_lower": {"value": {"u": 301.0, "v": 0.0}}})
    with pytest.raises(ValueError, match=r"says that v is 0 there, but the data on the outermost node are -301"):
        against_walls(data, each, trusted=False)
    assert bool(torch.isfinite(data.states).all())
