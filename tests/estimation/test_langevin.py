"""The Metropolis method by itself: what it leaves as it is, and what it is to find out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from estimation_cases import generator, noise
from torch import Tensor

from cotwin.estimation.posterior.langevin import EVERY, Density, Places, step, walk, warmed_up


class Given(Density):
    """A density by the formula of its logarithm, with a slope that may be any other function."""

    def __init__(self, log: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> None:
        self.log, self.slope = log, slope

    def at(self, x: Tensor, given: Tensor) -> Places:
        return Places(x, self.log(x), self.slope(x), x, given, torch.ones_like(x[:, 0]))

    def drawn(self, here: Places, generator: torch.Generator) -> Places:
        return here

    def begin(self, x: Tensor) -> Places:
        return self.at(x, x[:, :0])


def standard(x: Tensor) -> Tensor:
    return -0.5 * x.square().sum(dim=1)


def quartic(x: Tensor) -> Tensor:
    return -0.25 * x.pow(4).sum(dim=1)


def drawn(count: int) -> Tensor:
    """From exp(−x⁴/4): x⁴/4 has the gamma distribution of shape 1/4."""
    random = np.random.default_rng(0)
    x = random.choice([-1.0, 1.0], (count, 1)) * (4 * random.gamma(0.25, size=(count, 1))) ** 0.25
    return torch.from_numpy(x)


def test_of_a_standard_normal_every_proposal_is_taken_whatever_the_size() -> None:
    density = Given(standard, lambda x: x)
    for size in (0.1, 0.5, 1.0):
        moved = step(density, density.begin(noise(100, 5)), size, generator())
        assert bool(moved.accepted.all())
        torch.testing.assert_close(moved.share, torch.ones_like(moved.share))


def test_steps_are_as_probable_as_the_steps_back() -> None:
    """Detailed balance, with a slope that is not the density's: flows between the cells of a line agree.

    Of chains in the density itself, as many go from each cell to each other one as come back.
    """
    density = Given(quartic, lambda x: 0.7 * x + x.sin())
    begin = drawn(400_000)
    end = step(density, density.begin(begin), 0.7, generator(1)).places.x
    edges = torch.tensor([-1.0, -0.3, 0.2, 0.9], dtype=torch.float64)
    cells = 5 * torch.bucketize(begin[:, 0], edges) + torch.bucketize(end[:, 0], edges)
    flow = torch.bincount(cells, minlength=25).view(5, 5).double()
    apart = (flow - flow.T) / (flow + flow.T).clamp(min=1).sqrt()
    assert float(apart.abs().max()) < 4
    assert float(flow.fill_diagonal_(0).sum()) > 100_000


def test_the_density_stays_as_it_is_under_any_slope() -> None:
    """20,000 chains begun in exp(−x⁴/4), whose second moment is 2 Γ(3/4)/Γ(1/4) and fourth is 1."""
    density = Given(quartic, lambda x: 0.7 * x + x.sin())
    for moved in walk(density, density.begin(drawn(20_000)), 20, 0.8, generator()):
        last = moved.places.x
    second = 2 * math.gamma(0.75) / math.gamma(0.25)
    assert abs(float(last.square().mean()) - second) < 4 * float(last.square().std()) / math.sqrt(20_000)
    assert abs(float(last.pow(4).mean()) - 1) < 4 * float(last.pow(4).std()) / math.sqrt(20_000)


def test_the_size_is_found_with_which_half_of_the_steps_are_taken() -> None:
    """Of a density five times as narrow as it was taken for, whose slope is that of the wide one."""
    density = Given(lambda x: 25 * standard(x), lambda x: x)
    here, size = warmed_up(density, density.begin(noise(8, 4)), 2000, generator())
    share = torch.stack([moved.share for moved in walk(density, here, 3000, size, generator(1))])
    share = share.unflatten(0, (-1, EVERY))[:, : EVERY - 1]  # the last of them are short
    assert 0.5 < float(share.mean()) < 0.65


def test_a_place_of_no_density_is_never_taken() -> None:
    density = Given(lambda x: torch.where(x[:, 0] > 0, standard(x), -torch.inf), lambda x: x)
    for moved in walk(density, density.begin(noise(20, 2).abs()), 50, 1.0, generator()):
        assert bool((moved.places.x[:, 0] > 0).all())
