"""`cotwin cache`: a person sees what is kept, and removes only what Cotwin made and nobody uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMALL
from test_command import cotwin, folder, refusal

from cotwin.store.shelf import Shelf
from cotwin.store.store import Store

__all__ = ["folder"]

CACHE = Path(".cotwin/cache")


@pytest.fixture
def shelf(folder: Path) -> Shelf:
    found = Store(CACHE, 10_000_000, 10_000_000).shelf("real")
    assert found is not None
    found.save("0" * 32, (2, 3), [torch.zeros(2, 3)], {"content": "converted [once]"})
    return found


def test_nothing_is_kept_and_nothing_is_made(folder: Path) -> None:
    assert cotwin("cache", "list").output == "Nothing is kept.\n"
    assert cotwin("cache", "clean").output == "Nothing to remove.\n"
    assert not list(folder.iterdir())


def test_what_is_kept_is_shown_and_goes_when_asked(folder: Path, shelf: Shelf) -> None:
    (shelf.path / f".{'0' * 32}.part").write_text("half")
    output = cotwin("cache", "list").output
    assert "1 stored array" in output
    assert "converted [once]" in output
    assert cotwin("cache", "clean").output == "Removed 1 half-written file.\n"
    assert cotwin("cache", "clean", "--shelf", "evaluation").output == "Nothing to remove.\n"
    assert "Removed 1 stored array" in cotwin("cache", "clean", "--shelf", "real").output
    assert cotwin("cache", "list").output == "Nothing is kept.\n"
    assert "choose among real, evaluation" in refusal("cache", "clean", "--shelf", "reel")


def test_what_an_earlier_version_left_is_named_and_stays(folder: Path, shelf: Shelf) -> None:
    old = [CACHE / "generated" / "4f" / "data.npy", CACHE / "real" / "4f" / "data.npy", CACHE / ".lock"]
    for path in old:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    output = " ".join(cotwin("cache", "clean", "--all").output.split())
    assert "Removed 1 stored array" in output
    assert "These stay, since this version of Cotwin did not make them" in output
    assert all(part in output for part in ("cache/generated", "cache/real/4f", "cache/.lock"))
    assert all(path.read_text() == "old" for path in old)


def test_directories_of_others_are_refused(folder: Path) -> None:
    (folder / "thesis.tex").write_text("years of work")
    for command in ("list", "clean"):
        assert "Cotwin changes nothing" in refusal("cache", command, "--cache-dir", str(folder))
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
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
