"""Burgers' equation with both coefficients unknown, from 2,000 random points of space and time.

    python benchmarks/published/burgers_points.py               # a minute and a half
    python benchmarks/published/burgers_points.py --draws 100   # seven minutes

Data: Raissi, Perdikaris & Karniadakis (2019), J. Comput. Phys. 378; the start, −sin(πx), is known. The points and the
noise, 1 % of the standard deviation of all values, are drawn anew in each draw; its level is estimated too.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from rows import DATA, Clock, Row, covers, percent, rms, show
from torch import Tensor

from cotwin import Field, Layout, Parameter, Positive, Real
from cotwin.estimation import Estimation, Measurements, Points, estimate
from cotwin.physics import SpectralStepper
from cotwin.physics.exponential import SpectralMap, etdrk4

FILE = DATA / "raissi_burgers.npz"
STEEPENING, VISCOSITY = 1.0, 0.01 / math.pi
COUNT = 2000
BOUNDS = {"steepening": 0.048, "viscosity": 0.43}
"""Cramér-Rao bounds of 2,000 points with 1 % noise, in percent, from the description of the data."""


class BurgersOfTwo(SpectralStepper):
    """∂u/∂t + λ₁ u ∂u/∂x = λ₂ ∂²u/∂x², periodic."""

    def __init__(self, layout: Layout, steepening: Parameter, viscosity: Parameter, substeps: int) -> None:
        super().__init__(layout, substeps, etdrk4)
        self.steepening, self.viscosity = steepening, viscosity

    def symbol(self) -> Tensor:
        return self.viscosity().double() * self.laplacian()

    def nonlinearity(self, like: Tensor) -> SpectralMap:
        half = (-0.5 * self.steepening().double() * self.derivative(0)).to(
            torch.promote_types(like.dtype, torch.cfloat)
        )
        return lambda spectrum: half * self.to_spectrum(self.to_grid(spectrum).square())


def identify(seed: int, noise: float) -> Estimation:
    """From points and noise of one draw; noise: a part of the standard deviation of all values."""
    with np.load(FILE) as arrays:
        x, t, u = arrays["x"], arrays["t"], arrays["u"]
    # The data contain both ends of the period. Four cells between two of their points: the shock is narrow.
    layout = Layout.box([Field("u")], grid=(4 * 255,), extent=[(-1, 1)], boundary="periodic", dt=0.01)
    start = -torch.sin(math.pi * torch.tensor(layout.points(0), dtype=torch.float64))[None, None]
    generator = np.random.default_rng(seed)
    when, where = np.divmod(generator.choice(u.size, COUNT, replace=False), len(x))
    values = u[when, where] + noise * u.std() * generator.standard_normal(COUNT)
    seen = Points(layout, torch.tensor(x[where])[:, None], torch.tensor(t[when]), "u")
    model = BurgersOfTwo(layout, Real(0.5), Positive(0.01), substeps=5)
    return estimate(model, start, Measurements(seen, torch.tensor(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20)
    draws = parser.parse_args().draws
    clock = Clock()
    clean = identify(seed=0, noise=0.0).intervals
    errors = [abs(percent(clean["steepening"], STEEPENING)), abs(percent(clean["viscosity"], VISCOSITY))]
    show(
        Row(
            "Burgers, 2,000 points, clean: errors of λ₁, λ₂",
            "0.085 %, 0.12 %",
            "0.005 %, 0.02 %",
            f"{errors[0]:.2g} %, {errors[1]:.2g} %",
        ),
        __file__,
        clock.seconds(),
    )
    found = [identify(seed, noise=0.01).intervals for seed in range(draws)]
    parts, covered = [], []
    for name, truth in (("steepening", STEEPENING), ("viscosity", VISCOSITY)):
        error = rms([percent(one[name], truth) for one in found])
        said = rms([100 * float(one[name].deviation) / truth for one in found])
        parts.append(f"{error:.3f} % ({error / BOUNDS[name]:.2f} of the bound; intervals say {said:.3f} %)")
        covered.append(str(sum(covers(one[name], truth) for one in found)))
    show(
        Row(
            f"Burgers, 2,000 points, 1 % noise, {draws} draws: r.m.s. errors of λ₁, λ₂",
            "0.042 %, 0.84 % in one draw",
            f"at most 1.15 of the Cramér-Rao bounds, {BOUNDS['steepening']} % and {BOUNDS['viscosity']} %",
            ", ".join(parts),
        ),
        __file__,
        clock.seconds(),
    )
    show(
        Row(
            f"the same: 90 % intervals that cover λ₁, λ₂, of {draws}", "none", f"{0.9 * draws:g}", ", ".join(covered)
        ),
        __file__,
    )


if __name__ == "__main__":
    main()
