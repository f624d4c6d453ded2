"""Readings of sensors in training: on grid points and frames they are what a mask shows, anywhere else in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from second_device import DEVICE, second_device
from tiny import LAYOUT, heat, lbfgs, trajectories
from torch import Tensor

from cotwin.estimation.priors import Gaussian
from cotwin.sensors import Sensors
from cotwin.stepper import Stepper, rollout
from cotwin.training.descent import Descent
from cotwin.training.gauss_newton import GaussNewton
from cotwin.training.held_out import HeldOut
from cotwin.training.loss import RolloutLoss
from cotwin.training.objective import Objective
from cotwin.training.penalty import Penalty
from cotwin.training.trainer import Trainer
from cotwin.windows import Batch, JoinedWindows, SlidingWindows

STATES = trajectories(count=3, frames=7)
MASK = torch.rand(STATES.shape, generator=torch.Generator().manual_seed(5)) < 0.2
STARTS = torch.ones(STATES.shape[:2], dtype=torch.bool)
LOSS = RolloutLoss.by_persistence(SlidingWindows(STATES, 2), LAYOUT.static_channels, LAYOUT)


def read(mask: Tensor = MASK) -> Sensors:
    """What the mask shows, as readings."""
    row, frame, channel, point = mask.nonzero().unbind(1)
    place = torch.tensor(LAYOUT.points(0), dtype=torch.float64)[point][:, None]
    return Sensors(row, frame.double(), channel, place, place, STATES[mask].double())


def by_mask() -> SlidingWindows:
    return SlidingWindows(STATES, 2, MASK, starts=STARTS)


def by_readings() -> SlidingWindows:
    return SlidingWindows(STATES, 2, torch.zeros_like(MASK), starts=STARTS, readings=read())


def generated(real: SlidingWindows) -> JoinedWindows:
    with torch.no_grad():
        return JoinedWindows(real, SlidingWindows(rollout(heat(0.3), STATES[:, 0], 2), 2), alpha=0.5)


@pytest.mark.parametrize("windows", [lambda real: real, generated])
@pytest.mark.parametrize("some", [range(15), [7, 2, 14, 0]])
def test_the_loss_is_that_of_masked_states(windows: Callable[..., SlidingWindows], some: range | list[int]) -> None:
    losses, gradients = [], []
    for real in (by_mask(), by_readings()):
        batch = windows(real).__getitems__([*some, *range(len(real), len(windows(real)))])
        model = heat(0.2)
        each = LOSS.of_each(rollout(model, batch.states[:, 0], 2), batch)
        losses.append(each.detach())
        gradients.append(torch.autograd.grad(each.mean(), list(model.parameters()))[0])
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_rows_of_a_batch_have_their_own_readings() -> None:
    whole = by_readings().__getitems__(range(15))
    for rows in ([4, 11, 0], slice(3, 9)):
        some = whole.rows(rows)
        there = by_readings().__getitems__(list(range(15)[rows]) if isinstance(rows, slice) else rows)
        assert some.readings is not None
        assert there.readings is not None
        order = some.readings.row.argsort(stable=True)
        for name in ("row", "steps", "lower", "values"):
            assert torch.equal(getattr(some.readings, name)[order], getattr(there.readings, name))


@pytest.mark.parametrize("descent", [GaussNewton, lbfgs])
def test_a_simulator_takes_the_same_steps(descent: Callable[[Stepper], Descent]) -> None:
    found = []
    for real in (by_mask(), by_readings()):
        model = heat(0.3)
        held_out = HeldOut(trajectories(count=2, seed=1))
        fitting = Trainer(model, LOSS, held_out, descent=descent(model), batch_size=4)
        fitting.fit(generated(real), 4)
        found.append(model.diffusivity().item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_least_squares_sums_up_to_the_loss() -> None:
    batch = generated(by_readings()).__getitems__(range(18))
    model = heat(0.2)
    prediction = rollout(model, batch.states[:, 0], 2).detach()
    missed = LOSS.root_weights(batch) * (prediction[:, 1:] - batch.states[:, 1:])
    at_sensors = LOSS.root_weights_of_readings(batch) * LOSS.missed(prediction, batch)
    total = missed.double().square().sum() + at_sensors.double().square().sum()
    assert float(total) == pytest.approx(float(LOSS.of_each(prediction, batch).sum()), rel=1e-5)


def test_between_points_and_steps_a_reading_is_compared_with_what_is_interpolated() -> None:
    """A state that is linear in space and time inside one window, which cubic polynomials meet."""
    states = (torch.arange(5.0)[:, None] * 0.3 + torch.tensor(LAYOUT.points(0)).float())[None, :, None]
    place = torch.tensor([[2.345], [3.21]], dtype=torch.float64)
    steps = torch.tensor([1.25, 3.5], dtype=torch.float64)
    zero = torch.zeros(2, dtype=torch.long)
    readings = Sensors(zero, steps, zero, place, place, steps * 0.3 + place[:, 0] + 1.0)
    batch = Batch(
        states, torch.ones(1), torch.ones(1, dtype=torch.bool), torch.zeros_like(states).bool(), None, readings
    )
    loss = RolloutLoss(torch.tensor([4.0]), LAYOUT)
    assert float(loss(states, batch)) == pytest.approx(0.25, rel=1e-5)


def test_windows_see_what_is_read_after_their_start() -> None:
    zero = torch.zeros(5, dtype=torch.long)
    place = torch.ones(5, 1, dtype=torch.float64)
    row = torch.tensor([0, 0, 0, 1, 2])
    steps = torch.tensor([0.0, 1.0, 2.5, 1.0, 6.0], dtype=torch.float64)
    sensors = Sensors(row, steps, zero, place, place, torch.arange(5.0).double())
    own = sensors.between(torch.tensor([1, 0, 0, 2]), torch.tensor([0, 1, 0, 4]), 2)
    assert own.row.tolist() == [0, 1, 2, 3]
    assert own.steps.tolist() == [1.0, 1.5, 1.0, 2.0]
    assert own.values.tolist() == [3, 2, 1, 4]


def test_what_windows_score_is_counted_once() -> None:
    assert by_readings().scored_values(LAYOUT.static_channels) == by_mask().scored_values(LAYOUT.static_channels)


def test_held_out_errors_at_sensors_are_those_of_masked_states() -> None:
    late = MASK.clone()
    late[:, 0] = True
    seen = HeldOut(STATES, late, 2).measure(heat(0.15))
    only_first = torch.zeros_like(MASK)
    only_first[:, 0] = True
    found = HeldOut(STATES, only_first, 2, HeldOut(STATES, late, 2).variance, sensors=read()).measure(heat(0.15))
    torch.testing.assert_close(found.squares, seen.squares)
    torch.testing.assert_close(found.counts, seen.counts)
    assert found.nrmse == pytest.approx(seen.nrmse, rel=1e-5)


def test_nothing_read_in_scored_frames_is_refused() -> None:
    only_first = torch.zeros_like(MASK)
    only_first[:, 0] = True
    early = read().some(read().steps < 2)
    with pytest.raises(ValueError, match="nothing is observed in the scored frames"):
        HeldOut(STATES, only_first, 3, sensors=early)


def test_a_penalty_weighs_against_readings() -> None:
    batch = by_readings().__getitems__(range(15))
    known = Penalty({"diffusivity": Gaussian(0.2, 0.1)}, 100)  # it is what it is known to be
    objective = Objective(heat(0.2), LOSS, known, range(15), lambda some: iter([batch.rows(list(some))]))
    value = objective.evaluate()
    assert 0 < float(value.level) == pytest.approx(float(value.value))


def test_readings_go_along_to_another_device() -> None:
    batch = by_readings().__getitems__(range(15))
    here = LOSS.of_each(rollout(heat(0.2), batch.states[:, 0], 2), batch)
    weights = LOSS.root_weights_of_readings(batch)
    with second_device():
        there = batch.to(DEVICE)
        losses = LOSS.of_each(rollout(heat(0.2).to(DEVICE), there.states[:, 0], 2), there).detach().cpu()
        assert torch.equal(LOSS.root_weights_of_readings(there).cpu(), weights)
    torch.testing.assert_close(losses, here.detach())
