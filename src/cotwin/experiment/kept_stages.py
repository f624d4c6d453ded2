"""Stages of an estimation in its run directory, so that one that was killed goes on after the last finished one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cotwin.estimation.stages import Stages, Tensors
from cotwin.run import Run
from cotwin.stepper import Effort

SELDOM = 2.0
"""Seconds of work that may be lost, so that writing costs next to nothing."""


class KeptStages(Stages):
    """Kept as checkpoints. On leaving the context what is not yet written is.

    say: is told each stage. origin: what a checkpoint says of where it comes from. effort: of the user's program, if
    there is one; a stage that is taken again counts as if it had been computed.
    before: the checkpoint to go on from. A stage of it is taken where it has the same name and begins with the same
    tensors, to the last bit; from the first that does not, all are computed.
    """

    def __init__(
        self,
        run: Run,
        say: Callable[[str], None],
        origin: Mapping[str, str],
        effort: Effort | None = None,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        self.run, self.tell, self.origin = run, say, dict(origin)
        self.effort = Effort() if effort is None else effort
        self.stages: list[dict[str, Any]] = [] if before is None else list(before["stages"])
        self.place, self.written = 0, True
        self.last = time.monotonic()

    def __enter__(self) -> KeptStages:
        return self

    def __exit__(self, *exception: object) -> None:
        self._write()

    def say(self, stage: str) -> None:
        self.tell(stage)

    def take(self, name: str, begin: Sequence[Tensor], compute: Callable[[], Tensors]) -> Tensors:
        self.place += 1
        if self.place <= len(self.stages) and _same(self.stages[self.place - 1], name, begin):
            stage = self.stages[self.place - 1]
            self.effort.rollouts += stage["rollouts"]
            self.effort.calls += stage["calls"]
            return {key: value.to(begin[0].device) for key, value in stage["found"].items()}
        del self.stages[self.place - 1 :]
        before = Effort(self.effort.rollouts, self.effort.calls)
        found = compute()
        spent = self.effort.since(before)
        self.stages.append({"name": name, "begin": _on_cpu(begin), "found": _on_cpu(found), **vars(spent)})
        self.written = False
        if time.monotonic() - self.last > SELDOM:
            self._write()
        return found

    def _write(self) -> None:
        if self.written:
            return
        # Fewer stages than before, if settings changed, are newer all the same.
        number = max(len(self.stages), *(1 + other for other in self.run.checkpoints()), 0)
        self.run.save_checkpoint(number, {"origin": self.origin, "stages": self.stages})
        self.written, self.last = True, time.monotonic()


def _same(stage: Mapping[str, Any], name: str, begin: Sequence[Tensor]) -> bool:
    there = stage["begin"]
    alike = stage["name"] == name and len(there) == len(begin)
    return alike and all(torch.equal(one, other.cpu()) for one, other in zip(there, begin, strict=True))


def _on_cpu(tensors: Any) -> Any:
    if isinstance(tensors, Mapping):
        return {name: value.detach().cpu().clone() for name, value in tensors.items()}
    return [value.detach().cpu().clone() for value in tensors]
