"""What a discrepancy mends, and what it does not: a diffusivity from rods that do more than diffuse.

    python benchmarks/estimation/discrepancy.py         # 100 draws, some six minutes on one core

Two rods of 24 cells, seen at all points and 15 times with noise of 0.02, from known starts with deviations of about
one. They obey ∂u/∂t = ∂/∂x (D ∂u/∂x) + s; the simulator has D alone, s = 0. Data are by Runge-Kutta, not by the
simulator. Starts, noise and sources are drawn anew each time.
Intervals of 90 %: by noise alone; as they are printed without a discrepancy, by the sandwich where residuals are
correlated; and with a discrepancy of default lengths. Errors and half widths: medians, by the truth, 0.02.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cotwin import Field, Layout, Positive
from cotwin.estimation import Discrepancy, Estimation, Grid, Interval, Measurements, estimate
from cotwin.physics import Heat, random_fourier

F64 = torch.float64
CELLS, STEPS, INNER, NOISE, DRAWS, TRUTH = 24, 15, 40, 0.02, 20, 0.02
LAYOUT = Layout.box([Field("u")], grid=(CELLS,), extent=[(0.0, 1.0)], boundary="neumann", dt=0.1)
Slope = Callable[[Tensor], Tensor]


def diffusing(u: Tensor, nonlinear: float = 0.0) -> Tensor:
    """∂/∂x (D ∂u/∂x), D = 0.02 exp(nonlinear · u), between walls."""
    middle = (u[..., 1:] + u[..., :-1]) / 2
    flux = TRUTH * torch.exp(nonlinear * middle) * CELLS * u.diff()
    return CELLS * torch.nn.functional.pad(flux, (1, 1)).diff()


def sources(size: float, generator: torch.Generator) -> Tensor:
    """Of each rod, four cosines."""
    orders = torch.arange(1, 5, dtype=F64)
    amounts = size * torch.randn(2, 1, 4, generator=generator, dtype=F64) / orders
    return amounts @ torch.cos(math.pi * orders[:, None] * torch.tensor(LAYOUT.points(0), dtype=F64))


def models(generator: torch.Generator) -> dict[str, tuple[Slope, float]]:
    """What the rods do, and the scale of the prior of what the simulator misses."""
    weak, strong = sources(0.1, generator), sources(0.3, generator)
    return {
        "nothing else": (diffusing, 0.1),
        "sources of 0.1, unknown in space": (lambda u: diffusing(u) + weak, 0.1),
        "sources of 0.3, unknown in space": (lambda u: diffusing(u) + strong, 0.3),
        "D exp(0.3 u) in place of D": (lambda u: diffusing(u, 0.3), 0.1),
        "decay, −0.03 u": (lambda u: diffusing(u) - 0.03 * u, 0.1),
    }


def rolled_out(states: Tensor, slope: Slope) -> Tensor:
    dt, u, every = LAYOUT.dt / INNER, states, [states]
    for _ in range(STEPS):
        for _ in range(INNER):
            first = slope(u)
            second = slope(u + dt / 2 * first)
            third = slope(u + dt / 2 * second)
            u = u + dt / 6 * (first + 2 * second + 2 * third + slope(u + dt * third))
        every.append(u)
    return torch.stack(every, dim=1)


def errors_of(interval: Interval) -> list[float]:
    """By the truth: whether it is held, the distance, and the half width."""
    held = float(interval.low <= TRUTH <= interval.high)
    return [held, abs(float(interval.value) / TRUTH - 1), float(interval.high - interval.low) / 2 / TRUTH]


def estimates(name: str, draw: int) -> tuple[Estimation, Estimation]:
    """Without a discrepancy, and with one."""
    generator = torch.Generator().manual_seed(draw)
    states = random_fourier(LAYOUT, 2, generator, dtype=F64)
    slope, scale = models(generator)[name]
    seen = Grid(LAYOUT, 2, STEPS)
    noise = NOISE * torch.randn(seen.size, generator=generator, dtype=F64)
    given = Measurements(seen, seen(rolled_out(states, slope)) + noise)
    model = Heat(LAYOUT, Positive(torch.tensor(0.05, dtype=F64)))
    return estimate(model, states, given), estimate(model, states, given, discrepancy=Discrepancy(scale))


def main() -> None:
    print(
        "| the rods do besides | by noise alone: held, error, half width | printed | with a discrepancy | reliable |"
    )
    print("|---|---|---|---|---|", flush=True)
    for name in models(torch.Generator()):
        rows, reliable = list[list[list[float]]](), 0
        for draw in range(DRAWS):
            plain, found = estimates(name, draw)
            printed = plain.intervals["diffusivity"]
            kinds = [plain.independent.get("diffusivity", printed), printed, found.intervals["diffusivity"]]
            rows.append([errors_of(one) for one in kinds])
            reliable += found.reliable
        table = torch.tensor(rows)
        held, size = table[:, :, 0].sum(dim=0), table[:, :, 1:].median(dim=0).values
        cells = [f"{held[k]:.0f} of {DRAWS}, {size[k, 0]:.1%}, {size[k, 1]:.1%}" for k in range(3)]
        print(f"| {name} | {' | '.join(cells)} | {reliable} of {DRAWS} |", flush=True)


if __name__ == "__main__":
    main()
