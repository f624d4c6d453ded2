"""Kill -9 at any moment of a training: going on with it ends with the numbers of the undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from children import CONTEXT, finish, run, start
from small import SMALL
from test_resume import assert_same, newest_checkpoint

from cotwin.store.root import MARKER

# So many generated windows that kills often meet their making.
MANY = ["hybrid.generated_per_real=40", "store.placement=cache"]


def train(folder: Path, how: list[str], begun: Any = None) -> None:
    """`cotwin train`, with its generated data in the cache."""
    from cotwin.cli import app

    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (until the process ends)
    overrides = [*SMALL, *MANY, f"store.cache_dir={folder / 'cache'}"]
    if begun is not None:
        begun.set()
    app(["train", "burgers", *overrides, "--run-dir", str(folder / "run"), *how])


def undisturbed_in(folder: Path) -> float:
    """Train to the end; seconds."""
    begun = CONTEXT.Event()
    process = start(train, folder, [], begun)
    begun.wait()
    since = time.monotonic()
    finish(process)
    return time.monotonic() - since


def is_killed_after(folder: Path, how: list[str], seconds: float) -> bool:
    """Train, and be killed unless that is too late."""
    begun = CONTEXT.Event()
    process = start(train, folder, how, begun)
    begun.wait()
    time.sleep(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def going_on(run: Path) -> list[str]:
    """What a person would type next."""
    if newest_checkpoint(run) >= 0:
        return ["--resume"]
    return ["--overwrite"] if run.exists() else []


def files_of(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}


def leftovers(cache: Path) -> list[Path]:
    """What is neither a marker nor a whole rollout for reports."""
    return [
        path for path in cache.rglob("*") if path.is_file() and path.suffix != ".safetensors" and path.name != MARKER
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder / "run", undisturbed_in(folder)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_five_kills_then_resume(undisturbed: tuple[Path, float], tmp_path: Path, seed: int) -> None:
    """Each in its own moment of what is left to do; with four seeds twenty of them."""
    right, length = undisturbed
    moments, kills, how = random.Random(seed), 0, list[str]()
    while kills < 5:
        if is_killed_after(tmp_path, how, moments.uniform(0.1 * length, 0.9 * length)):
            kills, how = kills + 1, going_on(tmp_path / "run")
        else:
            # Too late, and perhaps the machine is faster now: from the beginning, sooner.
            length, how = length / 2, ["--overwrite"]
    run(train, tmp_path, going_on(tmp_path / "run"))
    assert_same(tmp_path / "run", right)
    assert files_of(tmp_path / "run") == files_of(right)
    assert leftovers(tmp_path / "cache") == []


@pytest.mark.slow
def test_a_kill_then_overwrite(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    right, length = undisturbed
    how: list[str] = []
    for part in (0.9, 0.5, 0.1):
        is_killed_after(tmp_path, how, part * length)
        how = ["--overwrite"]
    run(train, tmp_path, how)
    assert_same(tmp_path / "run", right)
    assert files_of(tmp_path / "run") == files_of(right)
    assert leftovers(tmp_path / "cache") == []
