"""What `cotwin data inspect` says of tables; the settings that it prints read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cotwin.data.inspection.check import check_file
from cotwin.data.inspection.inspect import inspect_file, render
from cotwin.data.read import open_trajectories


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_printed_reads_the_table(tmp_path: Path, ending: str) -> None:
    rng, path = np.random.default_rng(0), tmp_path / f"wells.{ending}"
    frame = pd.DataFrame({"run": ["a", "b"] * 20, "hours": rng.uniform(0, 8, 40), "x": rng.uniform(3, 97, 40)})
    frame = frame.assign(head=rng.normal(size=40))
    frame.loc[3, "head"] = np.nan
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    found = inspect_file(path)
    said = render(found)
    assert "readings: 39 in 2 trajectories" in said
    assert "run: words (40,), a, b" in said
    assert "'hours' holds times" in said
    assert "head: numbers (40,)" in said
    assert "empty: 1" in said
    assert found.options["names"] == {"t": "hours"}
    assert found.options["extent"] == ((0.0, 100.0),)
    assert found.options["dt"] == pytest.approx(0.08, rel=0.1)
    (refusal,) = found.refusals
    assert refusal.startswith("the boundary is not in the file")
    data = open_trajectories(path, **found.options, boundary="neumann")  # type: ignore[arg-type]
    assert data.sensors is not None
    assert len(data.sensors) == 39


def test_a_table_of_which_nothing_is_known_is_listed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    found = inspect_file(tmp_path / "t.csv")
    assert [one.name for one in found.arrays] == ["a", "b"]
    assert found.problem is not None
    assert "no column is called x" in found.problem


@pytest.mark.parametrize("name", ["time", "Time", "timestamp"])
def test_a_temperature_is_no_time(tmp_path: Path, name: str) -> None:
    path, times = tmp_path / "t.csv", np.repeat(np.arange(5) / 8, 3)
    frame = pd.DataFrame({"x": [0.1, 0.5, 0.9] * 5, "T": 20 + times, name: times})
    frame.to_csv(path, index=False)
    data = open_trajectories(path, **inspect_file(path).options, boundary="neumann")  # type: ignore[arg-type]
    assert [field.name for field in data.layout.fields] == ["T"]
    assert data.sensors is not None
    assert data.layout.dt == pytest.approx(1 / 8)
    if name == "timestamp":
        with pytest.raises(ValueError, match=r"no column is called t or time; .* It has x, T, timestamp"):
            open_trajectories(path, grid=[16], extent=[(0, 1)], boundary="neumann")


def test_what_is_odd_is_found(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(1), tmp_path / "t.csv"
    frame = pd.DataFrame({"time": np.arange(60) // 3, "x": [0.1, 0.5, 0.9] * 20, "u": rng.normal(size=60)})
    assert check_file(path_of(frame, path), {}).findings == []
    frame.loc[frame.x == 0.5, "u"] = 3.0
    frame.loc[41, "u"] = -999.0
    frame = pd.concat([frame, frame.iloc[[7, 7]]])
    found = {one.kind: one.text for one in check_file(path_of(frame, path), {}).findings}
    assert found["copies"] == "2 readings have the place, time and quantity of another, the first in line 9"
    assert found["dead"].startswith("u is 3 in all 2")
    assert found["spikes"].endswith("the first, -999, in line 43")
    (refused,) = check_file(path_of(frame.rename(columns={"x": "place"}), path), {}).findings
    assert refused.refused


def path_of(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path
