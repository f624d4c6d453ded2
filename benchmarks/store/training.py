"""An epoch of training through `Trainer.fit`: what each placement adds to it, and what a generating thread hides."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from common.measure import Ratio, Taken, in_turns, threads, timed
from common.table import Goal, show, show_goals
from page_cache import CAN_DROP, drop, require_dropped
from rehearsal import LAYOUT, teach
from torch import Tensor
from windows import BATCH, SHAPE, path_of, real_windows

from cotwin.networks import Surrogate, UNet
from cotwin.store.placement import Placement
from cotwin.store.store import Store
from cotwin.store.window_file import WindowFile
from cotwin.training.descent import GradientDescent
from cotwin.training.held_out import HeldOut
from cotwin.training.loss import RolloutLoss
from cotwin.training.trainer import Trainer
from cotwin.windows import Batch, RolloutWindows, StoredWindows, Windows

MEMORY, WARM, COLD, FLY = "memory", "cache, warm", "cache, cold", "on the fly"
SERIAL, ALONE = "serial, {} generated at once", "generating, no training"
CORES = 2  # one for training and one for what is prepared ahead
GROUPS = (1, 3)  # batches generated at once, then trained on


def measure_training(scratch: Path, batches: int, substeps: int, repeats: int, num_threads: int) -> dict[str, Any]:
    """Epochs of so many batches. The teacher, a heat equation with so many substeps, sets the cost of generating."""
    generated = teach(real_windows(batches * BATCH), batches * BATCH, substeps)
    with ExitStack() as stack:
        stack.enter_context(threads(num_threads, on_cores=CORES))
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch))) / "cache"

        def kept(placement: Placement) -> Windows:
            store = Store(root, memory_budget=4 << 30, disk_budget=4 << 30, placement=placement)
            return stack.enter_context(store.keep(generated)).windows

        memory, cache, fly = kept("memory"), kept("cache"), kept("on_the_fly")
        assert isinstance(cache, StoredWindows)
        assert isinstance(cache.source, WindowFile)
        files = [path_of(cache.source)]
        trainer = new_trainer(memory)

        def epoch(windows: Windows) -> Callable[[int], Taken]:
            return lambda turn: timed(lambda: trainer.fit(windows, batches))

        def cold(turn: int) -> Taken:
            drop(files)
            require_dropped(files)
            return timed(lambda: trainer.fit(cache, batches))

        variants = {MEMORY: epoch(memory), WARM: epoch(cache), FLY: epoch(fly)}
        if CAN_DROP:
            variants[COLD] = cold
        for group in sorted({min(group, batches) for group in (*GROUPS, batches)}):
            variants[SERIAL.format(group)] = epoch(GeneratedInGroups(generated, group))
        variants[ALONE] = lambda turn: timed(lambda: generate(generated))
        taken = in_turns(variants, repeats)
    return summary(taken, batches, substeps, num_threads)


class GeneratedInGroups(Windows):
    """Serial generation: so many batches in one rollout, then the training on them.

    Which windows come is not what was asked for, since nobody says beforehand; they cost the same.
    """

    def __init__(self, generated: RolloutWindows, group: int) -> None:
        self.generated, self.group = generated, group
        self.made: list[Tensor] = []
        self.next = 0

    def __len__(self) -> int:
        return len(self.generated)

    @property
    def window_shape(self) -> tuple[int, ...]:
        return self.generated.window_shape

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        if not self.made:
            last = min(self.next + self.group * BATCH, len(self))
            self.made = list(self.generated.generate(range(self.next, last)).split(BATCH))
            self.next = last % len(self)
        batch.states.copy_(self.made.pop(0))


def generate(generated: RolloutWindows) -> None:
    """All windows, batch by batch."""
    for first in range(0, len(generated), BATCH):
        generated.generate(range(first, first + BATCH))


def new_trainer(windows: Windows) -> Trainer:
    """Of a small U-Net on these windows; its validation costs next to nothing."""
    some = windows.__getitems__(range(BATCH)).states
    surrogate = Surrogate.fitted(UNet(LAYOUT, width=4, levels=3), LAYOUT, some)
    descent = GradientDescent(torch.optim.Adam(surrogate.parameters(), lr=1e-4))
    held_out = HeldOut(some[:1, :2].clone())
    loss = RolloutLoss(torch.ones(LAYOUT.channels))
    return Trainer(surrogate, loss, held_out, descent=descent, batch_size=BATCH, validate_every=1000)


def summary(taken: dict[str, list[Taken]], batches: int, substeps: int, num_threads: int) -> dict[str, Any]:
    walls = {name: [one.wall for one in values] for name, values in taken.items()}
    serial = min(
        (name for name in walls if name.startswith("serial")), key=lambda name: Ratio.over(walls[name]).median
    )
    # With a core to spare only the first batch is waited for; without one, every batch.
    unhidden = 1 / batches if num_threads < CORES else 1.0
    bound = [memory + unhidden * alone for memory, alone in zip(walls[MEMORY], walls[ALONE], strict=True)]
    return {
        "batches": batches,
        "threads": num_threads,
        "teacher_substeps": substeps,
        "generating_of_training": asdict(Ratio.of(walls[ALONE], walls[MEMORY])),
        "best_serial": serial,
        "fly_of_best_serial": asdict(Ratio.of(walls[FLY], walls[serial])),
        "fly_of_memory_and_unhidden": asdict(Ratio.of(walls[FLY], bound)),
        "unhidden_share": unhidden,
        "epochs": {
            name: {
                "wall": asdict(Ratio.over(walls[name])),
                "cpu": asdict(Ratio.over([one.cpu for one in values])),
                "of_memory": asdict(Ratio.of(walls[name], walls[MEMORY])),
                "of_memory_cpu": asdict(Ratio.of([one.cpu for one in values], [one.cpu for one in taken[MEMORY]])),
            }
            for name, values in taken.items()
        },
    }


def goals(result: dict[str, Any]) -> list[Goal]:
    epochs, where = result["epochs"], f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    found = [Goal(f"epoch, {WARM}, of memory, {where}", "at most", 1.05, epochs[WARM]["of_memory"]["median"])]
    if COLD in epochs:
        found.append(Goal(f"epoch, {COLD}, of memory, {where}", "at most", 1.15, epochs[COLD]["of_memory"]["median"]))
    found.append(
        Goal(
            f"epoch, on the fly, of the best serial one, {where}",
            "at most",
            1,
            result["fly_of_best_serial"]["median"],
        )
    )
    left = "the first batch's generation" if result["threads"] < CORES else "all generation"
    found.append(
        Goal(
            f"epoch, on the fly, of memory and {left}, {where}",
            "at most",
            1.15,
            result["fly_of_memory_and_unhidden"]["median"],
        )
    )
    return found


def report(result: dict[str, Any], repeats: int) -> None:
    share = Ratio(**result["generating_of_training"])
    print(
        f"An epoch of {result['batches']} batches of {BATCH} windows of {SHAPE}, a U-Net of width 4; {repeats} "
        f"turns, {result['threads']} thread(s) of torch on {CORES} cores. Generating takes {share} of training "
        f"(heat equation, {result['teacher_substeps']} substeps). Best serial: {result['best_serial']}."
    )
    show(
        ("", "s (wall)", "of memory (wall)", "s (cpu)", "of memory (cpu)"),
        [
            (name, *(str(Ratio(**figures[key])) for key in ("wall", "of_memory", "cpu", "of_memory_cpu")))
            for name, figures in result["epochs"].items()
        ],
    )
    show_goals(goals(result))
