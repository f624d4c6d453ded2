"""States to PhiFlow fields and back: the same bits, the same places, the same gradients."""

import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("phi")

from phi.field import CenteredGrid
from phi.physics.diffuse import finite_difference
from phiml.backend import BACKENDS, default_backend, get_precision
from phiml.math import batch, spatial, wrap

from cotwin.layout import Boundary, Field, Layout
from cotwin.physics.phiflow import from_fields, phiflow_context, to_fields, to_phi

GRIDS = [(7,), (7, 5), (5, 4, 3)]
KINDS: list[Boundary] = ["periodic", "dirichlet", "neumann"]


def box(grid: tuple[int, ...], boundary: Boundary | tuple[Boundary, ...]) -> Layout:
    fields = [Field("speed", len(grid)), Field("height"), Field("depth", static=True)]
    extent = [(-1.0, 2.0), (0.5, 1.7), (0.0, 0.9)][: len(grid)]
    return Layout.box(fields, grid=grid, extent=extent, boundary=boundary, dt=0.1)


def random_state(layout: Layout, size: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(size, *layout.state_shape, generator=generator, dtype=dtype)


def with_closed_walls(state: torch.Tensor, layout: Layout) -> torch.Tensor:
    closed = state.clone()
    for axis, kind in enumerate(layout.boundary):
        if kind == "dirichlet":
            closed[:, axis].select(axis + 1, 0).zero_()
    return closed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", GRIDS)
def test_centred_round_trip_is_exact(grid: tuple[int, ...], kind: Boundary, size: int, dtype: torch.dtype) -> None:
    layout = box(grid, kind)
    state = random_state(layout, size, dtype)
    back = from_fields(to_fields(state, layout), layout)
    assert back.dtype == dtype
    assert torch.equal(back, state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("boundary", ["periodic", "dirichlet", ("periodic", "dirichlet"), ("dirichlet", "periodic")])
def test_staggered_round_trip_is_exact(
    boundary: Boundary | tuple[Boundary, ...], size: int, dtype: torch.dtype
) -> None:
    layout = box((7, 5), boundary)
    state = with_closed_walls(random_state(layout, size, dtype), layout)
    fields = to_fields(state, layout, {"speed"})
    assert fields["speed"].is_staggered
    assert fields["height"].is_centered
    assert torch.equal(from_fields(fields, layout), state)


@pytest.mark.parametrize("grid", [(7,), (5, 4, 3)])
def test_staggered_round_trip_is_exact_in_one_and_three_dimensions(grid: tuple[int, ...]) -> None:
    for kind in ("periodic", "dirichlet"):
        layout = box(grid, kind)
        state = with_closed_walls(random_state(layout, 2), layout)
        assert torch.equal(from_fields(to_fields(state, layout, {"speed"}), layout), state)


def test_a_value_on_a_wall_is_replaced_by_the_boundary_condition() -> None:
    layout = box((7, 5), ("dirichlet", "periodic"))
    state = random_state(layout, 2)
    back = from_fields(to_fields(state, layout, {"speed"}), layout)
    assert torch.equal(back, with_closed_walls(state, layout))


@pytest.mark.parametrize("boundary", [("periodic", "dirichlet"), ("neumann", "periodic")])
def test_centred_values_lie_at_the_points_of_the_layout(boundary: tuple[Boundary, ...]) -> None:
    layout = box((7, 5), boundary)
    x, y = (torch.tensor(layout.points(axis), dtype=torch.float64) for axis in (0, 1))
    marked = (10 * x[:, None] + y[None, :]).expand(2, layout.channels, 7, 5)
    with phiflow_context(marked.dtype, marked.device):
        fields = to_fields(marked, layout)
        for component in (fields["height"], fields["speed"].vector["y"]):
            expected = 10 * component.points.vector["x"] + component.points.vector["y"]
            assert float(abs(component.values - expected).max) < 1e-12
        corner = fields["height"].points[{"x": 3, "y": 1}]
        assert float(corner.vector["x"]) == pytest.approx(layout.points(0)[3])
        assert float(corner.vector["y"]) == pytest.approx(layout.points(1)[1])


@pytest.mark.parametrize("boundary", ["periodic", ("dirichlet", "periodic"), "dirichlet"])
def test_a_staggered_component_lies_on_the_face_below_its_cell(boundary: Boundary) -> None:
    layout = box((7, 5), boundary)
    points = [torch.tensor(layout.points(axis), dtype=torch.float64) for axis in (0, 1)]
    state = torch.zeros(1, layout.channels, 7, 5, dtype=torch.float64)
    for axis in (0, 1):
        x, y = (p - layout.spacing[axis] / 2 if a == axis else p for a, p in enumerate(points))
        state[:, axis] = 10 * x[:, None] + y[None, :]
    with phiflow_context(state.dtype, state.device):
        speed = to_fields(state, layout, {"speed"})["speed"]
        for name in "xy":
            at = speed.points[{"~vector": name}]
            expected = 10 * at.vector["x"] + at.vector["y"]
            assert float(abs(speed.values[{"~vector": name}] - expected).max) < 1e-12


def test_boundaries_act_as_the_layout_says() -> None:
    """Δ of a ramp along x: zero inside; at an end, what the ghost cell beyond it makes of it."""
    ramp = torch.arange(1.0, 7.0, dtype=torch.float64)[:, None].expand(6, 4)[None, None]
    ends: dict[Boundary, tuple[float, float]] = {
        "periodic": (6, -6),
        "dirichlet": (0, -7),
        "neumann": (1, -1),
    }
    for kind, expected in ends.items():
        layout = Layout.box([Field("u")], grid=(6, 4), extent=[(0, 6), (0, 4)], boundary=(kind, "periodic"), dt=1.0)
        with phiflow_context(ramp.dtype, ramp.device):
            laplacian = from_fields({"u": finite_difference(to_fields(ramp, layout)["u"], 1.0)}, layout)
        column = laplacian[0, 0, :, 0]
        assert torch.allclose(column[1:-1], torch.zeros(4, dtype=torch.float64), atol=1e-12)
        assert (float(column[0]), float(column[-1])) == pytest.approx(expected)


def test_gradients_flow_both_ways() -> None:
    layout = box((4, 3), ("dirichlet", "periodic"))
    state = with_closed_walls(random_state(layout, 2), layout).requires_grad_()
    weight = random_state(layout, 2).square()
    (from_fields(to_fields(state, layout, {"speed"}), layout) * weight).sum().backward()
    assert state.grad is not None
    assert torch.equal(state.grad, with_closed_walls(weight, layout))


def test_a_field_without_batch_is_shared_and_numpy_values_are_taken() -> None:
    layout = Layout.box(
        [Field("u"), Field("k", static=True)], grid=(4, 3), extent=[(0, 1), (0, 1)], boundary="periodic", dt=1.0
    )
    for dtype in (torch.float32, torch.float64):
        fields = to_fields(random_state(layout, 2, dtype), layout)
        constant = wrap(np.full((4, 3), 0.25), spatial("x,y"))
        fields["k"] = CenteredGrid(constant, fields["u"].boundary, fields["u"].bounds)
        back = from_fields(fields, layout)
        assert torch.equal(back[:, 1], torch.full((2, 4, 3), 0.25, dtype=dtype))
        assert back.dtype == dtype
    with pytest.raises(ValueError, match="torch tensor"):
        from_fields(fields | {"u": CenteredGrid(wrap(np.zeros((2, 4, 3)), batch("batch"), spatial("x,y")))}, layout)


def test_refusals_name_the_cure() -> None:
    layout = box((4, 3), "neumann")
    state = random_state(layout, 1)
    with pytest.raises(ValueError, match="one face more than cells"):
        to_fields(state, layout, {"speed"})
    with pytest.raises(ValueError, match="not in the layout"):
        to_fields(state, layout, {"speeed"})
    with pytest.raises(ValueError, match="one component for each"):
        to_fields(state, layout, {"height"})
    with pytest.raises(ValueError, match="float32 or float64"):
        to_fields(state.half(), layout)
    fields = to_fields(state, layout)
    with pytest.raises(ValueError, match="give each once"):
        from_fields({"height": fields["height"]}, layout)
    with pytest.raises(ValueError, match="has 2 components; the layout needs 1"):
        from_fields({**fields, "height": fields["speed"]}, layout)
    with pytest.raises(ValueError, match="has 1 components; the layout needs 2"):
        from_fields({**fields, "speed": fields["height"]}, layout)
    coarser = CenteredGrid(wrap(torch.zeros(1, 2, 3), batch("batch"), spatial("x,y")), 0.0, fields["height"].bounds)
    with pytest.raises(ValueError, match="the layout needs"):
        from_fields({**fields, "height": coarser}, layout)
    with pytest.raises(ValueError, match="CoarseField"):
        to_phi(torch.ones(2, 2), layout)
    odd = Layout.box([Field("w", 3)], grid=(4, 3), extent=[(0, 1), (0, 1)], boundary="periodic", dt=1.0)
    with pytest.raises(ValueError, match="one for each axis"):
        to_fields(torch.zeros(1, 3, 4, 3), odd)


def test_defaults_of_the_process_are_left_alone() -> None:
    before = default_backend(), get_precision(), torch.get_num_threads(), torch.get_default_dtype()
    layout = box((4, 3), "periodic")
    with phiflow_context(torch.float64, torch.device("cpu")):
        assert (default_backend().name, get_precision()) == ("torch", 64)
        from_fields(to_fields(random_state(layout, 1, torch.float32), layout), layout)
        assert get_precision() == 64
    with pytest.raises(RuntimeError, match="inside"), phiflow_context(torch.float64, torch.device("cpu")):
        raise RuntimeError("inside")
    assert (default_backend(), get_precision(), torch.get_num_threads(), torch.get_default_dtype()) == before
    assert sum(backend.name == "torch" for backend in BACKENDS) <= 1


def test_without_phiflow_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['phi'] = None; import cotwin.physics.phiflow"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "cotwin[phiflow]"' in ended.stderr
    assert ended.returncode == 1
