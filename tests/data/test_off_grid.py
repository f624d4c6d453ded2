"""Readings of sensors: where and when they are, in which unit of time, and what has to be said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cotwin.data.read import open_trajectories
from cotwin.data.tables.off_grid import read_sensors
from cotwin.data.trajectories import Trajectories

SAID: dict[str, Any] = {"grid": [10], "extent": [(0.0, 1.0)], "boundary": "neumann"}
PLANE: dict[str, Any] = {"grid": [10, 8], "extent": [(0.0, 1.0), (0.0, 2.0)], "boundary": "neumann"}


def read(path: Path, frame: pd.DataFrame, **said: Any) -> Trajectories:
    frame.to_csv(path / "table.csv", index=False)
    return open_trajectories(path / "table.csv", **{**SAID, **said})


def test_long_and_wide_tables_are_the_same_readings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, 15))
    wide = pd.DataFrame({"time": np.repeat(np.arange(5) * 0.5, 3), "x": rng.uniform(0, 1, 15), "u": u, "v": v})
    wide.loc[3, "u"] = np.nan
    long = wide.melt(id_vars=["time", "x"], var_name="quantity").sample(frac=1, random_state=1)
    names = {"t": "hours", "x": "position", "value": "reading", "quantity": "species"}
    named = long.rename(columns={"time": "hours", "x": "position", "value": "reading", "quantity": "species"})
    one = read(tmp_path, wide).sensors
    for other in (
        read(tmp_path, long, fields=["u", "v"]).sensors,
        read(tmp_path, named, fields=["u", "v"], names=names).sensors,
        read(tmp_path, long.replace({"u": "temperature"}), fields=["u", "v"], names={"u": "temperature"}).sensors,
    ):
        assert one is not None
        assert other is not None
        for name in ("row", "steps", "channel", "lower", "upper", "values"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert len(one) == 29


def test_states_hold_what_is_read_near_and_nothing_is_observed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": [0, 0, 1, 2.2, 1], "x": [0.05, 0.33, 0.36, 1.0, 0.38], "u": [1.0, 2, 3, 4, 5]})
    data = read(tmp_path, frame, dt=1.0)
    assert data.states.shape == (1, 4, 1, 10)
    assert not data.mask.any()  # type: ignore[union-attr]
    near = data.on_the_grid()
    assert near.mask is not None
    assert near.mask.nonzero().tolist() == [[0, 0, 0, 0], [0, 0, 0, 3], [0, 1, 0, 3], [0, 2, 0, 9]]
    assert near.states[near.mask].tolist() == [1, 2, 4, 4]


def test_each_trajectory_begins_with_its_first_reading_or_when_it_is_said(tmp_path: Path) -> None:
    frame = pd.DataFrame({"run": ["b", "b", "a", "a"], "t": [10, 11, 4.5, 5.5], "x": 0.5, "u": [1.0, 2, 3, 4]})
    data = read(tmp_path, frame)
    assert data.sensors is not None
    assert data.sensors.steps.tolist() == [0, 1, 0, 1]
    assert data.sensors.row.tolist() == [0, 0, 1, 1]
    assert "trajectories are counted: 0 is b, 1 is a" in data.notes
    data = read(tmp_path, frame, begin=4.0, dt=0.5)
    assert data.sensors is not None
    assert data.sensors.steps.tolist() == [12, 14, 1, 3]
    with pytest.raises(ValueError, match=r"trajectory 1 has readings from 4.5 on, before data.begin"):
        read(tmp_path, frame, begin=5.0)


def test_trajectories_with_numbers_come_in_their_order(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [10, 9, 10, 9], "t": [0, 0, 1, 1], "x": 0.5, "u": [1.0, 2, 3, 4]})
    sensors = read(tmp_path, frame).sensors
    assert sensors is not None
    assert sensors.values.tolist() == [2, 4, 1, 3]


def test_boxes_points_and_vectors(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "t": [0, 1, 2],
            "x": [0.5, np.nan, 0.5],
            "y": [1.0, np.nan, 1.5],
            "x_lower": [np.nan, 0.2, np.nan],
            "x_upper": [np.nan, 0.6, np.nan],
            "y_lower": [np.nan, 0.0, np.nan],
            "y_upper": [np.nan, 2.0, np.nan],
            "velocity_x": [1.0, 2.0, 3.0],
            "velocity_y": [4.0, 5.0, 6.0],
            "dye": [0.1, 0.2, 0.3],
        }
    )
    data = read(tmp_path, frame, **PLANE, fields=["velocity", "dye"])
    assert data.layout.channel_names == ("velocity_x", "velocity_y", "dye")
    assert [field.components for field in data.layout.fields] == [2, 1]
    sensors = data.sensors
    assert sensors is not None
    assert sensors.lower[::3].tolist() == [[0.5, 1.0], [0.2, 0.0], [0.5, 1.5]]
    assert sensors.upper[::3].tolist() == [[0.5, 1.0], [0.6, 2.0], [0.5, 1.5]]
    assert any(
        "9 readings (3 of velocity_x, 3 of velocity_y, 3 of dye), 3 of them means" in one for one in data.notes
    )


def test_noise_and_what_is_given_come_along(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [0, 0, 1, 1], "t": [0, 1, 0, 1], "x": 0.5, "u": 1.0, "u_sigma": [0.1, 0.2, 0.3, 0.4]})
    frame = frame.assign(nu=[0.1, 0.1, 0.2, 0.2], pump=[0.0, 5.0, 0.0, 3.0])
    data = read(tmp_path, frame, given=["nu", "pump"])
    assert data.sensors is not None
    assert data.sensors.sigma is not None
    assert data.sensors.sigma.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert data.given.conditions["nu"].tolist() == pytest.approx([0.1, 0.2])
    assert data.given.inputs["pump"].values.tolist() == [[0, 5], [0, 3]]
    assert [field.name for field in data.layout.fields] == ["u"]


@pytest.mark.parametrize(
    ("times", "dt"),
    [
        (np.arange(7) * 0.1 + 3, 0.1),
        (np.array([0, 0.1, 0.2, 0.4, 0.5, 0.71, 0.8]), 0.1),
        (np.round(np.arange(40) / 3, 3), 1 / 3),
    ],
)
def test_the_step_is_the_usual_interval(tmp_path: Path, times: Any, dt: float) -> None:
    frame = pd.DataFrame({"t": np.repeat(times, 2), "x": np.tile([0.2, 0.7], len(times)), "u": 1.0})
    assert read(tmp_path, frame).layout.dt == pytest.approx(dt, rel=3e-3)


def test_dates_have_seconds_for_a_unit(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": ["2024-05-01T10:00", "2024-05-01T10:30", "2024-05-01T11:00"], "x": 0.5, "u": 1.0})
    data = read(tmp_path, frame)
    assert (data.layout.dt, data.layout.time_unit) == (1800, "s")
    assert "times are dates, and read as seconds after 2024-05-01 10:00:00" in data.notes


@pytest.mark.parametrize(
    ("changes", "said", "message"),
    [
        ({}, {"grid": None}, r"the readings have no grid; .* data.grid .* = \[64\]"),
        ({}, {"extent": None}, r"they lie in \[\[0.1, 0.5\]\]. Give .* data.extent"),
        ({}, {"boundary": None}, "the boundary is not in the file; choose .* with data.boundary"),
        ({}, {"grid": [8, 8]}, r"data.grid .* has 2 entries, the table has the axes x"),
        ({}, {"extent": [(0.2, 1.0)]}, r"2 of 4 readings lie outside .* the first in line 2, at x = 0.1"),
        ({"t": [0.0, 0.13, 0.7, 0.72]}, {}, r"times have no usual interval.* data.dt .* 0.0072"),
        ({"t": [1.0, 1, 1, 1]}, {}, "times have no usual interval|all readings .* are of one time"),
        ({"x": [0.1, np.nan, 0.3, 0.4]}, {}, "x is missing or not finite in line 3"),
        ({"t": [0, 1, np.nan, np.nan]}, {}, "t is missing or not finite in line 4, and in 1 more rows"),
        ({"u": [np.inf, 1, 2, 3]}, {}, "the value is not finite in line 2"),
        ({"u": np.nan}, {}, "it holds no reading"),
        ({"sigma": [0.1, 0.0, 0.1, 0.1]}, {}, "sigma, .* is missing or not positive in line 3"),
        ({"v": 1.0, "sigma": 0.1}, {}, "sigma is of which of u, v"),
        ({"v": 1.0, "u_sigma": 0.1}, {}, "the noise of u is known, and that of the other quantities is not"),
        ({}, {"fields": ["w"]}, "no quantity 'w'; the table has u"),
        ({}, {"names": {"t": "hours"}}, "no column is called 'hours'"),
        ({}, {"given": ["nu"]}, "nothing is called 'nu' that could be given"),
        ({"nu": [1.0, 2, 3, 4], "t": [0, 0, 1, 1]}, {"given": ["nu"]}, "nu has another value at .* in line 3"),
        ({"x_lower": 0.1}, {}, "of x_lower and x_upper, the ends of a box, one is missing"),
        ({"x_lower": 0.4, "x_upper": 0.3}, {}, "x_lower lies above x_upper in line 2"),
        ({"z": 0.1}, {}, "no column is called y"),
        ({"note": ["a", "b", "c", "d"]}, {}, "column 'note' holds 'a' in line 2, which is no number"),
        ({}, {"axes": "xt"}, "data.axes .* is of no effect on a table of readings"),
        ({}, {"missing": "mask"}, "data.missing .* is of no effect on a table of readings"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_said(tmp_path: Path, changes: Any, said: Any, message: str) -> None:
    frame = pd.DataFrame({"t": [0.0, 1, 2, 3], "x": [0.1, 0.1, 0.4, 0.5], "u": [1.0, 2, 3, 4]}).assign(**changes)
    with pytest.raises(ValueError, match=message):
        read(tmp_path, frame, **said)


def test_what_is_left_out_and_what_is_there_twice_is_noted(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"t": [0.0, 0, 0, 1, 1], "x": 0.1, "quantity": [*"uuuuw"], "value": [1.0, 1, 2, np.nan, 3], "by": "me"}
    )
    notes = read(tmp_path, frame.assign(t=[0.0, 0, 0, 1, 1]), fields=["u"], dt=1.0, begin=-1.0).notes
    assert "1 values are empty" in notes
    assert "quantities that were not asked for are left out: w" in notes
    assert "columns that are not read: by" in notes
    twice = "2 readings have the place, time and quantity of another, and each counts; 1 of them its value too"
    assert any(one.startswith(twice) for one in notes)


def test_a_grid_is_for_tables_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "u.npz", x=np.linspace(0, 1, 8), t=np.arange(4.0), u=np.zeros((4, 8)))
    with pytest.raises(ValueError, match=r"data.grid .* is of no effect on data on a grid"):
        open_trajectories(tmp_path / "u.npz", boundary="neumann", grid=[8])


def test_a_text_is_a_table_where_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("t,x,u\n0,0.5,1\n1,0.5,2\n")
    with pytest.raises(ValueError, match=r"If it is a table of readings, say so: 'csv' as data\.format"):
        open_trajectories(tmp_path / "log.txt", **SAID)
    assert len(open_trajectories(tmp_path / "log.txt", format="csv", **SAID).sensors) == 2  # type: ignore[arg-type]


def test_many_readings_at_random_places_are_read_from_parquet(tmp_path: Path) -> None:
    count = 20_000
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"t": rng.integers(0, 50, count), "x": rng.uniform(0, 1, count), "u": rng.normal(size=count)}
    )
    frame.to_parquet(tmp_path / "u.parquet")
    assert len(read_sensors(tmp_path / "u.parquet", **SAID).sensors) == count  # type: ignore[arg-type]
