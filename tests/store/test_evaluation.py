"""A model's rollouts are made once; any change of the model makes others."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cotwin.held_out import HeldOut
from cotwin.layout import Field, Layout
from cotwin.parameters import Positive
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import DivergenceError, Stepper
from cotwin.store.evaluation import rollout_once
from cotwin.store.shelf import Shelf


class Counting(Stepper):
    """Counts the rollouts of several samples, so not the probe that names the set."""

    def __init__(self, teacher: Stepper) -> None:
        super().__init__(teacher.layout)
        self.teacher, self.rollouts = teacher, 0

    def forward(self, state: Tensor) -> Tensor:
        return self.teacher(state)

    def rollout(self, state: Tensor, num_steps: int) -> Tensor:
        self.rollouts += len(state) > 1
        return super().rollout(state, num_steps)


@pytest.fixture
def shelf(root: Path) -> Shelf:
    return Shelf(root, "evaluation")


STATES = torch.randn(3, 4, 2, 16, generator=torch.Generator().manual_seed(2))


def test_a_rollout_is_made_once(teacher: Stepper, shelf: Shelf) -> None:
    model, held_out = Counting(teacher), HeldOut(STATES)
    expected = held_out.predict(model)
    assert model.rollouts == 1
    assert torch.equal(held_out.predict(model, shelf), expected)
    assert model.rollouts == 2
    assert torch.equal(held_out.predict(copy.deepcopy(model), shelf), expected)
    assert held_out.error(model, shelf) == held_out.error(model)
    assert model.rollouts == 3  # by the last one, without a shelf


def test_other_weights_starts_or_lengths_are_other_rollouts(teacher: Stepper, shelf: Shelf) -> None:
    teacher.eval()
    starts = STATES[:, 0]
    rollout_once(teacher, starts, 3, shelf)
    rollout_once(teacher, starts, 4, shelf)
    rollout_once(teacher, starts[:2], 3, shelf)
    rollout_once(teacher, starts + 1, 3, shelf)
    with torch.no_grad():
        teacher.step[0].weight[0, 0, 0] += 1e-3
    rollout_once(teacher, starts, 3, shelf)
    assert len(shelf.entries()) == 5


def test_what_is_in_no_weight_counts_too(shelf: Shelf) -> None:
    layout = Layout.box([Field("u")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    starts = torch.randn(2, 1, 16)
    for substeps in (1, 2):
        rollout_once(SpectralBurgers(layout, Positive(0.1), substeps=substeps), starts, 2, shelf)
    assert len(shelf.entries()) == 2


def test_a_diverging_model_leaves_nothing(teacher: Stepper, shelf: Shelf) -> None:
    teacher.eval()
    starts = STATES[:, 0].clone()
    starts[1] = torch.inf
    with pytest.raises(DivergenceError):
        rollout_once(teacher, starts, 3, shelf)
    assert not shelf.entries()
