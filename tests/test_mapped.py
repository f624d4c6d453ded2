"""Numbers in a file are a tensor like any other, and windows of them are read from the file."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor

from cotwin.mapped import mapped, place_of
from cotwin.pieces import Moments, copied, pieces
from cotwin.windows import SlidingWindows
from cotwin.windows.frames import FramesInFile, frames_of


def put(path: Path, states: Tensor, position: int = 64) -> Tensor:
    path.write_bytes(bytes(position) + states.numpy().tobytes())
    with path.open("rb") as file:
        return mapped(file, position, states.shape, states.dtype)


@pytest.fixture
def states() -> Tensor:
    return torch.randn(3, 9, 2, 5, generator=torch.Generator().manual_seed(0))


def test_a_mapped_tensor_is_what_the_file_holds_and_knows_where(tmp_path: Path, states: Tensor) -> None:
    there = put(tmp_path / "states", states)
    assert torch.equal(there, states)
    assert place_of(states) is None
    for view, first in ((there, 64), (there[1:, 2:], 64 + 4 * (9 * 10 + 2 * 10)), (there[2, 8, 1], 64 + 4 * 265)):
        place = place_of(view)
        assert place is not None
        assert place.position == first
        assert os.pread(place.file.fileno(), 4, first) == view.flatten()[:1].numpy().tobytes()
    assert place_of(there.clone()) is None


def test_a_file_is_closed_with_its_last_tensor(tmp_path: Path, states: Tensor) -> None:
    gc.collect()
    before = psutil.Process().num_fds()
    view = put(tmp_path / "states", states)[1]
    assert torch.equal(view, states[1])
    assert psutil.Process().num_fds() > before
    del view
    gc.collect()
    assert psutil.Process().num_fds() == before


def test_what_is_written_to_a_writable_one_is_in_the_file(tmp_path: Path, states: Tensor) -> None:
    path = tmp_path / "states"
    path.write_bytes(bytes(4 * states.numel()))
    with path.open("r+b", buffering=0) as file:
        there = mapped(file, 0, states.shape, states.dtype, writable=True)
    copied(states, there)
    assert path.read_bytes() == states.numpy().tobytes()


@pytest.mark.parametrize("stride", [1, 3])
def test_windows_of_a_file_are_those_of_memory(tmp_path: Path, states: Tensor, stride: int) -> None:
    mask = torch.rand(states.shape, generator=torch.Generator().manual_seed(1)) < 0.98
    there, seen = put(tmp_path / "states", states), put(tmp_path / "mask", mask)
    for part in (slice(None), slice(2, 8)):
        inside = SlidingWindows(there[1:, part], 2, seen[1:, part], stride)
        usual = SlidingWindows(states[1:, part], 2, mask[1:, part], stride)
        assert isinstance(frames_of(there[1:, part]), FramesInFile)
        assert len(inside) == len(usual) > 0
        order = torch.randperm(len(usual), generator=torch.Generator().manual_seed(2)).tolist()
        inside.will_read(order)
        one, other = inside.__getitems__(order), usual.__getitems__(order)
        assert torch.equal(one.states, other.states)
        assert one.mask is not None
        assert other.mask is not None
        assert torch.equal(one.mask, other.mask)
        assert torch.equal(inside.starts().every(), usual.starts().every())
        assert inside.scored_values((False, True)) == usual.scored_values((False, True))


def test_channels_of_a_file_are_read_through_its_map(tmp_path: Path, states: Tensor) -> None:
    there = put(tmp_path / "states", states)[:, :, 1:]
    assert torch.equal(SlidingWindows(there, 3)[4].states, SlidingWindows(states[:, :, 1:], 3)[4].states)


@pytest.mark.parametrize("at_once", [1, 200, 700, 10**6])
def test_pieces_make_up_the_whole(states: Tensor, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotwin.pieces.AT_ONCE", at_once)
    seen, moments = torch.zeros(states.shape, dtype=torch.int), Moments()
    for piece in pieces(states, before=2):
        assert piece.lead <= 2
        piece.of(seen)[:, piece.lead :] += 1
        moments.add(piece.of(states)[:, piece.lead :].flatten())
    assert bool((seen == 1).all())
    assert moments.count == states.numel()
    assert moments.mean == pytest.approx(float(states.double().mean()), rel=1e-12)
    assert moments.deviation == pytest.approx(float(states.double().std(correction=0)), rel=1e-12)
    assert moments.largest == float(states.abs().max())


def test_moments_of_one_part_are_exact() -> None:
    values, moments = 1e8 + torch.rand(1000, dtype=torch.float64), Moments()
    moments.add(values)
    assert moments.mean == float(values.mean())
    assert moments.deviation == pytest.approx(float(values.std(correction=0)), rel=1e-15)
    assert moments.size == pytest.approx(float(values.square().mean().sqrt()), rel=1e-14)
