"""Data are held against the boundary that is declared for them: what contradicts it is refused, or said."""

import numpy as np
import pytest
import torch

from cotwin.data.assembling.walls import contradictions
from cotwin.data.read import open_trajectories
from cotwin.layout import Field, Layout

POINTS, TIMES = 48, np.arange(33) * 0.05
X = (np.arange(POINTS) + 0.5) / POINTS
NOISE = np.random.default_rng(0).normal(size=(len(TIMES), POINTS))


def diffused(start, left, right):
    """Finite volumes of u_t = 0.1 u_xx; left and right give the fluxes through the walls, from the cells there."""
    u, h, substeps, states = start.copy(), 1 / POINTS, 60, [start.copy()]
    for _ in TIMES[1:]:
        for _ in range(substeps):
            flux = np.concatenate([[left(u[0])], -0.1 * np.diff(u) * POINTS, [right(u[-1])]])
            u = u - 0.05 / substeps * np.diff(flux) / h
        states.append(u.copy())
    return np.array(states)


def closed(_):
    return 0.0


def cold_wall(u):
    return -0.1 * (u - 0) * 2 * POINTS


def held_at_one(u):
    return -0.1 * (u - 1) * 2 * POINTS


def fed(_):
    return 0.5


HILL = np.exp(-(((X - 0.5) / 0.1) ** 2))


def read(tmp_path, u, boundary, **options):
    np.savez(tmp_path / "data.npz", x=X, t=TIMES, u=u)
    return open_trajectories(tmp_path / "data.npz", boundary=boundary, **options)


def test_a_wall_that_is_held_at_one_is_no_dirichlet_of_zero(tmp_path):
    u = diffused(np.zeros(POINTS), held_at_one, closed) + 0.005 * NOISE
    with pytest.raises(
        ValueError,
        match=r"u is zero at the wall, but .* lower end 0\.9\d.*model.*walls\.x_lower\.value",
    ) as error:
        read(tmp_path, u, "dirichlet")
    assert "'trusted' as data.walls (in Python walls=)" in str(error.value)
    notes = read(tmp_path, u, "dirichlet", walls="trusted").notes
    assert any(note.startswith("the data speak against the boundary: along x") for note in notes)
    mixed = read(tmp_path, u, [("dirichlet", "neumann")], given_at=["x_lower"])
    assert not any("boundary:" in note for note in mixed.notes)


def test_a_flux_through_a_wall_is_no_neumann_of_zero(tmp_path):
    u = diffused(HILL, fed, closed) + 0.002 * NOISE
    with pytest.raises(ValueError, match=r"no slope at the wall, but .* lower end .* slope 2\..* times that inside"):
        read(tmp_path, u, "neumann")
    assert not any("boundary:" in note for note in read(tmp_path, u, "neumann", given_at=["x_lower"]).notes)


def test_one_kind_of_wall_for_the_other_is_told_which_fits(tmp_path):
    cold = diffused(HILL, cold_wall, lambda u: -cold_wall(u))
    with pytest.raises(ValueError, match=r"'dirichlet' fits both ends \(data\.boundary"):
        read(tmp_path, cold, "neumann")
    warm = diffused(HILL, closed, closed)
    with pytest.raises(ValueError, match="'neumann' fits both ends"):
        read(tmp_path, warm, "dirichlet")
    with pytest.raises(ValueError, match=r"subtract 3 from the data"):
        read(tmp_path, cold + 3, "dirichlet")


def test_data_that_do_not_repeat_are_said_not_to_be_periodic(tmp_path):
    notes = read(tmp_path, diffused(np.zeros(POINTS), held_at_one, closed), "periodic").notes
    assert any("u jumps between the ends by" in note for note in notes)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3, 3.0])
@pytest.mark.parametrize(
    ("boundary", "left", "right"),
    [("neumann", closed, closed), ("dirichlet", cold_wall, lambda u: -cold_wall(u))],
)
def test_sound_data_pass_however_noisy(tmp_path, boundary, left, right, noise):
    u = diffused(HILL, left, right)
    for frames in (slice(None), slice(0, 3)):
        np.savez(tmp_path / "data.npz", x=X, t=TIMES[frames], u=(u + noise * u.std() * NOISE)[frames])
        notes = open_trajectories(tmp_path / "data.npz", boundary=boundary).notes
        assert not any("boundary:" in note for note in notes)


def test_the_velocity_across_a_wall_may_vanish_where_all_else_has_no_slope():
    x, y = np.meshgrid(X[::3], X[::3], indexing="ij")
    t = np.cos(np.arange(20) / 5)[:, None, None]
    states = np.stack([t * np.cos(np.pi * x) + 0 * y, t * np.sin(np.pi * x) + 0 * y, 0.1 * t + 0 * x], axis=1)[None]
    layout = Layout.box([Field("h"), Field("v", 2)], grid=(16, 16), extent=[(0, 1)] * 2, boundary="neumann", dt=0.1)
    assert list(contradictions(torch.from_numpy(states), None, layout)) == []


def test_what_was_not_observed_says_nothing(tmp_path):
    u = diffused(HILL, closed, closed)
    u[:, 0] = np.nan
    assert read(tmp_path, u, "neumann", missing="mask").mask is not None
