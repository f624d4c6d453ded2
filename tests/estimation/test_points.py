"""Points: cubics are exact, smooth functions converge with order four, and a grid point is itself."""

from __future__ import annotations

import math
from itertools import pairwise, product

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from observation_cases import DT, anywhere, generator, layout, sampled, times_up_to, wave
from scipy.interpolate import lagrange as scipy_lagrange
from torch import Tensor

from cotwin.estimation.observation import Points, face_offsets
from cotwin.estimation.observation.interpolation import lagrange
from cotwin.layout import Boundary, Field, Layout

KINDS: list[Boundary] = ["periodic", "dirichlet", "neumann"]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["dirichlet", "neumann"])
def test_cubics_are_exact_up_to_the_walls(dims: int, kind: Boundary) -> None:
    spaces = layout(*(7, 5, 6)[:dims], boundary=kind)
    coefficients = torch.randn(4, 4, generator=generator(), dtype=torch.float64)

    def cubic(*axes: Tensor) -> Tensor:
        total = torch.ones_like(axes[0])
        for row, x in zip(coefficients, axes, strict=False):
            total = total * (row[0] + row[1] * x + row[2] * x**2 + row[3] * x**3)
        return total

    positions, times = anywhere(spaces, 50), times_up_to(1.4, 50)
    seen = Points(spaces, positions, times, "v")
    truth = cubic(times, *positions.T)
    torch.testing.assert_close(seen(sampled(spaces, seen.num_steps, cubic)), truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_fourth_order_in_space(kind: Boundary) -> None:
    f = wave(kind)
    errors = []
    for points in (16, 32, 64):
        spaces = layout(points, points, boundary=kind)
        positions = anywhere(spaces, 2000)
        seen = Points(spaces, positions, torch.full((2000,), DT), "u")
        states = sampled(spaces, 1, lambda t, x, y: f(x) * f(y))
        errors.append(float((seen(states) - f(positions[:, 0]) * f(positions[:, 1])).abs().max()))
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) > 3.6


def test_fourth_order_in_time() -> None:
    errors = []
    for steps in (8, 16, 32):
        spaces = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="periodic", dt=2 / steps)
        times = times_up_to(2.0, 1000)
        seen = Points(spaces, torch.zeros(1000, 1), times, "u")
        states = sampled(spaces, seen.num_steps, lambda t, x: torch.sin(3 * t) + 0 * x)
        errors.append(float((seen(states) - torch.sin(3 * times)).abs().max()))
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) > 3.6


@given(st.floats(0, 9), st.integers(2, 10))
def test_weights_are_those_of_the_polynomial_through_the_points(place: float, count: int) -> None:
    place = min(place, count - 1)
    stencil = lagrange(torch.tensor([place], dtype=torch.float64), count)
    nodes = sorted({min(max(math.floor(place) - 1, 0), max(count - 4, 0)) + k for k in range(min(count, 4))})
    values = torch.randn(count, generator=generator(), dtype=torch.float64)
    expected = scipy_lagrange([node - place for node in nodes], values[nodes].numpy())(0.0)
    assert float((values[stencil.index] * stencil.weight).sum()) == pytest.approx(expected, abs=1e-8)


@given(st.sampled_from(list(product(KINDS, KINDS))), st.integers(2, 6), st.integers(2, 6))
@settings(deadline=None)
def test_at_grid_points_and_steps_the_values_are_the_states(
    kinds: tuple[Boundary, Boundary], rows: int, columns: int
) -> None:
    spaces = layout(rows, columns, boundary=kinds)
    places = torch.cartesian_prod(torch.tensor(spaces.points(0)), torch.tensor(spaces.points(1)))  # in float32
    times = torch.arange(1, 4) * DT
    seen = Points.of_sensors(spaces, places, times, ["u", "v"], num_trajectories=2)
    states = torch.randn(seen.states_shape, generator=generator(), dtype=torch.float64)
    assert seen.index.shape == (seen.size, 1)
    assert torch.equal(seen(states).view(2, 3, -1, 2).mT.flatten(), states[:, 1:, [0, 2]].flatten())
    assert seen.notes == ()
    torch.testing.assert_close(seen.time.view(2, 3, -1)[0, :, 0], times.double())


