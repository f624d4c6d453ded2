"""Starts along trajectories that the teacher rolls out from random initial states."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.seeds import seeded
from cotwin.stepper import DivergenceError, Stepper, rolled
from cotwin.windows.start_states import Places, StartStates
from cotwin.windows.starts.random_waves import random_waves
from cotwin.windows.starts.rearranged import rearranged_values
from cotwin.windows.starts.sampling import Initial, Starts

MOST_DRAWS = 8  # rounds of replacing initial states from which the teacher diverges
ROLLOUTS_AT_ONCE = 64  # fewer where their states, many times what is drawn from them, take more than
BYTES_AT_ONCE = 16_000_000
REACH = 1.5


def simulated(
    initial: Float[Tensor, "N C *S"],
    layout: Layout,
    horizon: int,
    given: Given | None = None,
    window: int = 0,
    *,
    reach: float = REACH,
    staggered: Collection[str] = (),
    solid: Bool[Tensor, "N 1 *S"] | None = None,
) -> Starts:
    """States along trajectories that the teacher rolls out from random initial states: waves like the real ones'.

    See `random_waves` for these. The rollouts are of `horizon` steps, and yield states at random times. Draws from
    which the teacher diverges, or passes what it `admits`, are drawn again. Raises ValueError for values that are not
    finite, and, when states are taken, DivergenceError if most draws are refused.

    initial: the first states of the real training trajectories. given: what comes from outside with these; the
    rollouts, and the windows of `window` steps more that start at their states, are given the same.
    reach: how many times as large as real ones they may be. staggered: fields with components on faces.
    solid: cells that keep what they hold in real states.
    """
    _require_finite(initial)
    drawn = random_waves(initial, layout, reach=reach, staggered=staggered, solid=solid)
    return _along_rollouts(drawn, initial, horizon, given, window)


def rearranged(
    initial: Float[Tensor, "N C *S"],
    layout: Layout,
    horizon: int,
    given: Given | None = None,
    window: int = 0,
    *,
    reach: float = REACH,
    staggered: Collection[str] = (),
    solid: Bool[Tensor, "N 1 *S"] | None = None,
) -> Starts:
    """As `simulated`, from initial states whose values are real ones in another order: see `rearranged_values`.

    reach: how many times as large as in real ones the part of the domain may be that has certain values.
    """
    _require_finite(initial)
    if staggered:
        raise ValueError("rearranged starts would give velocities on faces a divergence; use simulated ones.")
    return _along_rollouts(
        rearranged_values(initial, layout, reach=reach, solid=solid), initial, horizon, given, window
    )


def _require_finite(initial: Tensor) -> None:
    if not torch.isfinite(initial).all():
        raise ValueError("simulated starts need real initial states without missing values; use real ones.")


def _along_rollouts(drawn: Initial, like: Tensor, horizon: int, given: Given | None, window: int) -> Starts:
    # A window must not end after what is given with it.
    horizon = horizon - window if given is not None and given.inputs else horizon

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> SimulatedStates:
        seed = int(torch.randint(2**62, (), generator=generator))
        return SimulatedStates(teacher, drawn, like, count, seed, horizon=horizon, given=given, window=window)

    return draw


class Drawn(NamedTuple):
    """States, and where what is given with them is known: rows and frames, as `Places` has them."""

    states: Float[Tensor, "K C *S"]
    rows: Int[Tensor, " K"]
    frames: Int[Tensor, " K"]


class SimulatedStates(StartStates):
    """States at random times of random rollouts of a teacher, drawn block by block as they are asked for.

    Each block has a seed of its own, and the last one is kept. Read in order, several states share a rollout; read in
    any other, each may cost a whole block.

    like: states, for their shape and precision. horizon: steps after which states are drawn at most; `window` steps
    more have to be finite, so that the windows which start at them are.
    """

    random_access = False

    def __init__(
        self,
        teacher: Stepper,
        initial: Initial,
        like: Float[Tensor, "N C *S"],
        count: int,
        seed: int,
        *,
        horizon: int,
        given: Given | None = None,
        window: int = 0,
    ) -> None:
        self.teacher, self.initial, self.count, self.seed, self.given = teacher, initial, count, seed, given
        self.dtype, self.shape, self.horizon, self.window = like.dtype, tuple(like.shape[1:]), horizon, window
        self.per_rollout = max(1, (horizon + 1) // 8)
        fitting = BYTES_AT_ONCE // (like.itemsize * (horizon + window + 1) * math.prod(self.shape))
        self.rollouts = max(1, min(fitting, ROLLOUTS_AT_ONCE))
        self.block_size = self.rollouts * self.per_rollout
        self._block = (-1, Drawn(*(torch.empty(0, dtype=kind) for kind in (self.dtype, torch.long, torch.long))))

    def __len__(self) -> int:
        return self.count

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self.shape

    def take(self, indices: Sequence[int]) -> Float[Tensor, "B C *S"]:
        return self._drawn(indices).states

    def places(self, indices: Sequence[int]) -> Places:
        drawn = self._drawn(indices)
        return Places(drawn.rows, drawn.frames)

    def _drawn(self, indices: Sequence[int]) -> Drawn:
        wanted = torch.as_tensor(indices)
        blocks = wanted // self.block_size
        order, parts = [], []
        for block in blocks.unique().tolist():
            here = (blocks == block).nonzero().flatten()
            if self._block[0] != block:
                self._block = (block, self._draw(block))
            order.append(here)
            parts.append([values[wanted[here] % self.block_size] for values in self._block[1]])
        back = torch.cat(order).argsort()
        return Drawn(*(torch.cat(alike)[back] for alike in zip(*parts, strict=True)))

    def _draw(self, block: int) -> Drawn:
        generator = seeded(self.seed, block)
        wanted = min(self.rollouts, math.ceil((self.count - block * self.block_size) / self.per_rollout))
        parts: list[Drawn] = []
        found = 0
        for _ in range(MOST_DRAWS):
            parts.append(self._rollouts(wanted - found, generator))
            found += len(parts[-1].states) // self.per_rollout
            if found == wanted:
                return Drawn(*(torch.cat(alike) for alike in zip(*parts, strict=True)))
        raise DivergenceError(
            f"{type(self.teacher).__name__} diverges from most initial states like the real ones; "
            "take more substeps, or use real starts."
        )

    def _rollouts(self, count: int, generator: torch.Generator) -> Drawn:
        """`per_rollout` states of each of at most `count` rollouts, less those that diverge or are not admitted."""
        initial, rows = self.initial(count, generator)
        given = None if self.given is None else self.given.rows(rows)
        with torch.no_grad():
            states = rolled(self.teacher, initial.to(self.teacher.device), self.horizon + self.window, given)
            sound = torch.isfinite(states).flatten(1).all(dim=1) & self._admitted(states)
        states, rows = states[sound].cpu(), rows[sound.cpu()]
        times = torch.rand(len(states), self.horizon + 1, generator=generator).argsort(dim=1)[:, : self.per_rollout]
        chosen = states[torch.arange(len(states))[:, None], times].flatten(0, 1)
        return Drawn(chosen, rows.repeat_interleave(times.shape[1]), times.flatten())

    def _admitted(self, states: Float[Tensor, "B T C *S"]) -> Bool[Tensor, "B"]:
        return self.teacher.admits(states.flatten(0, 1)).view(states.shape[:2]).all(dim=1)
