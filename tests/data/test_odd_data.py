"""Each fault is found where it is, with the cure; sound data have none."""

import re

import numpy as np
import pytest

from cotwin.data.inspection.check import check_files
from cotwin.data.inspection.inspect import inspect_file
from cotwin.data.noise import add_noise
from cotwin.data.writing.write import write_trajectories
from cotwin.experiment.load import load
from cotwin.experiment.simulated import simulate
from cotwin.seeds import seeded

X, T = np.arange(64) / 64, 0.05 * np.arange(20)
SHIFTS = np.array([0.0, 0.3, 0.7])[:, None, None]
RNG = np.random.default_rng(0)
SOUND = np.sin(2 * np.pi * (X - T[:, None] + SHIFTS)) + 0.3 * np.cos(4 * np.pi * (X + T[:, None])) * (1 + SHIFTS)
SOUND = SOUND + 0.01 * RNG.normal(size=SOUND.shape)


def found(path, *, options=None, **arrays):
    """kind -> (text, refused), of data that hold no more than one fault."""
    np.savez(path / "a.npz", **{"x": X, "t": T, "u": SOUND, "boundary": "periodic", **arrays})
    findings, _ = check_files([path / "a.npz"], options or {})
    assert len({one.kind for one in findings}) == len(findings)
    return {one.kind: (one.text, one.refused) for one in findings}


def changed(place, value):
    states = SOUND.copy()
    states[place] = value
    return states


def test_sound_data_have_no_fault(tmp_path):
    assert found(tmp_path) == {}


@pytest.mark.parametrize("preset", ["advection_diffusion", "fisher", "gray_scott_walls", "heat", "korteweg_de_vries"])
def test_no_false_alarm_at_presets(tmp_path, preset):
    experiment = load(preset)
    data = experiment.data.model_copy(update={"train": 2, "validation": 1, "test": 0})
    clean, _ = simulate(data, experiment.physical, 0)
    for number, noise in enumerate((0.0, 0.05)):
        noisy = add_noise(clean, noise, seeded(0))
        write_trajectories(tmp_path / f"{number}.npz", noisy)
        assert check_files([tmp_path / f"{number}.npz"], {})[0] == []
        arrays = dict(np.load(tmp_path / f"{number}.npz"))
        np.savez(tmp_path / "open.npz", **{name: one for name, one in arrays.items() if name != "boundary"})
        kind = clean.layout.boundary[0]
        assert inspect_file(tmp_path / "open.npz").options.get("boundary") in (None, kind), (
            "none is better than another"
        )


@pytest.mark.parametrize(
    ("times", "says", "refused"),
    [
        (
            np.where(np.arange(20) == 7, T[6], T),
            r"1 of the times are there twice, the first 0\.3 \(indices 6 and 7\)",
            True,
        ),
        (T[[0, 2, 1, *range(3, 20)]], r"the times fall at 1 places, the first from 0\.1 \(index 1\) to 0\.05", True),
        (np.where(np.arange(20) == 3, np.nan, T), "1 of the times are not finite, the first at index 3", True),
        (T + 0.02 * np.sin(np.arange(20)), "times are uneven", False),
    ],
)
def test_times(tmp_path, times, says, refused):
    ((kind, (text, wrong)),) = found(tmp_path, t=times).items()
    assert (kind, wrong) == ("times", refused)
    assert re.search(says, text)


def test_coordinates(tmp_path):
    for points, says in (
        (X[[0, 2, 1, *range(3, 64)]], "the coordinates x fall at 1 places"),
        (np.where(np.arange(64) == 5, X[4], X), "1 of the coordinates x are there twice, the first 0.0625"),
        (X**2, "coordinates x are not equally spaced"),
    ):
        text, refused = found(tmp_path, x=points)["coordinates"]
        assert refused
        assert says in text


def test_missing_values(tmp_path):
    holes = changed((1, slice(3, 5), 7), np.nan)
    text, refused = found(tmp_path, u=holes)["missing"]
    assert (text, refused) == (
        "2 values of u are not finite, the first at trajectory 1, time step 3, point (7,)",
        True,
    )
    assert found(tmp_path, u=holes, options={"missing": "mask"})["missing"][1] is False


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (0.4, "never changes, while what is beside it moves, at 1 points: point (9)"),
        (np.nan, "never seen at 1 points: point (9)"),
    ],
)
def test_a_dead_sensor(tmp_path, value, says):
    text, refused = found(tmp_path, u=changed((..., 9), value), options={"missing": "mask"})["dead"]
    assert (text.endswith(says), refused) == (True, False)


def test_a_sensor_that_is_dead_in_one_trajectory(tmp_path):
    assert found(tmp_path, u=changed((1, ..., 9), 0.4))["dead"][0].endswith("point (9) (trajectory 1)")


def test_what_rests_is_not_dead(tmp_path):
    front = np.maximum(0.0, 0.2 * T[:, None] + 0.3 - np.abs(X - 0.5)) * np.ones((3, 1, 1))
    front[1:] *= np.array([0.9, 1.1])[:, None, None]
    assert found(tmp_path, u=front) == {}


@pytest.mark.parametrize("kind", ["dirichlet", "neumann"])
def test_walls_of_another_kind(tmp_path, kind):
    text, refused = found(tmp_path, boundary=kind)["walls"]
    assert refused
    assert f"along x the boundary is '{kind}'" in text
    assert found(tmp_path, boundary=kind, options={"walls": "trusted"})["walls"][1] is False


def test_another_unit_in_one_trajectory(tmp_path):
    text, refused = found(tmp_path, u=SOUND * np.array([1, 1, 1000])[:, None, None])["scale"]
    assert text.startswith("u of trajectory 2 is 1")
    assert float(text.split(" is ")[1].split(" times")[0]) == pytest.approx(1000, rel=0.3)
    assert refused is False


def test_a_trajectory_that_is_there_twice(tmp_path):
    assert found(tmp_path, u=SOUND[[0, 1, 0]])["copy"][0] == "1 trajectories (2) have the states of trajectory 0"


def test_states_that_repeat(tmp_path):
    text, _ = found(tmp_path, u=changed((2, slice(8, 10)), SOUND[2, 7]))["frozen"]
    assert text == "2 states of trajectory 2 repeat the one before, the first at time step 8"


def test_what_comes_to_rest_is_not_frozen(tmp_path):
    decay = np.exp(-40 * T[:, None]) * SOUND[:, :1]
    decay[:, 15:] = decay[:, 15:16]
    assert found(tmp_path, u=decay) == {}


def test_a_spike(tmp_path):
    text, _ = found(tmp_path, u=changed((0, 4, 20), 6.0))["spike"]
    assert text.startswith("1 values of u in trajectory 0 stand out from all around them, the worst 6 at time step 4")


def test_files_that_do_not_go_together(tmp_path):
    common = {"t": T, "boundary": "periodic"}
    np.savez(tmp_path / "a.npz", x=X, u=SOUND[:1], u_unit="m/s", **common)
    np.savez(tmp_path / "b.npz", x=1000 * X, u=1000 * SOUND[1:2], u_unit="mm/s", **common)
    findings, looked = check_files([tmp_path / "a.npz", tmp_path / "b.npz"], {})
    assert sorted((one.kind, one.refused) for one in findings) == [("grid", True), ("scale", False), ("unit", False)]
    assert {one.source for one in findings} == {str(tmp_path / "b.npz")}
    assert len(looked) == 2


def test_a_file_that_is_none_is_one_finding(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 and no more")
    ((finding,), _) = check_files([tmp_path / "a.npz"], {})
    assert (finding.kind, finding.refused) == ("file", True)
