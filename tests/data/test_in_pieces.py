"""What does not fit into memory is judged piece by piece, and judged as if it did."""

import numpy as np
import pytest
import torch

from cotwin.data.assembling.walls import missed_value, slope_sign
from cotwin.data.read import open_trajectories

X, Y, T = np.linspace(0.05, 0.95, 10), np.linspace(0, 1, 7), np.arange(9) * 0.1
UNIT = [(0, 1), (0, 1)]
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(3, 9, 10, 7))
HILL = (
    1.5
    + np.sin(3 * X)[:, None] * np.cos(2 * Y) * np.exp(-T)[:, None, None] * np.array([1, 2, 3])[:, None, None, None]
)


def with_tail(u):
    u = u.copy()
    u[1, 6:] = np.nan
    return u


def with_holes(u):
    u = u.copy()
    u[:, 1:].flat[::17] = np.nan
    return u


def repeated(u):
    u = u.copy()
    u[..., -1] = u[..., 0]
    return u


KEPT = {
    "single": ({"u": HILL.astype(np.float32)}, {"boundary": ["neumann", "neumann"]}),
    "offset": ({"u": 101_325 + 0.01 * HILL + 1e-4 * NOISE}, {"boundary": ["dirichlet", "neumann"]}),
    "ends early": ({"u": with_tail(HILL)}, {"boundary": "neumann"}),
    "holes": ({"u": with_holes(HILL + 0.1 * NOISE), "k": HILL[0, 0]}, {"boundary": "neumann", "missing": "mask"}),
    "uneven times": ({"u": HILL, "t": T + 0.03 * (np.arange(9) == 4)}, {"boundary": "neumann"}),
    "gaps": ({"u": HILL, "t": np.where(np.arange(9) > 4, T + 5, T)}, {"boundary": "neumann"}),
    "period": ({"u": repeated(HILL), "v": repeated(NOISE)}, {"boundary": ["neumann", "periodic"], "extent": UNIT}),
    "walls": ({"u": HILL, "v": NOISE}, {"boundary": "dirichlet"}),
}
REFUSED = {
    "not finite": ({"u": with_holes(HILL)}, {"boundary": "neumann", "walls": "trusted"}),
    "static": ({"u": HILL, "k": with_holes(HILL)[0, 1]}, {"boundary": "neumann", "missing": "mask"}),
    "wall": ({"u": HILL}, {"boundary": "dirichlet"}),
    "period": ({"u": HILL}, {"boundary": ["neumann", "periodic"], "extent": UNIT}),
    "period in doubt": ({"u": repeated(HILL)}, {"boundary": ["neumann", "periodic"]}),
    "order": ({"u": np.stack([HILL[0, :, :9, 0]] * 2), "x": X[:9]}, {"boundary": "neumann"}),
}


def read(path, arrays, options):
    dims = {"x": X} if arrays["u"].ndim == 3 else {"x": X, "y": Y}
    np.savez(path, **{"t": T, **dims, **arrays})
    return open_trajectories(path, **options)


@pytest.mark.parametrize("at_once", [1, 900, 3000, 6000])
@pytest.mark.parametrize("name", KEPT)
def test_pieces_are_assembled_to_the_same(tmp_path, name, at_once, monkeypatch):
    arrays, options = KEPT[name]
    whole = read(tmp_path / "data.npz", arrays, {"walls": "trusted", **options})
    monkeypatch.setattr("cotwin.pieces.AT_ONCE", at_once)
    found = read(tmp_path / "data.npz", arrays, {"walls": "trusted", **options})
    assert (found.layout, found.notes) == (whole.layout, whole.notes)
    assert found.states.dtype == whole.states.dtype
    assert torch.equal(found.states, whole.states)
    assert (found.mask is None) == (whole.mask is None)
    assert whole.mask is None or torch.equal(found.mask, whole.mask)
    assert (found.between is None) == (whole.between is None)
    assert whole.between is None or torch.equal(found.between.states, whole.between.states)


@pytest.mark.parametrize("at_once", [1, 900])
@pytest.mark.parametrize("name", REFUSED)
def test_pieces_are_refused_for_the_same_reason(tmp_path, name, at_once, monkeypatch):
    with pytest.raises(ValueError) as whole:  # noqa: PT011 (compared below)
        read(tmp_path / "data.npz", *REFUSED[name])
    monkeypatch.setattr("cotwin.pieces.AT_ONCE", at_once)
    with pytest.raises(ValueError) as found:  # noqa: PT011
        read(tmp_path / "data.npz", *REFUSED[name])
    assert str(found.value) == str(whole.value)


def test_walls_are_held_against_pieces(tmp_path, monkeypatch):
    data = read(tmp_path / "data.npz", {"u": HILL + 0.01 * NOISE}, {"boundary": "dirichlet", "walls": "trusted"})
    known = torch.rand(3, 9, dtype=torch.float64)
    places = [(axis, end) for axis in (0, 1) for end in (0, 1)]
    whole = [(missed_value(data, "u", *place, known), slope_sign(data, "u", *place)) for place in places]
    monkeypatch.setattr("cotwin.pieces.AT_ONCE", 500)
    for place, (missed, sign) in zip(places, whole, strict=True):
        found = missed_value(data, "u", *place, known)
        assert (found.how, found.sure, slope_sign(data, "u", *place)) == (missed.how, missed.sure, sign)
        assert (found.mean, found.size) == pytest.approx((missed.mean, missed.size), rel=1e-9)
