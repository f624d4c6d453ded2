"""Whatever happens to the cache in the last phase of a training, its result is written."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from small import SMALL

from cotwin.experiment.load import dump, load
from cotwin.experiment.train import Session, prepare, train
from cotwin.run import Run
from cotwin.store.root import MARKER, claim_root


class Harm:
    """Does something when the last phase begins."""

    def __init__(self, session: Session, act: Callable[[], None]) -> None:
        self.left = len(session.turns)
        self.act = act

    def begin(self, description: str, steps: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()

    def step(self, loss: float) -> None:
        pass

    def restart(self) -> None:
        pass


def conclude(folder: Path, act: Callable[[], None], *more: str) -> Path:
    experiment = load("burgers", [*SMALL, f"store.cache_dir={folder / 'cache'}", *more])
    with Run.create(folder / "run", dump(experiment)) as run:
        session = prepare(experiment)
        train(session, run, Harm(session, act))
    assert json.loads((folder / "run" / "result.json").read_text())
    return folder


@pytest.fixture
def few_files() -> Iterator[Callable[[], None]]:
    """Leaves this process so few files that the cache cannot be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def exhaust() -> None:
        used = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 3, hard))
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(2):  # a checkpoint needs as many
            os.close(taken.pop())

    yield exhaust
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for file in taken:
        os.close(file)


def test_without_file_descriptors_for_the_cache(
    tmp_path: Path, few_files: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    conclude(tmp_path, few_files)
    assert "Too many open files" in caplog.text


def test_with_a_damaged_marker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def harm() -> None:
        (claim_root(tmp_path / "cache") / MARKER).write_text("garbage")

    conclude(tmp_path, harm)
    assert f"{MARKER} is not Cotwin's" in caplog.text


def test_generated_windows_stay_to_look_at_and_go_when_the_run_is_replaced(tmp_path: Path) -> None:
    conclude(tmp_path, lambda: None, "store.keep_generated=true", "store.placement=cache")
    shown = tmp_path / "run" / "generated"
    names = [f"{cycle:04d}-{learner}.npy" for cycle in range(2) for learner in ("physical", "synthetic")]
    assert sorted(path.name for path in shown.iterdir()) == names
    windows = np.load(shown / "0001-physical.npy", allow_pickle=False)
    assert windows.shape[1:] == (5, 1, 32)
    assert np.isfinite(windows).all()
    (shown / "mine.npy").write_text("mine")
    Run.create(tmp_path / "run", "", overwrite=True).close()
    assert [path.name for path in shown.iterdir()] == ["mine.npy"]
