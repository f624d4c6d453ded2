"""An epoch of training through `Trainer.fit`: what each placement adds to it, and what a generating thread hides."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from measure import Ratio, Taken, in_turns, threads, timed
from page_cache import CAN_DROP, drop, require_dropped
from table import Goal, show, show_goals
from torch import Tensor
from windows import BATCH, SHAPE

from cotwin.held_out import HeldOut
from cotwin.layout import Field, Layout
from cotwin.loss import RolloutLoss
from cotwin.networks import Surrogate, UNet
from cotwin.parameters import Positive
from cotwin.physics import Heat
from cotwin.rollout_windows import RolloutWindows
from cotwin.stepper import Stepper
from cotwin.store.array_file import DATA
from cotwin.store.placement import Placement
from cotwin.store.store import Store
from cotwin.trainer import Trainer
from cotwin.windows import Batch, Windows

LAYOUT = Layout.box(
    [Field("a"), Field("b"), Field("c")], grid=(64, 64), extent=[(0, 1), (0, 1)], boundary="periodic", dt=0.01
)
STEPS = SHAPE[0] - 1
MEMORY, WARM, COLD, FLY = "memory", "cache, warm", "cache, cold", "on the fly"
GROUPS = (1, 2, 4)  # batches generated at once, then trained on


def measure_training(scratch: Path, batches: int, substeps: int, repeats: int, num_threads: int) -> dict[str, Any]:
    """Epochs of so many batches. The teacher, a heat equation with so many substeps, sets the cost of generating."""
    teacher = Heat(LAYOUT, Positive(torch.tensor(0.01)), substeps).eval().requires_grad_(False)
    starts = torch.randn(batches * BATCH, *LAYOUT.state_shape, generator=torch.Generator().manual_seed(0))
    generated = RolloutWindows(teacher, starts, STEPS)
    with ExitStack() as stack:
        stack.enter_context(threads(num_threads))
        # The whole of the machine for what the thread ahead does; one thread of torch still means one core for each.
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch))) / "cache"

        def kept(placement: Placement) -> Windows:
            store = Store(root, memory_budget=4 << 30, disk_budget=4 << 30, placement=placement)
            return stack.enter_context(store.keep(generated))

        memory, cache, fly = kept("memory"), kept("cache"), kept("on_the_fly")
        files = list(root.rglob(DATA))
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
        for group in sorted({*GROUPS, batches}):
            variants[serial(group)] = epoch(GeneratedInGroups(generated, group))
        variants["generating alone"] = lambda turn: timed(lambda: generate(generated))
        taken = in_turns(variants, repeats)
    return summary(taken, batches, substeps, num_threads)
