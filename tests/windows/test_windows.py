"""Windows are views of trajectories; joined, generated data count alpha times."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import LAYOUT, POINTS, Growth
from torch import Tensor
from torch.utils.data import DataLoader

from cotwin.stepper import DivergenceError
from cotwin.windows import (
    Batch,
    DrawnStates,
    JoinedWindows,
    PickedStates,
    Places,
    RolloutWindows,
    SlidingWindows,
    Windows,
    collate,
)


def numbered(count: int, frames: int) -> Tensor:
    """Every value of a frame is the number of that frame, counted through all trajectories."""
    return torch.arange(float(count * frames)).reshape(count, frames, 1, 1).expand(-1, -1, -1, 4).contiguous()


def every(windows: Windows) -> Batch:
    return windows.__getitems__(range(len(windows)))


def generated(count: int, num_steps: int = 2, seed: int = 0) -> RolloutWindows:
    starts = torch.randn(count, 1, POINTS, generator=torch.Generator().manual_seed(seed))
    return RolloutWindows(Growth(0.5), starts, num_steps)


def test_windows_take_no_memory() -> None:
    states = torch.zeros(2, 50_010, 1, 8)
    windows = SlidingWindows(states, num_steps=9)
    assert len(windows) >= 100_000
    assert not [value for value in vars(windows).values() if isinstance(value, Tensor)], "whatever their number"
    # What changes in the trajectories has changed in the windows.
    states[1, 3] = 5.0
    assert (windows[50_001 + 3].states[0, 0] == 5.0).all()
    assert (windows[50_001].states[0, 3] == 5.0).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.integers(2, 9), st.data())
def test_windows_are_the_slices_of_each_trajectory(count: int, frames: int, data: st.DataObject) -> None:
    num_steps = data.draw(st.integers(1, frames - 1))
    stride = data.draw(st.integers(1, 4))
    states = torch.randn(count, frames, 2, 3)
    windows = SlidingWindows(states, num_steps, stride=stride)
    slices = [row[first : first + num_steps + 1] for row in states for first in range(0, frames - num_steps, stride)]
    assert torch.equal(every(windows).states, torch.stack(slices))
    assert torch.equal(windows.starts().every(), torch.stack(slices)[:, 0])
    assert every(windows).mask is None


def test_trajectories_may_be_any_view() -> None:
    states = torch.randn(3, 9, 2, 4)
    for view in (states[1:, 2:7], states.transpose(0, 1), states[:, :, 1:]):
        assert torch.equal(every(SlidingWindows(view, 1)).states, every(SlidingWindows(view.contiguous(), 1)).states)


def test_no_window_crosses_from_one_trajectory_into_the_next() -> None:
    frames = every(SlidingWindows(numbered(3, 5), num_steps=3)).states[..., 0, 0]
    assert frames.diff(dim=1).eq(1).all()
    assert (frames // 5).diff(dim=1).eq(0).all()
    assert len(frames) == 3 * 2


def test_windows_start_only_where_all_is_observed() -> None:
    states, mask = numbered(2, 6), torch.ones(2, 6, 1, 4, dtype=torch.bool)
    mask[0, 1, 0, 2] = False
    mask[1, 5] = False
    states[~mask] = torch.nan
    windows = SlidingWindows(states, 2, mask)
    batch = every(windows)
    assert batch.states[:, 0, 0, 0].tolist() == [0, 2, 3, 6, 7, 8, 9]
    assert torch.isfinite(windows.starts().every()).all()
    assert batch.mask is not None
    assert torch.equal(batch.mask, torch.isfinite(batch.states))
    with pytest.raises(ValueError, match="no window of 2 steps starts from a state that a rollout can start from"):
        SlidingWindows(states, 2, torch.zeros_like(mask))


def test_windows_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 4 steps"):
        SlidingWindows(numbered(2, 5), 5)
    with pytest.raises(ValueError, match="at least 1"):
        SlidingWindows(numbered(2, 5), 0)
    with pytest.raises(ValueError, match="at least one step"):
        generated(3, num_steps=0)
    for index in (-1, 8):
        with pytest.raises(IndexError, match="8 windows"):
            SlidingWindows(numbered(2, 5), 1).__getitems__([0, index])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_standard_loader_serves_them(workers: int) -> None:
    real = SlidingWindows(torch.randn(2, 7, 1, POINTS), 2)
    joined = JoinedWindows(real, generated(5), alpha=0.5)
    # Not by fork, if another test of this process has brought in JAX, whose threads a fork would leave behind.
    context = "forkserver" if workers else None
    loader = DataLoader(
        joined, batch_size=4, collate_fn=collate, num_workers=workers, multiprocessing_context=context
    )
    batches = list(loader)
    assert [len(batch.weight) for batch in batches] == [4, 4, 4, 3]
    assert torch.equal(torch.cat([batch.states for batch in batches])[:10], every(real).states)
    assert torch.equal(torch.cat([batch.weight for batch in batches]), every(joined).weight)


def test_generated_windows_are_rollouts_of_the_teacher_without_a_gradient() -> None:
    windows = generated(3)
    states = windows.__getitems__([2, 0]).states
    torch.testing.assert_close(states, torch.stack([windows.starts.take([2, 0]) * 0.5**t for t in range(3)], dim=1))
    assert not states.requires_grad
    assert not states.is_inference()


def test_a_diverging_teacher_is_not_hidden() -> None:
    with pytest.raises(DivergenceError):
        RolloutWindows(Growth(2.0, limit=1.0), torch.ones(1, 1, POINTS), 1)[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.floats(0, 8), st.integers(1, 9), st.integers(0, 1000))
def test_generated_data_have_the_influence_alpha(
    frames: int, count: int, alpha: float, batch_size: int, seed: int
) -> None:
    """However many there are, and however they are cut into batches: (L + alpha I)/(1 + alpha)."""
    real = SlidingWindows(torch.randn(2, frames + 2, 1, POINTS), 2)
    joined = JoinedWindows(real, generated(count), alpha)
    generator = torch.Generator().manual_seed(seed)
    # The loss of a window may be anything.
    loss = torch.rand(len(joined), generator=generator, dtype=torch.float64)
    expected = (loss[: len(real)].mean() + alpha * loss[len(real) :].mean()) / (1 + alpha)
    torch.testing.assert_close((every(joined).weight * loss).mean(), expected)
    parts = torch.randperm(len(joined), generator=generator).split(batch_size)
    means = [(joined.__getitems__(part.tolist()).weight * loss[part]).mean() for part in parts]
    shares = torch.tensor([len(part) / len(joined) for part in parts])
    torch.testing.assert_close((torch.stack(means) * shares).sum(), expected)


def test_joined_windows_are_the_real_ones_then_the_generated_ones_in_any_order() -> None:
    mask = torch.ones(2, 6, 1, POINTS, dtype=torch.bool)
    mask[0, 5] = False
    real, made = SlidingWindows(torch.randn(2, 6, 1, POINTS), 2, mask), generated(4)
    joined = JoinedWindows(real, made, alpha=2.0)
    assert len(joined) == 12
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    batch = joined.__getitems__(order.tolist())
    torch.testing.assert_close(batch.states, torch.cat([every(real).states, every(made).states])[order])
    # What was generated was observed, all of it.
    assert batch.mask is not None
    assert torch.equal(batch.mask[order >= 8], torch.ones(4, 3, 1, POINTS, dtype=torch.bool))
    assert torch.equal(batch.mask[order < 8], every(real).mask[order[order < 8]])


def test_windows_that_do_not_fit_are_not_joined() -> None:
    real = SlidingWindows(torch.randn(2, 6, 1, POINTS), 2)
    with pytest.raises(ValueError, match="real windows are"):
        JoinedWindows(real, generated(3, num_steps=3), 1.0)
    for alpha in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="zero or positive, and finite"):
            JoinedWindows(real, generated(3), alpha)
    with pytest.raises(ValueError, match="channels"):
        RolloutWindows(Growth(1.0), torch.zeros(3, 2, *LAYOUT.grid), 1)


class Elsewhere(PickedStates):
    """States that are of other rows and frames of the trajectories that something is given with."""

    random_access = False

    def places(self, indices):
        return Places(torch.as_tensor(indices) % 2, 1 + torch.as_tensor(indices))


def test_states_drawn_beforehand_are_the_states_wherever_they_are():
    states = Elsewhere(torch.randn(6, 1, 4))
    drawn = DrawnStates(states)
    for indices in ([0, 1, 2, 3, 4, 5], [4, 0, 4], [1]):
        assert drawn.take(indices).equal(states.states.take(indices, [0] * len(indices)))
        assert all(one.equal(other) for one, other in zip(drawn.places(indices), states.places(indices), strict=True))
