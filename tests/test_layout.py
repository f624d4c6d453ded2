"""States fit a layout or are refused; rollouts are checked, and say where they diverged."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from tiny import LAYOUT, POINTS, Growth
from torch import Tensor

from cotwin.layout import Boundary, Ends, Field, Layout
from cotwin.networks.surrogate import Surrogate
from cotwin.stepper import DivergenceError, Stepper, rollout


def box(boundary: Boundary | tuple[Ends, ...] = "periodic", fields: list[Field] | None = None) -> Layout:
    return Layout.box(fields or [Field("u")], grid=(8, 4), extent=[(0, 2), (1, 3)], boundary=boundary, dt=0.1)


def test_periodic_points_leave_out_the_upper_end_and_others_are_cell_centres() -> None:
    assert box().points(0) == pytest.approx([0.25 * i for i in range(8)])
    assert box("neumann").points(1) == pytest.approx([1.25, 1.75, 2.25, 2.75])


def test_nodes_include_the_ends_and_stay_where_they_are_on_finer_grids() -> None:
    layout = replace(box(("neumann", "periodic")), centring=("nodes", "nodes"))
    assert layout.centring == ("nodes", "cells")
    assert layout.points(0) == pytest.approx([2 / 7 * i for i in range(8)])
    assert sum(layout.widths(0)) == pytest.approx(2.0)
    fine = layout.refined(3)
    assert fine.grid == (22, 12)
    assert fine.points(0)[::3] == pytest.approx(layout.points(0))
    assert Layout.from_dict(json.loads(json.dumps(asdict(layout)))) == layout


@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
def test_a_refined_layout_covers_the_same_domain(boundary: Boundary) -> None:
    fine, coarse = box(boundary).refined(3), box(boundary)
    assert (fine.lower, fine.upper, fine.grid) == (coarse.lower, coarse.upper, (24, 12))
    # Periodic points stay, cell centres are the centres of every third of the finer cells.
    first = 0 if boundary == "periodic" else 1
    assert fine.points(0)[first::3] == pytest.approx(coarse.points(0))


def test_ends_that_differ_are_kept_as_a_pair_and_others_as_one_word() -> None:
    layout = box((("neumann", "neumann"), ("dirichlet", "neumann")))
    assert layout.boundary == ("neumann", ("dirichlet", "neumann"))
    assert (layout.sides(0), layout.sides(1)) == (("neumann", "neumann"), ("dirichlet", "neumann"))
    assert Layout.from_dict(json.loads(json.dumps(asdict(layout)))) == layout
    with pytest.raises(ValueError, match="along y the lower end is 'dirichlet' and the upper one 'neumann'"):
        _ = layout.axis_kinds


def test_channels_are_the_components_of_the_fields_in_order() -> None:
    layout = box(fields=[Field("v", 2), Field("k", static=True), Field("p")])
    assert layout.channel_names == ("v_x", "v_y", "k", "p")
    assert layout.static_channels == (False, False, True, False)
    assert layout.state_shape == (4, 8, 4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"grid": (8, 1)}, "fewer than two points"),
        ({"grid": (8,)}, "one entry for each"),
        ({"grid": (2,) * 4, "extent": [(0, 1)] * 4}, "one to three"),
        ({"extent": [(0, 2), (3, 3)]}, "empty"),
        ({"extent": [(0, float("inf")), (0, 1)]}, "empty"),
        ({"boundary": (("dirichlet", "periodic"), "periodic")}, "periodic at both ends, or at none"),
        ({"dt": 0.0}, "must be positive"),
        ({"dt": float("nan")}, "must be positive"),
        ({"fields": []}, "at least one field"),
        ({"fields": [Field("u"), Field("u")]}, "must differ"),
        ({"fields": [Field("k", static=True)]}, "nothing would change"),
    ],
)
def test_nonsense_is_refused(changed: dict[str, object], message: str) -> None:
    sound = {"fields": [Field("u")], "grid": (8, 4), "extent": [(0, 2), (1, 3)], "boundary": "periodic", "dt": 0.1}
    with pytest.raises(ValueError, match=message):
        Layout.box(**(sound | changed))


@pytest.mark.parametrize("components", [0, 4])
def test_a_field_is_a_scalar_or_a_vector(components: int) -> None:
    with pytest.raises(ValueError, match="components"):
        Field("stress", components)


def test_rollout_includes_the_start_and_steps_on_from_each_state() -> None:
    start = torch.randn(3, 1, POINTS)
    states = rollout(Growth(2.0), start, 3)
    torch.testing.assert_close(states, torch.stack([start * 2**t for t in range(4)], dim=1))
    assert torch.equal(rollout(Growth(2.0), start, 0), start[:, None])


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 3, POINTS), "3 channels"), ((2, 1, 8), "grid"), ((2, 1, POINTS, 1), "4 axes"), ((1, POINTS), "2 axes")],
)
def test_rollout_refuses_states_of_another_layout(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rollout(Growth(1.0), torch.zeros(shape), 1)


def test_rollout_goes_forward() -> None:
    with pytest.raises(ValueError, match="forward in time"):
        rollout(Growth(1.0), torch.zeros(1, 1, POINTS), -1)


class Overflowing(Stepper):
    """u → u², infinite after a number of steps that depends on the start."""

    def forward(self, state: Tensor) -> Tensor:
        return state.square()


def test_rollout_names_the_step_and_counts_the_samples_that_diverged() -> None:
    start = torch.ones(4, 1, POINTS)
    start[1], start[3] = 1e10, 1e20  # the square of 1e20 is beyond float32, and the fourth power of 1e10
    with pytest.raises(DivergenceError, match="Overflowing diverged at step 1 of 5, in 2 of 4 samples"):
        rollout(Overflowing(LAYOUT), start, 5)


def test_states_near_overflow_have_not_diverged() -> None:
    # Their sum is infinite.
    rollout(Growth(1.0), torch.full((2, 1, POINTS), 3e38), 1)


class Forgetful(Growth):
    def rollout(self, state: Tensor, num_steps: int) -> Tensor:
        return super().rollout(state, num_steps)[:, 1:]


def test_rollout_checks_what_a_stepper_returns() -> None:
    # One step instead of two would otherwise broadcast against the truth.
    with pytest.raises(ValueError, match=r"Forgetful.rollout returned \(3, 2, 1, 16\)"):
        rollout(Forgetful(1.0), torch.ones(3, 1, POINTS), 2)


def test_rollout_refuses_a_state_on_another_device() -> None:
    with pytest.raises(ValueError, match="the state is on meta, Growth on cpu; move one of them"):
        rollout(Growth(1.0), torch.zeros(1, 1, POINTS, device="meta"), 1)


def test_rollout_refuses_a_state_of_a_precision_that_the_stepper_cannot_take() -> None:
    surrogate = Surrogate(torch.nn.Conv1d(1, 1, 1), LAYOUT)
    with pytest.raises(ValueError, match=r"the state is torch.float64, Surrogate computes in torch.float32; convert"):
        rollout(surrogate, torch.zeros(1, 1, POINTS, dtype=torch.float64), 1)
    assert rollout(surrogate.double(), torch.zeros(1, 1, POINTS, dtype=torch.float64), 1).dtype == torch.float64


def test_a_stepper_without_tensors_takes_states_of_any_device_and_precision() -> None:
    state = torch.ones(2, 1, POINTS, dtype=torch.float64)
    assert torch.equal(rollout(Overflowing(LAYOUT), state, 1)[:, 1], state)
    Overflowing(LAYOUT).require_state(state.to("meta"))
