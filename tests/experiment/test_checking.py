"""`cotwin data check`: of a file as inspect reads it, of an experiment's files as it reads them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cotwin.cli import app

X, T = np.arange(32) / 32, 0.05 * np.arange(12)
WAVES = np.stack([np.sin(2 * np.pi * (X - T[:, None] + shift)) for shift in (0.0, 0.35, 0.7)])


def checked(*words):
    result = CliRunner().invoke(app, ["data", "check", *map(str, words)])
    return result.exit_code, result.output


@pytest.fixture
def mine(tmp_path):
    """A file whose names tell nothing."""
    np.savez(tmp_path / "mine.npz", a=X, b=T, c=WAVES)
    return tmp_path / "mine.npz"


def test_nothing_is_found_in_a_sound_file(mine):
    assert checked(mine) == (0, f"{mine}: looked at 3 of 3 trajectories\nnothing found\n")


def test_what_reading_refuses_is_status_one_and_comes_first(mine):
    states = WAVES[[0, 1, 0]]
    states[1, 2, 3] = np.nan
    np.savez(mine, a=X, b=T, c=states)
    code, output = checked(mine, "boundary=dirichlet")
    assert code == 1
    assert [line.split(": ")[1:3] for line in output.splitlines()[1:-1]] == [
        ["refused", "missing"],
        ["refused", "walls"],
        ["odd", "copy"],
    ]
    assert output.splitlines()[-1] == "3 findings, reading refuses 2"
    code, output = checked(mine, "missing=mask", "--json")
    assert (code, [one["kind"] for one in json.loads(output)]) == (3, ["missing", "copy"])


def test_a_configuration_is_checked_as_it_reads(tmp_path, mine):
    config = tmp_path / "mine.yaml"
    config.write_text(
        f"data: {{kind: file, path: {mine}, names: {{t: b, x: a, u: c}}, boundary: periodic}}\n"
        "physical: {model: heat, diffusivity: {initial: 0.1}}\n"
    )
    assert checked(config)[0] == 0
    code, output = checked(config, "data.boundary=neumann")
    assert (code, "refused: walls: along x the boundary is 'neumann'" in output) == (1, True)


def test_walls_are_not_judged_where_none_are_said(tmp_path):
    np.savez(tmp_path / "a.npz", x=X + 1 / 64, t=T, u=np.exp(-(((X - 0.5) / 0.05) ** 2)) * np.cos(T)[:, None])
    assert "no boundary is said, so walls are not judged" in checked(tmp_path / "a.npz")[1]


def test_mistakes_are_one_message(mine):
    assert "no file fits" in checked(mine.with_name("*.h5"))[1]
    assert "data.boundry: Extra inputs" in checked(mine, "boundry=neumann")[1]
    assert "its data are simulated" in checked(write(mine.with_name("a.yaml")))[1]


def write(path):
    path.write_text("defaults: [heat]\n")
    return path
