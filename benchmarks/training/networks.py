"""Validation error of surrogates at equal processor time, taught by the calibrated simulator.

    python benchmarks/training/networks.py burgers 10 100,101,102 synthetic.network=fno synthetic.size=tiny
    python benchmarks/training/networks.py kuramoto_sivashinsky 8 100,101,102 synthetic.augment=false --alone

A preset, seconds for the surrogate of each seed, the seeds, and settings of the experiment. The simulator is fitted
to the real data first, and not counted. Windows from its rollouts, sixteen for each real one, are made beforehand and
count four times; with --alone there are none. How many steps the seconds buy is measured before.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Sequence

import torch

from cotwin.experiment.load import load
from cotwin.experiment.train import prepare
from cotwin.seeds import seeded
from cotwin.training.hybrid import HybridTrainer
from cotwin.training.trainer import Trainer, constant, cosine
from cotwin.windows import JoinedWindows, RolloutWindows, Windows
from cotwin.windows.windows import Batch

CALIBRATION, LOOKS, GENERATED, ALPHA = 40, 12, 16, 4.0


class Made(RolloutWindows):
    """Rollouts that are there already."""

    def write(self, indices: Sequence[int], batch: Batch, rows: Sequence[int]) -> None:
        batch.states[list(rows)] = self.made[list(indices)]

    @property
    def made(self) -> torch.Tensor:
        """All of them, made once."""
        if "_made" not in self.__dict__:
            self._made = self.generate(range(len(self))).clone()
        return self._made


def taught(hybrid: HybridTrainer, seed: int) -> Windows:
    """Real windows, and those of the calibrated simulator."""
    simulator, learner = hybrid.learners["physical"], hybrid.learners["synthetic"]
    simulator.trainer.fit(simulator.real, CALIBRATION)
    teacher, draw = simulator.trainer.best(), next(iter(learner.kinds.values()))
    starts = draw(GENERATED * len(learner.real), teacher, seeded(seed, 1))
    made = Made(teacher, starts, learner.real.window_shape[0] - 1, given=learner.real.given)
    assert len(made.made)
    return JoinedWindows(learner.real, made, ALPHA)


def steps_in(seconds: float, trainer: Trainer, windows: Windows) -> int:
    """How many steps take so long; afterwards the trainer is as it was."""
    before, trainer.schedule = copy.deepcopy(trainer.state_dict()), constant
    trainer.validate_every = 10**9
    trainer.fit(windows, LOOKS)
    begin = time.process_time()
    trainer.validate()
    look = time.process_time() - begin
    begin = time.process_time()
    trainer.fit(windows, 2 * LOOKS)
    each = (time.process_time() - begin - look) / (2 * LOOKS)
    trainer.load_state_dict(before)
    return max(LOOKS, int((seconds - LOOKS * look) / each))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("seconds", type=float)
    parser.add_argument("seeds", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--alone", action="store_true", help="real data alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    errors = []
    for seed in arguments.seeds:
        hybrid = prepare(load(arguments.preset, [f"seed={seed}", *arguments.settings])).trainings["together"]
        learner = hybrid.learners["synthetic"]
        windows = learner.moved(learner.real if arguments.alone else taught(hybrid, seed))
        trainer = learner.trainer
        steps = steps_in(arguments.seconds, trainer, windows)
        trainer.schedule, trainer.validate_every = cosine(steps), math.ceil(steps / LOOKS)
        begin = time.process_time()
        errors.append(trainer.fit(windows, steps).validation_error)
        spent = time.process_time() - begin
        weights = sum(weight.numel() for weight in trainer.stepper.parameters())
        line = {"seed": seed, "weights": weights, "steps": steps, "seconds": spent, "error": errors[-1]}
        print(json.dumps(line), flush=True)
    print(f"geometric mean {math.exp(sum(map(math.log, errors)) / len(errors)):.4g}")


if __name__ == "__main__":
    main()
