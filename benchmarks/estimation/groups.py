"""Coverage and width of intervals of groups with a prior in common, against each group alone.

u of each group decays at a rate of its own, measured at eight times with noise of a tenth of its start.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cotwin import Field, Layout, Positive
from cotwin.estimation import Grid, Measurements, estimate
from cotwin.estimation.pooled import with_unsure_spreads
from cotwin.estimation.priors import Pooled
from cotwin.given import Given
from cotwin.parameters import Grouped
from cotwin.physics import FunctionStepper

DRAWS, STEPS, NOISE = 40, 8, 0.1
LAYOUT = Layout.box([Field("u")], grid=(2,), extent=[(0, 1)], boundary="periodic", dt=0.2)


def decay(u: Tensor, dt: float, parameters: dict[str, Tensor]) -> Tensor:
    """Of a unit of u."""
    return u * torch.exp(-parameters["rate"] * dt)


def one(groups: int, spread: float, seed: int, pooled: bool) -> tuple[int, float]:
    """How many intervals hold their value, and the mean width of the logarithms."""
    generator = torch.Generator().manual_seed(seed)
    rates = torch.exp(spread * torch.randn(groups, generator=generator, dtype=torch.float64))
    times = LAYOUT.dt * torch.arange(STEPS + 1, dtype=torch.float64)
    states = torch.exp(-rates[:, None] * times)[:, :, None, None].expand(-1, -1, 1, 2).clone()
    states[:, 1:] += NOISE * torch.randn(states[:, 1:].shape, generator=generator, dtype=torch.float64)
    each = Positive(torch.ones(groups))
    each.called = "rate"
    stepper = FunctionStepper(LAYOUT, decay, {"rate": Grouped(each, torch.arange(groups))})
    grid = Grid(LAYOUT, groups, STEPS, None, first=1)
    priors = {"rate": Pooled(each)} if pooled else None
    measured = Measurements(grid, grid(states).double())
    found = estimate(stepper, states[:, 0], measured, priors=priors, points=1, given=Given.of(groups))
    own = with_unsure_spreads(found).intervals["rate"]
    held = (own.low < rates) & (rates < own.high)
    return int(held.sum()), float((own.high / own.low).log().mean())


def main() -> None:
    """A row for each number of groups and each spread."""
    for groups in (3, 12):
        for spread in (0.0, 0.1, 0.3):
            pooled, alone = ([one(groups, spread, seed, way) for seed in range(DRAWS)] for way in (True, False))
            shares = [sum(held for held, _ in draws) / (DRAWS * groups) for draws in (pooled, alone)]
            width = sum(wide for _, wide in pooled) / sum(wide for _, wide in alone)
            print(
                f"{groups} groups, spread {spread}: held {shares[0]:.1%} pooled, {shares[1]:.1%} alone; "
                f"{width:.2f} times as wide",
                flush=True,
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
