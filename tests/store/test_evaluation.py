"""A model's rollouts are made once; any change of the model makes others."""

from __future__ import annotations

import copy
import importlib
import sys
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.parameters import Positive
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.stepper import DivergenceError, Stepper, rollout
from cotwin.store.evaluation import Remembered
from cotwin.store.shelf import Shelf
from cotwin.training.held_out import HeldOut


class Counting(Stepper):
    """Counts the rollouts of several samples, so not the one that names the set."""

    counted: ClassVar[list[int]] = []

    def __init__(self, teacher: Stepper) -> None:
        super().__init__(teacher.layout)
        self.teacher = teacher

    def forward(self, state: Tensor) -> Tensor:
        return self.teacher(state)

    def rollout(self, state: Tensor, num_steps: int) -> Tensor:
        if len(state) > 1:
            self.counted.append(num_steps)
        return super().rollout(state, num_steps)


@pytest.fixture
def shelf(root: Path) -> Shelf:
    return Shelf(root, "evaluation")


STATES = torch.randn(3, 4, 2, 16, generator=torch.Generator().manual_seed(2))


def test_a_rollout_is_made_once(teacher: Stepper, shelf: Shelf) -> None:
    Counting.counted.clear()
    model, held_out = Counting(teacher), HeldOut(STATES)
    expected = held_out.predict(model)
    assert len(Counting.counted) == 1
    assert torch.equal(held_out.predict(Remembered(model, shelf)), expected)
    assert len(Counting.counted) == 2
    assert torch.equal(held_out.predict(Remembered(copy.deepcopy(model), shelf)), expected)
    assert held_out.error(Remembered(model, shelf)) == held_out.error(model)
    assert len(Counting.counted) == 3  # by the last one, without a shelf


def test_other_weights_starts_or_lengths_are_other_rollouts(teacher: Stepper, shelf: Shelf) -> None:
    teacher.eval()
    starts = STATES[:, 0]
    rollout(Remembered(teacher, shelf), starts, 3)
    rollout(Remembered(teacher, shelf), starts, 4)
    rollout(Remembered(teacher, shelf), starts[:2], 3)
    rollout(Remembered(teacher, shelf), starts + 1, 3)
    with torch.no_grad():
        teacher.step[0].weight[0, 0, 0] += 1e-3
    rollout(Remembered(teacher, shelf), starts, 3)
    assert len(shelf.entries()) == 5


class Limited(Stepper):
    """Differs from others of its kind only beyond an amplitude, by an attribute and by a buffer that is not saved."""

    def __init__(self, limit: float, shift: float) -> None:
        super().__init__(Layout.box([Field("u")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1))
        self.limit = limit
        self.register_buffer("shift", torch.tensor(shift), persistent=False)

    shift: Tensor

    def forward(self, state: Tensor) -> Tensor:
        return torch.where(state.abs() > self.limit, state + self.shift, state)


def test_what_is_in_no_weight_counts_though_the_first_start_does_not_show_it(shelf: Shelf) -> None:
    starts = torch.stack([torch.zeros(1, 16), torch.full((1, 16), 2.0)])
    layout = Limited(1, 0).layout
    models = [
        *(SpectralBurgers(layout, Positive(0.1), substeps=substeps) for substeps in (1, 2)),
        Limited(1.0, 0.5),
        Limited(3.0, 0.5),
        Limited(1.0, 0.7),
    ]
    for number, model in enumerate(models, start=1):
        expected = rollout(model, starts, 2)
        assert torch.equal(rollout(Remembered(model, shelf), starts, 2), expected)
        assert len(shelf.entries()) == number


def test_a_diverging_model_leaves_nothing(teacher: Stepper, shelf: Shelf) -> None:
    teacher.eval()
    starts = STATES[:, 0].clone()
    starts[1] = torch.inf
    with pytest.raises(DivergenceError):
        rollout(Remembered(teacher, shelf), starts, 3)
    assert not shelf.entries()


OWN = """
import torch
from cotwin.layout import Field, Layout
from cotwin.physics import FunctionStepper

LAYOUT = Layout.box([Field("u")], grid=(16,), extent=[(0, 1)], boundary="periodic", dt=0.1)

def damped(u):
    return torch.where(u > 1, 0.5, 1.0) * u

def step(u, dt, parameters):
    return damped(u)

def build():
    return FunctionStepper(LAYOUT, step, {})
"""


def test_all_of_a_users_module_counts(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that the step calls, of no effect on the first start."""
    starts = torch.stack([torch.zeros(1, 16), torch.full((1, 16), 2.0)])
    monkeypatch.syspath_prepend(tmp_path)
    for factor in ("0.5", "0.25"):
        (tmp_path / "owned.py").write_text(OWN.replace("0.5", factor))
        monkeypatch.delitem(sys.modules, "owned", raising=False)
        importlib.invalidate_caches()
        model = importlib.import_module("owned").build()
        assert rollout(Remembered(model, shelf), starts, 1)[1, 1, 0, 0] == 2 * float(factor)
    assert len(shelf.entries()) == 2
