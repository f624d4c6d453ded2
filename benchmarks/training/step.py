"""A training step of ours, and the same in a bare loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import torch
from torch import Tensor, nn

from cotwin.experiment.load import load
from cotwin.experiment.optimizers import build_descent
from cotwin.experiment.train import prepare
from cotwin.training.descent import GradientDescent
from cotwin.training.held_out import HeldOut
from cotwin.training.hybrid import HybridTrainer, Phase
from cotwin.windows import Batch, JoinedWindows, Windows

OURS, BARE = "ours", "bare loop"
ALPHA = 4.0


def rivals(config: str, steps: int) -> dict[str, Callable[[], object]]:
    """Two of the same surrogate, each for `steps` steps on windows that the untrained simulator generated."""
    hybrid = prepare(load(config)).trainings["together"]
    learner = hybrid.learners["synthetic"]
    trainer = learner.trainer
    windows = _windows(hybrid)
    # The fit ends with a look at the held-out data, which is no part of a step: one of a single step costs nothing.
    trainer.held_out = HeldOut(learner.real.starts().take([0, 1])[None])
    trainer.validate_every = 10 * steps
    twin = copy.deepcopy(trainer.stepper)
    descent = build_descent(load(config).synthetic.optimizer, twin)
    assert isinstance(descent, GradientDescent)
    order = torch.randperm(len(windows)).split(trainer.batch_size)
    batches = cycle([windows.__getitems__(indices.tolist()) for indices in order])
    scale = trainer.loss.inverse_scale.view(-1, *[1] * twin.layout.dims)

    def bare() -> None:
        for batch in islice(batches, steps):
            _step(twin, batch, scale, descent.optimizers)

    return {OURS: lambda: trainer.fit(windows, steps), BARE: bare}


def _windows(hybrid: HybridTrainer) -> Windows:
    real = hybrid.learners["synthetic"].real
    phase = Phase(0, "synthetic")
    generated = hybrid.generated(phase, hybrid.generated_windows(phase, ALPHA))
    with hybrid.store.keep(generated) as kept:
        return JoinedWindows(real, kept.windows, ALPHA)


def _step(model: nn.Module, batch: Batch, scale: Tensor, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    model.zero_grad()
    state, errors = batch.states[:, 0], []
    for step in range(1, batch.states.shape[1]):
        state = model(state)
        errors.append((state - batch.states[:, step]).square())
    losses = (torch.stack(errors, dim=1) * scale).flatten(1).mean(dim=1)
    (batch.weight * losses).mean().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
