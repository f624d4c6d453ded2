"""Where generated windows start: states that the teacher rolls out from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.seeds import seeded
from cotwin.stepper import DivergenceError, Stepper, rolled
from cotwin.windows.start_states import PickedStates, Places, StartStates

MOST_DRAWS = 8  # rounds of replacing initial states from which the teacher diverges
ROLLOUTS_AT_ONCE = 64  # fewer where their states, many times what is drawn from them, take more than
BYTES_AT_ONCE = 16_000_000

Starts = Callable[[int, Stepper, torch.Generator], StartStates]
"""(how many, the teacher, randomness) -> states (M, C, *S), drawn now or as they are asked for."""


def real(states: Float[Tensor, "M C *S"] | PickedStates) -> Starts:
    """Real states, each once before any is drawn again: teaches what the real data already cover."""
    every = PickedStates(states) if isinstance(states, Tensor) else states

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> PickedStates:
        rounds = math.ceil(count / len(every))
        order = torch.cat([torch.randperm(len(every), generator=generator) for _ in range(rounds)])
        return every.picked(order[:count])

    return draw


def perturbed(states: Float[Tensor, "M C *S"] | PickedStates, layout: Layout) -> Starts:
    """Real states shifted by a random number of points along each periodic axis.

    A shifted state is as possible a state of the system as the one observed, even where the system itself,
    through a coefficient field, is not the same everywhere: the teacher says what follows from it. Layouts
    with static fields are refused, since those belong to their place.
    """
    if any(layout.static_channels):
        raise ValueError("perturbed starts would shift the layout's static fields too; use real ones.")
    axes = [axis for axis in range(layout.dims) if layout.is_periodic(axis)]
    if not axes:
        raise ValueError("perturbed starts are shifted along periodic axes, and the layout has none; use real ones.")
    draw_real = real(states)

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> ShiftedStates:
        chosen = draw_real(count, teacher, generator)
        shifts = [torch.randint(layout.grid[axis], (count,), generator=generator) for axis in axes]
        return ShiftedStates(chosen, dict(zip(axes, shifts, strict=True)))

    return draw


class ShiftedStates(StartStates):
    """States, each shifted by its own number of points along some axes of the grid.

    shifts: (M,) for each shifted axis.
    """

    def __init__(self, states: StartStates, shifts: Mapping[int, Int[Tensor, "M"]]) -> None:
        self.states, self.shifts, self.dtype = states, shifts, states.dtype

    def __len__(self) -> int:
        return len(self.states)

    @property
    def state_shape(self) -> tuple[int, ...]:
        return self.states.state_shape

    def places(self, indices: Sequence[int]) -> Places:
        return self.states.places(indices)

    def take(self, indices: Sequence[int]) -> Float[Tensor, "B C *S"]:
        chosen = self.states.take(indices)
        for axis, shifts in self.shifts.items():
            points = chosen.shape[axis + 2]
            shape = [1] * chosen.dim()
            shape[0], shape[axis + 2] = len(chosen), points
            index = (torch.arange(points) - shifts[torch.as_tensor(indices), None]) % points
            chosen = chosen.gather(axis + 2, index.reshape(shape).expand_as(chosen))
        return chosen


def simulated(
    initial: Float[Tensor, "N C *S"], layout: Layout, horizon: int, given: Given | None = None, window: int = 0
) -> Starts:
    """States along trajectories that the teacher rolls out from random initial states like the real ones.

    Each initial state is the mean of the real ones plus what sets one of them apart, with one random phase for each
    wavenumber, the same in all channels: û(k) → û(k) exp(iφ(k)), φ(−k) = −φ(k). So it has that state's power spectra,
    and what is linear between channels stays: a correlation, a velocity free of divergence. It is scaled down, all
    channels alike, where one would go further from the mean than 1.5 times the real ones do. It is rolled out over
    `horizon` steps and yields states at random times. Draws from which the teacher diverges are drawn again. Needs
    periodic axes and no static fields. Raises ValueError otherwise, and, when states are taken, DivergenceError if
    the teacher diverges from most draws.

    initial: the first states of the real training trajectories. given: what comes from outside with these; the
    rollouts, of so many steps, and the windows of so many more that start at their states, are given the same.
    """
    if layout.kinds != {"periodic"} or any(layout.static_channels):
        raise ValueError(
            "simulated starts are drawn from a Fourier spectrum, so every axis must be periodic and no field static; "
            "use real ones."
        )
    if not torch.isfinite(initial).all():
        raise ValueError("simulated starts need real initial states without missing values; use real ones.")

    def draw(count: int, teacher: Stepper, generator: torch.Generator) -> SimulatedStates:
        seed = int(torch.randint(2**62, (), generator=generator))
        return SimulatedStates(teacher, initial, horizon, count, seed, given, window)

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
    """

    random_access = False

    def __init__(
        self,
        teacher: Stepper,
        initial: Float[Tensor, "N C *S"],
        horizon: int,
        count: int,
        seed: int,
        given: Given | None = None,
        window: int = 0,
    ) -> None:
        axes = tuple(range(2, initial.dim()))
        self.given = given
        # A window must not end after what is given with it.
        horizon = horizon - window if given is not None and given.inputs else horizon
        self.teacher, self.initial, self.horizon, self.count, self.seed = teacher, initial, horizon, count, seed
        self.dtype = initial.dtype
        self.mean = initial.mean(dim=(0, *axes), keepdim=True)
        furthest = 1.5 * (initial - self.mean).abs().amax(dim=(0, *axes), keepdim=True)
        # A channel that always starts the same differs from its mean by rounding, which says nothing of sizes.
        rounding = 100 * torch.finfo(self.dtype).eps * initial.abs().amax(dim=(0, *axes), keepdim=True)
        self.furthest = torch.where(furthest > rounding, furthest, torch.inf)
        self.per_rollout = max(1, (horizon + 1) // 8)
        fitting = BYTES_AT_ONCE // (initial.itemsize * (horizon + 1) * math.prod(self.state_shape))
        self.rollouts = max(1, min(fitting, ROLLOUTS_AT_ONCE))
        self.block_size = self.rollouts * self.per_rollout
        self._block = (-1, Drawn(*(torch.empty(0, dtype=kind) for kind in (self.dtype, torch.long, torch.long))))

    def __len__(self) -> int:
        return self.count

    @property
    def state_shape(self) -> tuple[int, ...]:
        return tuple(self.initial.shape[1:])

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
        """`per_rollout` states of each of at most `count` rollouts, less those that diverge."""
        axes = tuple(range(2, self.initial.dim()))
        which = torch.randint(len(self.initial), (count,), generator=generator)
        # The phases of white noise: uniform, and with the conjugate symmetry of a real field.
        noise = torch.randn(count, 1, *self.initial.shape[2:], generator=generator)
        phases = torch.fft.rfftn(noise, dim=axes).sgn()
        spectrum = torch.fft.rfftn(self.initial[which] - self.mean, dim=axes)
        fields = torch.fft.irfftn(spectrum * phases, s=self.initial.shape[2:], dim=axes)
        largest = (fields.abs() / self.furthest).flatten(1).amax(dim=1).clamp(min=1.0)
        fields = fields / largest.reshape(-1, *(1,) * (fields.dim() - 1))
        given = None if self.given is None else self.given.rows(which)
        with torch.no_grad():
            states = rolled(self.teacher, (self.mean + fields).to(self.teacher.device), self.horizon, given).cpu()
        finite = torch.isfinite(states).flatten(1).all(dim=1)
        states, which = states[finite], which[finite]
        times = torch.rand(len(states), self.horizon + 1, generator=generator).argsort(dim=1)[:, : self.per_rollout]
        chosen = states[torch.arange(len(states))[:, None], times].flatten(0, 1)
        return Drawn(chosen, which.repeat_interleave(times.shape[1]), times.flatten())
