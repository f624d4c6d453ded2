"""Whatever stops a run, going on with it ends with exactly the numbers of the uninterrupted run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from small import SMALL

from cotwin.experiment.load import dump, load
from cotwin.experiment.train import prepare, train
from cotwin.run import Run, RunError
from cotwin.training.trainer import cosine


class PowerCutError(Exception):
    """Stops a run between two optimiser steps."""


class StopAt:
    """Takes so many optimiser steps, then stops."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def begin(self, description: str, steps: int) -> None:
        pass

    def step(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            raise PowerCutError


def finish(path: Path, overrides: list[str], *, stops: tuple[int, ...] = ()) -> None:
    """Run to the end, each stop after so many steps of its attempt."""
    experiment = load("burgers", overrides)
    for attempt, steps in enumerate((*stops, 0)):
        text = dump(experiment)
        with Run.create(path, text) if attempt == 0 else Run.reopen(path, text) as run:
            checkpoint = None if attempt == 0 else run.load_checkpoint()
            try:
                train(prepare(experiment), run, StopAt(steps), checkpoint)
            except PowerCutError:
                assert steps > 0


def assert_same(run: Path, undisturbed: Path) -> None:
    assert (run / "metrics.jsonl").read_text() == (undisturbed / "metrics.jsonl").read_text()
    assert json.loads((run / "result.json").read_text()) == json.loads((undisturbed / "result.json").read_text())
    for name in ("physical.safetensors", "synthetic.safetensors"):
        weights, expected = load_file(run / name), load_file(undisturbed / name)
        assert weights.keys() == expected.keys()
        assert all(weights[key].equal(expected[key]) for key in expected)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder / "run", [*SMALL, f"store.cache_dir={folder / 'cache'}"])
    return folder / "run"


# One step, the middle of a phase, its last step, a later training; then several in one run.
@pytest.mark.parametrize("stops", [(1,), (5,), (6,), (13,), (20,), (2, 3, 7, 8)])
def test_a_resumed_run_ends_with_the_same_numbers(undisturbed: Path, tmp_path: Path, stops: tuple[int, ...]) -> None:
    # The resolved configuration names the cache, so both runs have the same one.
    cache = undisturbed.parent / "cache"
    finish(tmp_path / "run", [*SMALL, f"store.cache_dir={cache}"], stops=stops)
    assert_same(tmp_path / "run", undisturbed)


def test_a_warm_up_is_trained_once_and_is_the_same_for_both(undisturbed: Path) -> None:
    lines = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert [(line["training"], line["cycle"]) for line in lines] == [
        (training, cycle)
        for training, cycles in (("both", [-1]), ("together", [0, 1]), ("alone", [0, 1]))
        for cycle in cycles
        for _ in range(2)
    ]
    session = prepare(load("burgers", [*SMALL, f"store.cache_dir={undisturbed.parent / 'cache'}"]))
    alone = session.trainings["alone"]
    assert session.total_steps == sum(line["steps"] for line in lines)
    expected = [result.validation_error for result in alone.run(2)]
    assert [line["validation_error"] for line in lines if line["training"] != "together"] == expected


def test_a_finished_run_with_more_cycles_equals_one_that_had_them_from_the_first(tmp_path: Path) -> None:
    options = [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "synthetic.optimizer.schedule=constant"]
    finish(tmp_path / "whole", [*options, "hybrid.cycles=3"])
    finish(tmp_path / "raised", [*options, "hybrid.cycles=1"])
    experiment = load("burgers", [*options, "hybrid.cycles=3"])
    with Run.reopen(tmp_path / "raised", dump(experiment)) as run:
        train(prepare(experiment), run, StopAt(0), run.load_checkpoint())
    assert_same(tmp_path / "raised", tmp_path / "whole")
    fewer = dump(load("burgers", [*options, "hybrid.cycles=2"]))
    with pytest.raises(RunError, match=r"has hybrid\.cycles=3, 2 were asked for; .* more"):
        Run.reopen(tmp_path / "raised", fewer)
    assert "cycles: 3" in (tmp_path / "raised/config.yaml").read_text()


def test_raising_the_cycles_goes_on_along_the_longer_schedule(tmp_path: Path) -> None:
    options = [*SMALL, f"store.cache_dir={tmp_path / 'cache'}"]
    finish(tmp_path / "run", [*options, "hybrid.cycles=1"])
    experiment = load("burgers", [*options, "hybrid.cycles=4"])
    session = prepare(experiment)
    trainer = session.trainings["together"].learners["synthetic"].trainer
    rates: list[float] = []

    class Watching(StopAt):
        def step(self, loss: float) -> None:
            rates.append(trainer.descent.optimizer.param_groups[0]["lr"])
            super().step(loss)

    with Run.reopen(tmp_path / "run", dump(experiment)) as run, pytest.raises(PowerCutError):
        train(session, run, Watching(1), run.load_checkpoint())
    # Seven steps were taken of 4 + 4 · 3.
    assert rates == pytest.approx([experiment.synthetic.optimizer.lr * cosine(16)(7)])


def test_a_seed_fixes_everything(undisturbed: Path, tmp_path: Path) -> None:
    finish(tmp_path / "same", [*SMALL, f"store.cache_dir={tmp_path / 'cache'}"])
    assert_same(tmp_path / "same", undisturbed)
    finish(tmp_path / "other", [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "seed=1"])
    assert (tmp_path / "other/metrics.jsonl").read_text() != (undisturbed / "metrics.jsonl").read_text()


def test_memory_and_cache_train_the_same_models(undisturbed: Path, tmp_path: Path) -> None:
    finish(tmp_path / "run", [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "store.placement=cache"])
    assert (tmp_path / "run/result.json").read_text() == (undisturbed / "result.json").read_text()
    assert '"placement": "cache"' in (tmp_path / "run/metrics.jsonl").read_text()
    assert not list((tmp_path / "cache/generated").glob("*/data.npy")), "generated sets go when their phase ends"


def newest_checkpoint(run: Path) -> int:
    return max((int(path.stem) for path in run.glob("checkpoints/*.pt")), default=-1)


def test_interrupt_tells_how_to_go_on(tmp_path: Path) -> None:
    overrides = [*SMALL, f"store.cache_dir={tmp_path / 'cache'}", "hybrid.cycles=500"]
    command = [sys.executable, "-m", "cotwin", "train", "burgers", *overrides, "--run-dir", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    # Not for one checkpoint's file: two phases later it is gone again.
    while newest_checkpoint(tmp_path / "run") < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in output
    assert Run.reopen(tmp_path / "run", (tmp_path / "run/config.yaml").read_text()).load_checkpoint()
