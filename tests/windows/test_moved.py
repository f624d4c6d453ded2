"""Moved windows are rollouts of the system as the others are, and the same ones whenever they are read."""

import pytest
import torch
from torch import Tensor

from cotwin.layout import Field, Layout
from cotwin.parameters import Known
from cotwin.physics.allen_cahn import AllenCahn
from cotwin.physics.initial import random_fourier
from cotwin.stepper import rollout
from cotwin.symmetries import Symmetries
from cotwin.windows import MovedWindows, SlidingWindows

LAYOUT = Layout.box([Field("u")], grid=(12, 12), extent=[(0, 1)] * 2, boundary="periodic", dt=0.1)
MODEL = AllenCahn(LAYOUT, Known(0.01), Known(1.5))


def trajectories() -> Tensor:
    starts = random_fourier(LAYOUT, 2, torch.Generator().manual_seed(0), modes=2, dtype=torch.float64)
    return rollout(MODEL, starts, 6)


def test_moved_windows_are_rollouts_of_the_system() -> None:
    windows = SlidingWindows(trajectories(), 3)
    every = range(len(windows))
    moved = MovedWindows(windows, MODEL.symmetries, LAYOUT, seed=1)
    states = moved.__getitems__(every).states
    torch.testing.assert_close(rollout(MODEL, states[:, 0], 3), states, rtol=0, atol=1e-6)
    plain = windows.__getitems__(every).states
    assert sum(torch.equal(one, other) for one, other in zip(states, plain, strict=True)) <= 1


def test_which_move_depends_on_seed_epoch_and_index_alone() -> None:
    moved = MovedWindows(SlidingWindows(trajectories(), 3), MODEL.symmetries, LAYOUT, seed=1)
    every = moved.epoch(4).__getitems__([0, 3, 5]).states
    assert torch.equal(moved.epoch(4).__getitems__([5]).states[0], every[2])
    assert not torch.equal(moved.epoch(5).__getitems__([0, 3, 5]).states, every)


def test_what_was_not_observed_moves_along() -> None:
    states = trajectories()
    mask = torch.ones_like(states, dtype=torch.bool)
    mask[:, 1:, :, 2, 5] = False
    odd = Symmetries(frozenset({0}), {1: frozenset({0})}, {})
    moved = MovedWindows(SlidingWindows(torch.where(mask, states, 99.0), 3, mask), odd, LAYOUT, seed=2)
    batch = moved.__getitems__(range(len(moved)))
    assert batch.mask is not None
    assert torch.equal(batch.states.abs() == 99.0, ~batch.mask)


@pytest.mark.parametrize("mask", [None, 0.5])
def test_how_sure_a_value_is_has_no_sign(mask: float | None) -> None:
    states = trajectories()
    sure = None if mask is None else torch.full_like(states, mask)
    starts = torch.ones(states.shape[:2], dtype=torch.bool)
    odd = Symmetries(mirrors={0: frozenset({0})})
    batch = MovedWindows(SlidingWindows(states, 3, sure, starts=starts), odd, LAYOUT, seed=2).__getitems__([0, 1, 2])
    assert batch.mask is None if sure is None else bool((batch.mask == mask).all())
