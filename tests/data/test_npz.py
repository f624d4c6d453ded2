"""npz files: what is read comes back exactly, and every way to be wrong is named."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cotwin.data.inspection.inspect import inspect_file
from cotwin.data.read import open_trajectories

X = np.linspace(0, 1, 16, endpoint=False)
Y = np.linspace(0, 2, 8, endpoint=False)
T = np.linspace(0, 0.5, 6)
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return write


def values(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_round_trip_of_scalar_vector_and_static_fields_in_2d(save):
    p, v, k = values(3, 6, 16, 8), values(3, 6, 16, 8, 2), values(16, 8)
    path = save(x=X, y=Y, t=T, p=p, v=v, k=k, boundary=["periodic", "neumann"], nu=0.1, p_unit="Pa", t_unit="s")
    data = open_trajectories(path)
    assert data.layout.channel_names == ("p", "v_x", "v_y", "k")
    assert data.layout.static_channels == (False, False, False, True)
    assert data.layout.boundary == ("periodic", "neumann")
    assert data.layout.spacing == pytest.approx((1 / 16, 0.25))
    assert (data.layout.lower, data.layout.upper) == (pytest.approx((0, 0)), pytest.approx((1, 1.75)))
    assert data.layout.dt == pytest.approx(0.1)
    assert (data.layout.fields[0].unit, data.layout.time_unit) == ("Pa", "s")
    expected = np.concatenate(
        [p[:, :, None], np.moveaxis(v, -1, 2), np.broadcast_to(k, (3, 6, 1, 16, 8))], axis=2
    ).astype(np.float32)
    assert np.array_equal(data.states.numpy(), expected)
    assert data.mask is None
    assert torch.equal(data.given.conditions["nu"], torch.full((3,), 0.1))


def test_a_file_may_say_what_stands_at_each_end(save):
    x = X + 1 / 32
    u = np.sin(np.pi / 2 * x) * (1 + T[:, None])
    pair = save(x=x, t=T, u=u, boundary=[["dirichlet", "neumann"]])
    assert open_trajectories(pair).layout.boundary == (("dirichlet", "neumann"),)
    walls = save(x=x, t=T, u=u, boundary=[["wall", "open"]])
    assert open_trajectories(walls, boundary=[("dirichlet", "neumann")]).layout.boundary == (
        ("dirichlet", "neumann"),
    )
    with pytest.raises(ValueError, match=r"is 'dirichlet' below and 'neumann' above|\[dirichlet, neumann\] fits"):
        open_trajectories(walls, boundary="neumann")
    with pytest.raises(ValueError, match=r"a pair in that list, \[\[dirichlet, neumann\]\]"):
        open_trajectories(walls, boundary=["dirichlet", "neumann"])


def test_one_trajectory_needs_no_trajectory_axis(save):
    u = values(6, 16)
    data = open_trajectories(save(x=X, t=T, u=u), boundary="periodic")
    assert np.array_equal(data.states.numpy(), u[None, :, None].astype(np.float32))


def test_fields_choose_and_order(save):
    path = save(x=X, t=T, u=values(6, 16), w=values(6, 16), extra=values(4))
    assert open_trajectories(path, fields=["w", "u"], boundary="periodic").layout.channel_names == ("w", "u")


def test_the_masks_of_the_file_are_kept_and_what_they_hide_may_be_anything(save):
    u, w = values(2, 6, 16), values(2, 6, 16)
    seen = np.random.default_rng(1).random((2, 6, 16)) < 0.7
    u[~seen] = np.nan
    every = np.ones_like(seen)
    every[1, 2, 3] = False
    data = open_trajectories(save(x=X, t=T, u=u, w=w, u_mask=seen, mask=every), boundary="periodic")
    assert np.array_equal(data.mask[:, :, 0].numpy(), seen)
    assert np.array_equal(data.mask[:, :, 1].numpy(), every)
    assert torch.isfinite(data.states).all()
    assert np.array_equal(data.states[:, :, 0].numpy()[seen], u[seen].astype(np.float32))


def test_one_mask_serves_all_components_of_a_vector_or_each_has_its_own(save):
    v, k = values(2, 6, 16, 8, 2), values(16, 8)
    whole = values(2, 6, 16, 8) > 0
    for mask in (whole, np.stack([whole, ~whole], axis=-1)):
        data = open_trajectories(save(x=X, y=Y, t=T, v=v, k=k, mask=mask), boundary="periodic")
        expected = np.broadcast_to(mask.reshape(2, 6, 16, 8, -1), v.shape)
        assert np.array_equal(data.mask[:, :, :2].numpy(), np.moveaxis(expected, -1, 2))
        assert data.mask[:, :, 2].all()
    assert open_trajectories(save(x=X, y=Y, t=T, v=v, mask=whole | True), boundary="periodic").mask is None


def test_values_that_are_not_finite_are_named_or_masked(save):
    u, w = values(2, 6, 16), values(2, 6, 16)
    w[1, 4, 7], w[1, 5, 0] = np.nan, np.inf
    path = save(x=X, t=T, u=u, w=w)
    with pytest.raises(ValueError, match=r"2 values are not finite, .* trajectory 1, time step 4, field 'w'"):
        open_trajectories(path, boundary="periodic")
    data = open_trajectories(path, boundary="periodic", missing="mask")
    assert np.array_equal(data.mask[:, :, 1].numpy(), np.isfinite(w))
    assert data.mask[:, :, 0].all()
    assert torch.isfinite(data.states).all()
    assert "2 of 384 values are not observed" in data.notes


def test_whole_states_and_points_may_be_missing(save):
    u = np.cos(np.pi * X) * np.exp(-T)[:, None] * np.ones((2, 1, 1))
    u[1, 3], u[:, 0, 2], u[0, :, 5] = np.nan, np.nan, np.nan
    data = open_trajectories(save(x=X, t=T, u=u), boundary="periodic", missing="mask")
    assert np.array_equal(data.mask[:, :, 0].numpy(), np.isfinite(u))
    assert np.array_equal(data.states[:, :, 0].numpy(), np.nan_to_num(u).astype(np.float32))


def test_a_number_too_large_for_single_precision_is_not_finite(save):
    u = values(6, 16)
    u[3, 2] = 1e300
    with pytest.raises(ValueError, match="time step 3, field 'u'"):
        open_trajectories(save(x=X, t=T, u=u), boundary="periodic", precision="single")


def test_a_static_field_must_be_known_everywhere(save):
    k = values(16)
    k[3] = np.nan
    with pytest.raises(ValueError, match="static field 'k' has values that are not finite"):
        open_trajectories(save(x=X, t=T, u=values(6, 16), k=k), boundary="periodic", missing="mask")


def test_pickles_are_never_loaded(save):
    path = save(x=X, t=T, u=values(6, 16), notes=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="'notes' cannot be read: Object arrays cannot be loaded"):
        open_trajectories(path, boundary="periodic")
    assert len(open_trajectories(path, fields=["u"], boundary="periodic")) == 1


@pytest.mark.parametrize("name", ["u_mask", "mask"])
def test_a_mask_that_cannot_be_read_does_not_count_as_none(save, name):
    path = save(x=X, t=T, u=values(6, 16), w=values(6, 16), **{name: np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match=f"array '{name}' cannot be read"):
        open_trajectories(path, fields=["u"], boundary="periodic")


def test_units_that_differ_between_the_axes_are_said(save):
    path = save(x=X, y=Y, t=T, p=values(6, 16, 8), x_unit="m", y_unit="km")
    notes = open_trajectories(path, boundary="periodic").notes
    assert "the axes have several units (km, m), and none is converted" in notes


def test_every_kind_of_not_a_number_is_missing_without_a_warning(save):
    u = values(6, 16).astype(np.float32)
    u.view(np.uint32)[2, 3] = 0x7F800001  # a signalling one, which no arithmetic makes but damage does
    path = save(x=X, t=T, u=u, w=values(6, 16), boundary="periodic")
    data = open_trajectories(path, missing="mask")
    assert data.mask is not None
    assert (~data.mask).nonzero().tolist() == [[0, 2, 0, 3]]
    assert inspect_file(path).summary.fields[0].non_finite == 1


def test_axes_of_one_length_are_read_in_order_and_a_note_says_so(save):
    said = "x and y have 16 points each, and x is taken to come before y"
    square = {"t": T, "p": values(6, 16, 16)}

    def notes(**arrays):
        return " ".join(open_trajectories(save(**square, **arrays), boundary="periodic").notes)

    assert said in notes(x=X, y=X)
    assert said in notes(x=X[:, None], y=X[None])
    mesh = np.meshgrid(X, X, indexing="ij")
    assert said not in notes(x=mesh[0], y=mesh[1])
    asked = open_trajectories(save(x=X, y=X, **square), boundary="periodic", axes="tyx")
    assert said not in " ".join(asked.notes)
    assert torch.equal(asked.states[0, :, 0], torch.tensor(square["p"], dtype=torch.float32).transpose(1, 2))


U = values(6, 16)
TWICE = np.array([0, 0.1, 0.2, 0.2, 0.4, 0.5])


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"t": TWICE, "x": X, "u": U}, {}, "times do not rise from 0.2 (index 2) to 0.2 (index 3); sort the states"),
        ({"t": T[::-1], "x": X, "u": U}, {}, "times are not equally spaced: they fall"),
        ({"t": T[:1], "x": X, "u": U[:1]}, {}, "holds a single state, and a trajectory needs two"),
        ({"t": T, "x": X, "u": np.zeros((0, 6, 16))}, {}, "the fields hold no trajectory"),
        ({"t": T, "x": X, "u": U, "v_mask": U > 0}, {}, "'v_mask' is a mask, and there is no field 'v' for it"),
        ({"t": T, "x": X**2, "u": U}, {}, "coordinates x are not equally spaced: the interval from"),
        ({"t": T, "x": np.where(X > 0.5, np.nan, X), "u": U}, {}, "the value at index 9 is nan"),
        ({"t": T, "x": X + T[:, None], "u": U}, {}, "x has shape (6, 16) and varies along 2 of its axes"),
        ({"t": T, "u": U}, {}, "the coordinates are not found; say which they are"),
        ({"t": T, "y": X, "u": U}, {}, "the coordinates are not found; say which they are"),
        ({"x": X, "u": U}, {}, "the times are not found"),
        ({"t": T, "x": X, "u": values(6, 17)}, {}, "'u' of shape (6, 17) is no field; expected [N, T, x]"),
        ({"t": T, "x": X, "u": values(6, 16, 20)}, {}, "'u' of shape (6, 16, 20) is no field"),
        (
            {"t": T, "x": X, "u": U, "c": values(4)},
            {},
            "data.fields (in Python fields=), of ['u']",
        ),
        (
            {"t": T, "x": X, "u": values(3, 6, 16), "w": U},
            {},
            "'w' has shape (6, 16), 1 of 3 trajectories. If it is given",
        ),
        ({"t": T, "x": X, "u": U}, {"fields": ["v"]}, "no field 'v'; the file has ['u']"),
        ({"t": T, "x": X, "k": U[0]}, {}, "no field in ['k'] changes in time"),
        ({"t": T, "x": X, "u": U, "mask": U}, {}, "mask of 'u' has shape (6, 16) and type float64"),
        ({"t": T, "x": X, "u": U, "mask": U[:, 0] > 0}, {}, "mask of 'u' has shape (6,)"),
        ({"t": T, "x": X, "u": U, "boundary": "slippery"}, {}, "'slippery' in the file; Cotwin knows periodic"),
        ({"t": T, "x": X, "u": U, "boundary": ["periodic"] * 2}, {}, "for the axes ['x']"),
        (
            {"t": T, "x": X, "u": U, "boundary": "neumann"},
            {},
            "'neumann' in the file and 'periodic' in data.boundary (in",
        ),
        (
            {"t": T, "x": X, "u": U, "boundary": "wall"},
            {},
            "'wall' in the file and 'periodic' in data.boundary (in",
        ),
        ({"t": T, "x": X, "u": U}, {"boundary": None}, "boundary along x is not in the file; choose 'periodic'"),
        (
            {"t": T, "x": X, "u": U},
            {"boundary": ["periodic"] * 2},
            "(in Python boundary=) names 2",
        ),
        ({"t": T, "x": X, "u": U}, {"extent": [(0, 1), (0, 1)]}, "data.extent (in Python extent=) has 2 pairs"),
        ({"t": T, "x": X, "u": U}, {"extent": [(0, 3)]}, "does not fit its 16 points from 0 to 0.9375"),
        ({"t": T, "x": X, "u": U}, {"extent": [(0, 15 / 16)]}, "repeats the first, but their values differ by"),
        ({"t": T, "x": X, "u": U}, {"boundary": "dirichlet", "extent": [(0, 3)]}, "they fill (-0.03125, 0.96875)"),
        (
            {"t": T, "x": X, "u": U},
            {"boundary": "neumann", "extent": [(0, 15 / 16)], "points": "cells"},
            "as cells they fill (-0.03125, 0.96875)",
        ),
        ({"t": T, "x": X, "u": U, "centring": "corners"}, {"boundary": "neumann"}, "are 'corners' in the file"),
        (
            {"t": T, "x": X, "u": U},
            {"boundary": "neumann", "points": ["cells"] * 2},
            "data.points (in .* has 2 words",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_reason(save, arrays, options, message):
    with pytest.raises(ValueError, match=r"data\.npz") as error:
        open_trajectories(save(**arrays), **({"boundary": "periodic"} | options))
    assert re.search(re.escape(message).replace(r"\.\*", ".*"), str(error.value), re.IGNORECASE)


def test_coordinates_that_fall_are_reversed_with_the_fields(save):
    data = open_trajectories(save(x=X[::-1], t=T, u=U[..., ::-1]), boundary="periodic")
    straight = open_trajectories(save(x=X, t=T, u=U), boundary="periodic")
    assert data.layout == straight.layout
    assert torch.equal(data.states, straight.states)
    assert data.notes == ("coordinates x fall, and were reversed together with the fields", *straight.notes)


@pytest.mark.parametrize("shape", [(1, 16), (16, 1), (1, 1, 16)])
def test_coordinates_in_a_row_or_a_column_are_those_of_the_axis(save, shape):
    data = open_trajectories(save(x=X.reshape(shape), t=T[:, None], u=U), boundary="periodic")
    assert data.layout.points(0) == pytest.approx(X)
    assert data.layout.dt == pytest.approx(0.1)


def test_a_mesh_is_reduced_to_its_axes(save):
    t, x, y = np.meshgrid(T, X, Y, indexing="ij")
    data = open_trajectories(save(x=x, y=y, t=t, p=values(6, 16, 8)), boundary="periodic")
    assert data.layout.points(0) == pytest.approx(X)
    assert data.layout.points(1) == pytest.approx(Y)
    assert data.layout.dt == pytest.approx(0.1)


@pytest.mark.parametrize("points", [16, 8])
def test_a_mesh_of_other_order_says_how_the_axes_of_the_fields_lie(save, points):
    x, y = np.meshgrid(X[:points], Y)  # numpy's default: [y, x]
    p = values(6, 8, points)
    path = save(x=x, y=y, t=T, p=p)
    with pytest.raises(ValueError, match=r"the fields come in the order 'yx' instead of 'xy'; say so with data.axes"):
        open_trajectories(path, boundary="periodic")
    data = open_trajectories(path, boundary="periodic", axes="tyx")
    assert np.array_equal(data.states[0, :, 0].numpy(), p.transpose(0, 2, 1).astype(np.float32))


@pytest.mark.parametrize(
    ("axes", "stored"), [("xt", (2, 16, 6)), ("nxt", (2, 16, 6)), ("xnt", (16, 2, 6)), ("xtn", (16, 6, 2))]
)
def test_axes_say_in_which_order_those_of_the_fields_come(save, axes, stored):
    u = values(*stored)
    k, mask = values(16), u > 0
    data = open_trajectories(save(x=X, t=T, u=u, k=k, mask=mask), boundary="periodic", axes=axes)
    order = axes if "n" in axes else f"n{axes}"
    canonical = [order.index(name) for name in "ntx"]
    assert np.array_equal(data.mask[:, :, 0].numpy(), mask.transpose(canonical))
    assert np.array_equal(data.states[:, :, 0].numpy(), np.where(mask, u, 0).transpose(canonical).astype(np.float32))
    assert (data.states[:, :, 1] == torch.from_numpy(k).float()).all()


def test_the_order_that_alone_fits_is_found_and_said(save):
    data = open_trajectories(save(x=X, t=T, u=U.T), boundary="periodic")
    assert np.array_equal(data.states[0, :, 0].numpy(), U.astype(np.float32))
    assert "the axes of the fields come in the order 'xt', as their lengths say" in data.notes


def test_an_order_has_to_be_of_the_file(save):
    with pytest.raises(ValueError, match=r"data.axes .* is 'xz'; it names each of t, x once"):
        open_trajectories(save(x=X, t=T, u=U.T), boundary="periodic", axes="xz")


def test_an_array_beside_others_that_fits_in_another_order_says_which(save):
    with pytest.raises(ValueError, match=r"It fits in the order xt: say so with data.axes \(in Python axes=\)"):
        open_trajectories(save(x=X, t=T, u=U, v=U.T), boundary="periodic")


SQUARE = np.linspace(0, 1, 41, endpoint=False)
DECAY = np.exp(-4 * np.pi**2 * 0.1 * np.arange(41) * 0.01)


def test_a_square_array_whose_values_rule_out_its_transpose_is_read(save):
    u = DECAY[:, None] * np.sin(2 * np.pi * SQUARE) + 0.01 * values(41, 41)
    data = open_trajectories(save(x=SQUARE, t=np.arange(41) * 0.01, u=u), boundary="periodic")
    assert np.array_equal(data.states[0, :, 0].numpy(), u.astype(np.float32))


def test_a_square_array_that_only_its_transpose_explains_is_asked_about(save):
    u = DECAY * np.sin(2 * np.pi * SQUARE)[:, None]
    path = save(x=SQUARE, t=np.arange(41) * 0.01, u=u, boundary="periodic")
    says = r"'u' of shape \(41, 41\) fits in the order 'tx' and in the order 'xt'; say .* as 'xt' only"
    with pytest.raises(ValueError, match=says):
        open_trajectories(path)
    assert re.search(says, "".join(inspect_file(path).refusals))
    data = open_trajectories(path, axes="xt")
    assert np.array_equal(data.states[0, :, 0].numpy(), u.T.astype(np.float32))
    assert open_trajectories(path, axes="tx").num_frames == 41


def test_a_square_array_whose_values_say_nothing_is_asked_about(save):
    path = save(x=SQUARE, t=np.arange(41) * 0.01, u=values(41, 41), boundary="neumann")
    with pytest.raises(
        ValueError, match=r"fits in the order 'tx' and in the order 'xt'; say which it is with data.axes"
    ):
        open_trajectories(path)


@pytest.mark.parametrize("order", ["ntx", "tnx"])
def test_as_many_trajectories_as_times_are_told_apart_by_what_follows_from_what(save, order):
    phases = 2 * np.pi * np.random.default_rng(0).random((12, 1, 1))
    u = np.sin(2 * np.pi * (X - np.arange(12)[:, None] / 60) + phases)
    path = save(x=X, t=np.arange(12) / 60, u=u if order == "ntx" else u.swapaxes(0, 1), boundary="periodic")
    if order == "ntx":
        assert np.array_equal(open_trajectories(path).states[:, :, 0].numpy(), u.astype(np.float32))
    else:
        with pytest.raises(ValueError, match="in the order 'ntx' and in the order 'tnx'"):
            open_trajectories(path)


def test_a_cube_of_one_trajectory_is_read_where_its_boundary_tells_the_times(save):
    s = (np.arange(16) + 0.5) / 16
    u = (1 + np.arange(16) / 8)[:, None, None] * np.sin(np.pi * s)[:, None] * np.sin(np.pi * s)
    path = save(x=s, y=s, t=np.arange(16.0), u=u, boundary="dirichlet")
    assert np.array_equal(open_trajectories(path).states[0, :, 0].numpy(), u.astype(np.float32))
    with pytest.raises(ValueError, match="fits in the order 'txy'"):
        open_trajectories(save(x=s, y=s, t=np.arange(16.0), u=u.swapaxes(0, 2), boundary="dirichlet"))


def test_single_precision_coordinates_are_even():
    from cotwin.data.stored.contents import unevenness

    assert unevenness(np.linspace(0, 1000, 100_001, dtype=np.float32), "") is None


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_repeated_end_of_a_period_is_dropped_and_said(save, noise):
    x = np.linspace(-1, 1, 33)
    u = np.sin(np.pi * (x - 0.3 - T[:, None])) + noise * values(6, 33)
    data = open_trajectories(save(x=x, t=T, u=u), boundary="periodic", extent=[(-1, 1)])
    assert data.layout.grid == (32,)
    assert data.layout.spacing == pytest.approx((2 / 32,))
    assert np.array_equal(data.states[0, :, 0].numpy(), u[:, :-1].astype(np.float32))
    assert any("the last of the 33 points along x repeats the first" in note for note in data.notes)


def test_a_repeated_end_that_the_caller_does_not_mention_is_asked_about(save):
    x = np.linspace(-1, 1, 33)
    path = save(x=x, t=T, u=np.sin(np.pi * (x - T[:, None])))
    with pytest.raises(ValueError, match=r"along x .* the same values.* give \(-1, 1\) as data.extent"):
        open_trajectories(path, boundary="periodic")
    assert open_trajectories(path, boundary="periodic", extent=[(-1, 1.0625)]).layout.grid == (33,)


def test_a_period_may_be_counted_from_anywhere(save):
    data = open_trajectories(save(x=X + 1 / 32, t=T, u=U), boundary="periodic", extent=[(0, 1)])
    assert data.layout.points(0) == pytest.approx(list(X + 1 / 32))
    assert any("counted from its first point" in note for note in data.notes)


@pytest.mark.parametrize(
    ("x", "centring"),
    [
        (np.linspace(0, 1, 16), "nodes"),
        (np.linspace(-1, 1, 16, dtype=np.float32), "nodes"),
        (np.linspace(0, 2 * np.pi, 33), "nodes"),
        (3e-9 * np.arange(20), "nodes"),
        ((np.arange(48) + 0.5) / 48, "cells"),
        ((np.arange(60) + 0.5).astype(np.float32) * np.float32(0.3 / 60), "cells"),
        (2 * np.pi * (np.arange(33) + 0.5) / 33, "cells"),
        (np.arange(10) + 0.5, "cells"),
    ],
)
def test_points_are_nodes_where_they_end_on_round_numbers(save, x, centring):
    path = save(x=x, t=T, u=np.ones((6, 1)) * np.cos(x) ** 2)
    data = open_trajectories(path, boundary="neumann", walls="trusted")
    assert data.layout.centring == (centring,)
    assert f"taken as {'nodes' if centring == 'nodes' else 'the centres of cells'}" in data.notes[0]
    assert data.layout.points(0) == pytest.approx(x, rel=1e-5, abs=1e-9 * float(x[-1]))
    other = {"nodes": "cells", "cells": "nodes"}[centring]
    told = open_trajectories(path, boundary="neumann", points=other, walls="trusted")
    assert told.layout.centring == (other,)
    assert told.layout.points(0) == pytest.approx(x, rel=1e-5, abs=1e-9 * float(x[-1]))


def test_an_extent_says_whether_points_are_cells_or_nodes(save):
    path = save(x=X, t=T, u=U)
    for ends, centring in (((0, 15 / 16), "nodes"), ((-1 / 32, 31 / 32), "cells")):
        data = open_trajectories(path, boundary="neumann", extent=[ends], walls="trusted")
        assert (data.layout.centring, data.layout.lower, data.layout.upper) == (
            (centring,),
            *((end,) for end in ends),
        )


def test_cell_centres_are_checked_against_the_extent(save):
    path = save(x=X + 1 / 32, t=T, u=U)
    checked = open_trajectories(path, boundary="dirichlet", extent=[(0, 1)])
    assert (checked.layout.lower, checked.layout.upper, checked.notes) == ((0,), (1,), ())
    taken = open_trajectories(path, boundary="dirichlet")
    assert taken.layout.points(0) == pytest.approx(list(X + 1 / 32))
    assert "taken as the centres of cells, so the domain is (0, 1)" in taken.notes[0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_an_end_of_the_domain_that_misses_zero_by_rounding_is_zero(save, kind):
    """(1/96) − (1/48)/2 is −1.7e-18."""
    x = (np.arange(48) + 0.5).astype(kind) / kind(48)
    above, below = (
        open_trajectories(save(x=own, t=T, u=np.ones((len(T), 48))), boundary="neumann") for own in (x, x - kind(1))
    )
    assert (above.layout.lower, below.layout.upper) == ((0,), (0,))
    assert "the domain is (0, 1)" in above.notes[0]
    assert "the domain is (-1, 0)" in below.notes[0]


def test_raissi_burgers_is_periodic_on_255_points():
    path = SHARED / "raissi_burgers.npz"
    if not path.exists():
        pytest.skip("../shared/data/raissi_burgers.npz is absent")
    data = open_trajectories(path, boundary="periodic", extent=[(-1, 1)])
    assert tuple(data.states.shape) == (1, 100, 1, 255)
    assert (data.layout.lower, data.layout.upper) == ((-1,), (1,))
    assert data.layout.dt == pytest.approx(0.01)
    start = -torch.sin(torch.pi * torch.tensor(data.layout.points(0), dtype=torch.float64))
    assert torch.allclose(data.states[0, 0, 0], start.float(), atol=1e-6)
    with pytest.raises(ValueError, match=r"\(-1, 1\) as data.extent .* if the last repeats"):
        open_trajectories(path, boundary="periodic")


def test_a_given_field_may_be_the_same_in_all_trajectories_or_static_in_each(tmp_path):
    u, forcing, places = np.ones((3, 6, 16)) * np.cos(X), values(6, 16), values(3, 16)
    path = tmp_path / "given.npz"
    np.savez(path, x=X, t=T, u=u, forcing=forcing, places=places, boundary="periodic")
    data = open_trajectories(path, given=["forcing", "places"], walls="trusted")
    known = data.given.inputs["forcing"]
    step = round(known.per_step)
    assert torch.allclose(known.values[:, ::step], torch.tensor(forcing).float().expand(3, -1, -1), atol=1e-6)
    assert torch.allclose(data.given.conditions["places"], torch.tensor(places).float())
    with pytest.raises(ValueError, match=r"'forcing' has shape \(6, 16\), 1 of 3 trajectories\. If it is given"):
        open_trajectories(path)
    # Six trajectories of six states: either could be meant.
    np.savez(path, x=X, t=T, u=np.tile(u, (2, 1, 1)), forcing=forcing, boundary="periodic")
    with pytest.raises(ValueError, match=r"give it as \(1, 6, 16\) or \(6, 1, 16\)"):
        open_trajectories(path, given=["forcing"], axes="ntx")
    np.savez(path, x=X, t=T, u=np.tile(u, (2, 1, 1)), forcing=forcing[:, None], boundary="periodic")
    assert open_trajectories(path, given=["forcing"], axes="ntx").given.conditions["forcing"].shape == (6, 16)
    np.savez(path, x=X, t=T, u=np.tile(u, (2, 1, 1)), forcing=forcing[None], boundary="periodic")
    assert "forcing" in open_trajectories(path, given=["forcing"], axes="ntx").given.inputs


def test_numbers_that_are_not_known_everywhere_are_left_out_or_refused_by_name(tmp_path):
    path, nu = tmp_path / "some.npz", np.array([0.1, 0.2, np.nan])
    np.savez(path, x=X, t=T, u=np.ones((3, 6, 16)) * np.cos(X), nu=nu, boundary="periodic")
    assert "not finite in all trajectories, and left out: nu" in open_trajectories(path).notes
    with pytest.raises(
        ValueError, match="in 1 of 3 trajectories it is not, the first time in trajectory 2 at state 0"
    ):
        open_trajectories(path, given=["nu"])
