"""Levenberg-Marquardt within the trainer: the same loss, weights, masks and priors as any other optimiser."""

from __future__ import annotations

import pytest
import torch
from tiny import DIFFUSIVITY, LAYOUT, Growth, Network, heat, held_out, lbfgs, same, through_a_file, trainer, windows

from cotwin.estimation.priors import LogNormal
from cotwin.stepper import DivergenceError, Stepper, rollout
from cotwin.training.gauss_newton import GaussNewton
from cotwin.training.loss import RolloutLoss
from cotwin.training.objective import Objective
from cotwin.training.penalty import Penalty
from cotwin.training.trainer import Trainer
from cotwin.windows import Batch, JoinedWindows, SlidingWindows, Windows

LOSS = RolloutLoss.by_persistence(windows(), LAYOUT.static_channels)


def objective(stepper: Stepper, batch: Batch, penalty: Penalty | None = None) -> Objective:
    indices = range(len(batch.states))
    return Objective(stepper, LOSS, penalty, indices, lambda some: iter([batch.rows(some)]))


def whole(source: Windows) -> Batch:
    return source.__getitems__(range(len(source)))


def slope(stepper: Stepper, batch: Batch, penalty: Penalty | None = None) -> tuple[float, float]:
    """What gradient methods see, and its derivative to the one unknown."""
    value = objective(stepper, batch, penalty).evaluate().value
    (unknown,) = stepper.parameters()
    assert unknown.grad is not None
    return float(value), float(unknown.grad)


@pytest.mark.parametrize("start", [0.02, 0.5])
def test_finds_the_diffusivity_that_made_the_data_in_a_few_steps(start: float) -> None:
    fitting = trainer(heat(start), GaussNewton)
    fitting.fit(windows(), 6)
    assert fitting.best().diffusivity().item() == pytest.approx(DIFFUSIVITY, rel=1e-4)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("with_prior", [False, True])
def test_its_minimum_is_that_of_the_loss_of_weighted_and_masked_windows(masked: bool, with_prior: bool) -> None:
    """Of two sets of windows that disagree, the second counting half: where gradient methods come to rest too."""
    data = whole(windows()).states.clone()
    noisy = data + 0.05 * torch.randn(data.shape, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(noisy.shape, generator=torch.Generator().manual_seed(3)) < 0.7 if masked else None
    if mask is not None:
        mask[:, 0] = True
    real = SlidingWindows(noisy, 2, mask)
    with torch.no_grad():
        other = rollout(heat(0.2), noisy[:, 0], 2)
    batch = whole(JoinedWindows(real, SlidingWindows(other, 2), alpha=0.5))
    penalty = Penalty({"diffusivity": LogNormal(0.05, 1.2)}, values=100) if with_prior else None
    model = heat(0.05)
    before, steep = slope(model, batch, penalty)
    descent, lowered = GaussNewton(model), objective(model, batch, penalty)
    assert descent.move(lowered, 1.0) == pytest.approx(before, rel=1e-4)
    for _ in range(9):
        descent.move(lowered, 1.0)
    assert abs(slope(model, batch, penalty)[1]) < 1e-3 * abs(steep)


def test_a_prior_pulls_gradient_methods_to_the_same_place() -> None:
    """Strong enough to matter: the data and the median differ by a factor of two."""
    penalty = Penalty({"diffusivity": LogNormal(0.05, 1.05)}, values=20)
    clean = whole(windows()).states
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    data = SlidingWindows(noisy, 2)
    found = []
    for descent in (GaussNewton, lbfgs):
        model = heat(0.055)
        fitting = Trainer(model, LOSS, held_out(), descent=descent(model), batch_size=len(data), penalty=penalty)
        fitting.fit(data, 20)
        found.append(model.diffusivity().item())
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert 0.05 < found[0] < 0.09


def test_resumes_from_a_file_where_it_was() -> None:
    straight = trainer(heat(0.02), GaussNewton)
    straight.fit(windows(), 2)
    state = through_a_file(straight.state_dict())
    straight.fit(windows(), 2)
    resumed = trainer(heat(0.5), GaussNewton)
    resumed.load_state_dict(state)
    resumed.fit(windows(), 2)
    assert same(straight.state_dict(), resumed.state_dict())


def test_a_stepper_that_diverges_raises_and_keeps_its_values() -> None:
    model = Growth(2.0, limit=1.5)
    with pytest.raises(DivergenceError, match="Growth diverges"):
        GaussNewton(model).move(objective(model, whole(windows())), 1.0)
    assert model.rate().item() == pytest.approx(2.0)


def test_refuses_networks_with_the_cure() -> None:
    with pytest.raises(ValueError, match="choose lbfgs for fields, adam for networks"):
        GaussNewton(_wide())


def _wide() -> Stepper:
    model = Network()
    model.net.append(torch.nn.Conv1d(1, 400, 1))
    return model
