"""`cotwin cache`: a person sees what is kept, and removes only what Cotwin made and nobody uses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMALL
from test_command import cotwin, folder, refusal
from tiny import heat

from cotwin.store.lock import LOCK
from cotwin.store.shelf import Shelf
from cotwin.store.store import Store
from cotwin.windows import RolloutWindows

__all__ = ["folder"]

CACHE = Path(".cotwin/cache")


def generated(count: int = 20) -> RolloutWindows:
    return RolloutWindows(heat(), torch.randn(count, 1, 16), 3)


def orphaned(shelf: Shelf, key: str) -> Path:
    """An array whose maker is dead."""
    with shelf.add(key, (2, 3), {"content": f"left by {key}"}) as writer:
        writer.append(torch.zeros(2, 3))
    path = shelf.path / key
    owner = json.loads((path / LOCK).read_text())
    (path / LOCK).write_text(json.dumps(owner | {"started": 1.0}))
    return path


@pytest.fixture
def shelf(folder: Path) -> Shelf:
    found = Store(CACHE, 10_000_000, 10_000_000).shelf("generated")
    assert found is not None
    return found


def test_nothing_is_kept_and_nothing_is_made(folder: Path) -> None:
    assert cotwin("cache", "list").output == "Nothing is kept.\n"
    assert cotwin("cache", "clean").output == "Nothing to remove.\n"
    assert not list(folder.iterdir())


def test_leftovers_go_and_the_rest_stays(folder: Path, shelf: Shelf) -> None:
    orphan = orphaned(shelf, "dead")
    kept = orphaned(Shelf(shelf.root, "real"), "converted")
    with Store(CACHE, 10_000_000, 10_000_000, "cache").keep(generated()) as kept_windows:
        # The store has swept already when it began; this one ended since.
        assert not orphan.exists()
        orphan = orphaned(shelf, "dead")
        output = cotwin("cache", "list").output
        assert "left by dead" in output
        assert "left over" in output
        assert "Heat, 20 × 3 steps" in output
        assert "in use" in output
        assert "kept" in output
        assert "Removed 1 stored array" in cotwin("cache", "clean").output
        assert not orphan.exists()
        assert kept.exists()
        assert "Removed 1 stored array" in cotwin("cache", "clean", "--all").output
        assert not kept.exists()
        assert torch.isfinite(kept_windows.windows.__getitems__(range(20)).states).all(), "what is in use stays"
    assert cotwin("cache", "list").output == "Nothing is kept.\n"


def test_shelves_are_emptied_by_name(folder: Path, shelf: Shelf) -> None:
    for name in ("real", "evaluation"):
        orphaned(Shelf(shelf.root, name), "one")
    assert "Removed 1 stored array" in cotwin("cache", "clean", "--shelf", "evaluation").output
    assert "evaluation" not in cotwin("cache", "list").output
    assert "choose among real, generated, evaluation" in refusal("cache", "clean", "--shelf", "reel")


def test_directories_of_others_are_refused(folder: Path) -> None:
    (folder / "thesis.tex").write_text("years of work")
    for command in ("list", "clean"):
        assert "Cotwin changes nothing" in refusal("cache", command, "--cache-dir", str(folder))
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_file_is_converted_once_and_rollouts_are_kept(folder: Path) -> None:
    x = np.arange(32) * 2 * np.pi / 32
    waves = np.stack([np.sin(x + k)[None] * np.exp(-0.1 * np.arange(11))[:, None] for k in range(5)])
    np.savez(folder / "mine.npz", u=waves, x=x, t=np.arange(11) * 0.05, boundary="periodic")
    mine = [setting for setting in SMALL if not setting.startswith("data.")]
    keys = []
    for run in ("one", "two"):
        result = cotwin("train", "burgers", *mine, "data={kind: file, path: mine.npz, test: 2}", f"--run-dir={run}")
        assert result.exit_code == 0, result.output
        assert cotwin("cache", "list").output.count("mine.npz") == 1
        keys.append({path.name for path in (CACHE / "evaluation").iterdir()})
    assert keys[0] == keys[1], "the same models' rollouts were made again"
    assert len(keys[0]) > 4
