"""Where the processor time of a cycle goes: to what any training must do, or to the framework around it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch

import cotwin.training.held_out
import cotwin.training.objective
import cotwin.windows.rollout
from cotwin.experiment.load import load
from cotwin.experiment.train import prepare
from cotwin.training.hybrid import Phase
from cotwin.training.loss import RolloutLoss
from cotwin.training.muon import Muon
from cotwin.training.objective import Objective

FORWARD, BACKWARD, OPTIMIZER = "forward and loss", "backward", "optimiser"
GENERATION, VALIDATION, OTHER = "rollouts that generate", "rollouts that validate", "all else"


class Stopwatch:
    """Seconds of each kind of work, without those of other kinds within it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._kinds, self._since = [OTHER], time.process_time()

    def within(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            with self.of(kind):
                return function(*given, **named)

        return counted

    @contextmanager
    def of(self, kind: str) -> Iterator[None]:
        self._lap()
        self._kinds.append(kind)
        try:
            yield
        finally:
            self._lap()
            self._kinds.pop()

    def _lap(self) -> None:
        now = time.process_time()
        self.seconds[self._kinds[-1]] += now - self._since
        self._since = now


def shares_of_a_cycle(config: str, steps: int | None) -> dict[str, float]:
    """Seconds of each kind in the first cycle, after a warm-up; of an experiment with so many steps, if given."""
    overrides = [] if steps is None else [f"synthetic.{name}={steps}" for name in ("warmup_steps", "steps")]
    hybrid = prepare(load(config, overrides)).trainings["together"]
    for role in hybrid.order:
        hybrid.advance(Phase(-1, role))
    watch = Stopwatch()
    places = [
        (cotwin.training.objective, "rollout", FORWARD),
        (RolloutLoss, "of_each", FORWARD),
        (torch.Tensor, "backward", BACKWARD),
        (torch.nn.Module, "zero_grad", OPTIMIZER),
        (torch.nn.utils, "get_total_norm", OPTIMIZER),
        (torch.nn.utils, "clip_grads_with_norm_", OPTIMIZER),
        # The closure that an optimiser calls; what it holds beside the parts above is ours.
        (Objective, "evaluate", OTHER),
        (torch.optim.Adam, "step", OPTIMIZER),
        (Muon, "step", OPTIMIZER),
        (torch.optim.LBFGS, "step", OPTIMIZER),
        (cotwin.windows.rollout, "rollout", GENERATION),
        (import_module("cotwin.windows.starts.simulated"), "rolled", GENERATION),
        (cotwin.training.held_out, "rollout", VALIDATION),
    ]
    with ExitStack() as stack:
        for owner, name, kind in places:
            stack.enter_context(patch.object(owner, name, watch.within(kind, getattr(owner, name))))
        with watch.of(OTHER):
            for role in hybrid.order:
                hybrid.advance(Phase(0, role))
    return {kind: watch.seconds[kind] for kind in (FORWARD, BACKWARD, OPTIMIZER, GENERATION, VALIDATION, OTHER)}
