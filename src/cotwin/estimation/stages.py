"""The stages of an estimation, which may be shown, and kept for one that goes on where another was killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cotwin.estimation.levenberg_marquardt import Search, Solution
from cotwin.estimation.problem import LeastSquares

Tensors = dict[str, Tensor]


class Stages:
    """What becomes of each stage of an estimation. Here nothing: a subclass shows it or keeps it."""

    def say(self, stage: str) -> None:
        """Told of each in words, when it is done."""

    def take(self, name: str, begin: Sequence[Tensor], compute: Callable[[], Tensors]) -> Tensors:
        """The result of a stage that begins with these tensors."""
        return compute()

    def solve(self, search: Search, problem: LeastSquares, z: Tensor, *also: Tensor) -> Solution:
        """A search as a stage. also: what else than z tells it from others at this place."""

        def compute() -> Tensors:
            found = search(problem, z)
            iterations = torch.tensor(found.iterations)
            return {"z": found.z, "cost": found.cost, "converged": found.converged, "iterations": iterations}

        found = self.take("search", [z, *also], compute)
        return Solution(found["z"], found["cost"], found["converged"], int(found["iterations"]))


UNSEEN = Stages()
"""Stages of which nothing is shown or kept."""