@given(st.floats(-3, 3), st.floats(1, 3))
@settings(deadline=None)
def test_turning_a_periodic_axis_turns_what_is_seen(shift: float, x: float) -> None:
    spaces = layout(8, boundary="periodic")
    cells = round(shift / spaces.spacing[0])
    moved = 1 + (x - 1 + cells * spaces.spacing[0]) % 2
    times = torch.full((1,), DT)
    seen, turned = (Points(spaces, torch.tensor([[at]], dtype=torch.float64), times, "u") for at in (x, moved))
    states = torch.randn(seen.states_shape, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(turned(states.roll(cells, dims=-1)), seen(states), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_mirror_the_same_is_seen(kind: Boundary) -> None:
    spaces = layout(8, boundary=kind)
    positions, times = anywhere(spaces, 50), times_up_to(1.0, 50)
    # A periodic axis has its first point on its lower end, and none on its upper one.
    far = 4 - positions if kind != "periodic" else 1 + (4 - positions - spaces.spacing[0] - 1) % 2
    seen, mirrored = Points(spaces, positions, times, "u"), Points(spaces, far, times, "u")
    states = torch.randn(seen.states_shape, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(mirrored(states.flip(-1)), seen(states))


def test_both_ends_of_a_periodic_axis_are_one_place() -> None:
    spaces = layout(8, boundary="periodic")
    seen = Points(spaces, torch.tensor([[1.0], [3.0]]), torch.full((2,), DT), "u")
    first, last = seen(torch.randn(seen.states_shape, generator=generator()))
    assert first == last


def test_a_sensor_that_moves_is_at_each_time_one_that_stays() -> None:
    spaces = layout(6, 5, boundary=("periodic", "dirichlet"))
    times = torch.tensor([0.1, 0.25, 0.6, 1.0])
    path = anywhere(spaces, 12).view(4, 3, 2)
    moving = Points.of_sensors(spaces, path, times, ["u", "v"], num_trajectories=2)
    states = torch.randn(moving.states_shape, generator=generator(), dtype=torch.float64)
    values = moving(states).view(2, 4, 3, 2)
    for when in range(4):
        still = Points.of_sensors(spaces, path[when], times, ["u", "v"], num_trajectories=2)
        torch.testing.assert_close(still(states).view(2, 4, 3, 2)[:, when], values[:, when])


def test_many_points_are_gathered_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = layout(6, 5)
    seen = Points(spaces, anywhere(spaces, 101), times_up_to(1.0, 101), "u")
    states = torch.randn(seen.states_shape, generator=generator(), dtype=torch.float64)
    at_once = seen(states)
    monkeypatch.setattr("cotwin.estimation.observation.interpolation.BLOCK", 1000)
    torch.testing.assert_close(seen(states), at_once)


def test_what_a_value_does_not_need_is_not_read() -> None:
    spaces = layout(6)
    on, between = spaces.points(0)[2], 2.0
    seen = Points(spaces, torch.tensor([[on], [between]]), torch.tensor([DT, 2 * DT]), "u")
    states = torch.full(seen.states_shape, torch.nan)
    states[0, 1, 0, 2], states[0, 2, 0, 1:5] = 7.0, 3.0
    assert seen(states).tolist() == pytest.approx([7.0, 3.0])


def test_on_a_staggered_grid_components_are_seen_where_they_lie() -> None:
    fields = [Field("k", static=True), Field("velocity", 2), Field("smoke")]
    spaces = Layout.box(fields, grid=(8, 6), extent=[(0, 2), (0, 3)], boundary=("periodic", "dirichlet"), dt=DT)
    dx, dy = spaces.spacing
    x, y = torch.tensor(spaces.points(0)), torch.tensor(spaces.points(1))
    states = torch.zeros(1, 2, *spaces.state_shape, dtype=torch.float64)
    states[0, :, 1], states[0, :, 2] = (y[None, :] ** 3).double(), (y[None, :] - dy / 2).double() ** 3
    states[0, :, 3] = y.double()[None, :]
    positions, times = torch.tensor([[0.4, 0.0], [1.9, 1.1], [0.1, 3.0]]), torch.full((3,), DT)
    for channel, power in (("velocity_x", 3), ("velocity_y", 3), ("smoke", 1)):
        seen = Points(spaces, positions, times, channel, offsets=face_offsets(spaces))
        torch.testing.assert_close(seen(states), positions[:, 1].double() ** power, rtol=1e-4, atol=1e-4)
    on_face = Points(
        spaces, torch.tensor([[x[3] - dx / 2, y[2]]]), times[:1], "velocity_x", offsets=face_offsets(spaces)
    )
    assert on_face.index.shape == (1, 1)
    with pytest.raises(ValueError, match="On any other grid give no offsets"):
        face_offsets(layout(4, 4))
    with pytest.raises(ValueError, match=r"each axis, \(4, 2\)"):
        Points(spaces, positions, times, "smoke", offsets=torch.zeros(3, 2))


def test_it_says_what_it_interpolates_and_extrapolates() -> None:
    spaces = layout(8)
    times = torch.tensor([0.25, 0.3, 0.3, 0.9, 1.0])
    seen = Points(spaces, torch.tensor([[1.01], [2.0], [1.125], [2.99], [2.5]]), times, "u")
    assert seen.notes == (
        "2 of 4 times lie between two steps of 0.25 s: interpolated by cubic polynomials in time",
        "2 of 5 positions lie between the outermost grid points and the walls: extrapolated by cubic polynomials in "
        "space",
    )
    (early,) = Points(spaces, torch.tensor([[2.0]]), torch.tensor([0.1]), "u").notes
    assert "by linear polynomials" in early


def test_a_step_is_met_in_spite_of_rounding() -> None:
    spaces = layout(8)
    times = torch.tensor([3 * DT * (1 + 1e-7)], dtype=torch.float64)
    seen = Points(spaces, torch.tensor([[1.125]]), times, "u")
    assert seen.num_steps == 3
    assert seen.time.item() == 3 * DT
    assert seen.notes == ()


def test_numbers_in_single_precision_meet_the_points_that_they_stand_for() -> None:
    spaces = Layout.box([Field("u")], grid=(1000,), extent=[(99.7, 100.3)], boundary="neumann", dt=0.01)
    times = torch.arange(2001) * 0.01
    points = torch.tensor(spaces.points(0))
    seen = Points(spaces, points[::2].repeat(5)[:2001, None], times, "u")
    assert seen.index.shape == (2001, 1)
    assert (seen.num_steps, seen.notes) == (2000, ())
    ends = torch.tensor([[99.7], [100.3]])
    assert Points(spaces, ends, times[:2], "u").size == 2


@pytest.mark.parametrize("x", [0.9, 3.1, math.nan, math.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_positions_outside_are_refused(x: float, kind: Boundary) -> None:
    positions = torch.tensor([[2.0, 2.0], [2.0, x], [x, 2.0]])
    with pytest.raises(
        ValueError, match=r"position 1, .* outside the domain \[1, 3\] × \[1, 3\]; 2 of 3 .*leave out"
    ):
        Points(layout(4, 4, boundary=kind), positions, torch.full((3,), DT), "u")


@pytest.mark.parametrize("time", [-0.1, math.nan, math.inf])
def test_times_before_the_start_are_refused(time: float) -> None:
    with pytest.raises(
        ValueError, match=r"time 1 is .* s, 1 of 2 are negative or not finite; .*let it start earlier"
    ):
        Points(layout(4), torch.full((2, 1), 2.0), torch.tensor([0.1, time]), "u")


def test_channels_and_rollouts_that_there_are_not_are_refused() -> None:
    position, time = torch.tensor([[2.0]]), torch.tensor([DT])
    with pytest.raises(ValueError, match="'w' is unknown; give a list of names among u, v"):
        Points(layout(4), position, time, "w")
    with pytest.raises(ValueError, match="'k' is static, thus given and nothing to observe"):
        Points(layout(4), position, time, "k")
    for number in (-1, 1, 3):
        with pytest.raises(ValueError, match=rf"channel {number} is .*choose among 0 \(u\), 2 \(v\)"):
            Points(layout(4), position, time, torch.tensor([number]))
    with pytest.raises(ValueError, match="give num_trajectories at least one more than the last"):
        Points(layout(4), position, time, "u", trajectory=torch.tensor([1]))
    with pytest.raises(ValueError, match="at least one rollout"):
        Points(layout(4), position, time, "u", num_trajectories=0)
    with pytest.raises(ValueError, match="no channel is observed"):
        Points.of_sensors(layout(4), position, time, [])


def test_shapes_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # As without the tests' own check of all signatures.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    spaces, times = layout(4), torch.full((2,), DT)
    here = torch.full((2, 1), 2.0)
    with pytest.raises(ValueError, match=r"positions has the shape \(3, 1\), 2 times on 1 axes need \(2, 1\)"):
        Points(spaces, torch.full((3, 1), 2.0), times, "u")
    with pytest.raises(ValueError, match=r"positions has the shape \(2, 2\)"):
        Points(spaces, torch.full((2, 2), 2.0), times, "u")
    with pytest.raises(ValueError, match=r"channel has the shape \(1,\).*one row for each value"):
        Points(spaces, here, times, torch.tensor([0]))
    with pytest.raises(ValueError, match=r"trajectory has the shape \(1,\)"):
        Points(spaces, here, times, "u", trajectory=torch.tensor([0]))
    with pytest.raises(ValueError, match=r"give \(sensors, 1\) if they stay, \(2, sensors, 1\) if they move"):
        Points.of_sensors(spaces, torch.full((3, 1, 1), 2.0), times, ["u"])
    with pytest.raises(ValueError, match="give one or more"):
        Points(spaces, torch.empty(0, 1), torch.empty(0), "u")
