"""Allen-Cahn and the nonlinear Schrödinger equation, both coefficients unknown, from whole fields with noise.

    python benchmarks/published/whole_fields.py              # 20 draws of each
    python benchmarks/published/whole_fields.py --draws 3 --only schroedinger

Data: Raissi, Perdikaris & Karniadakis (2019), J. Comput. Phys. 378; every tenth of 201 frames. The starts are unknown
too, and smooth as the data have it; the level of the noise is estimated. The search begins at the coefficients that
each case gives, and is the default one.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.io
import torch
from rows import DATA, Clock, Row, covers, percent, rms, show
from torch import Tensor

from cotwin import Field, Layout, Positive, Stepper
from cotwin.estimation import Estimation, Grid, Measurements, estimate
from cotwin.experiment.measured_starts import correlation_length, noisy_starts
from cotwin.physics import AllenCahn
from cotwin.physics.function import FunctionStepper

F64 = torch.float64
SUBSTEPS = 40
"""Of Schrödinger's equation in each interval: the splitting is wrong by less than a hundredth of the noise then."""


@dataclass(frozen=True)
class Case:
    """states: without noise, (1, T, C, N). begun: what the search begins with. noise: of the states' deviation."""

    title: str
    states: Tensor
    begun: Stepper
    truth: Mapping[str, float]
    noise: float


def unknown(value: float) -> Positive:
    return Positive(torch.tensor(value, dtype=F64))


def frames(name: str) -> tuple[np.ndarray, float]:
    """Every tenth, (T, N), and the time between them."""
    data = scipy.io.loadmat(DATA / f"raissi_{name}.mat")
    return data["uu"].T[::10].copy(), float(data["tt"][0, 10])


def allen_cahn() -> Case:
    values, dt = frames("allen_cahn")
    layout = Layout.box([Field("u")], grid=(512,), extent=[(-1, 1)], boundary="periodic", dt=dt)
    model = AllenCahn(layout, unknown(3e-4), unknown(2.0))
    states = torch.from_numpy(values)[None, :, None]
    return Case("Allen-Cahn, 5 % noise", states, model, {"diffusivity": 1e-4, "reaction": 5.0}, 0.05)


def schroedinger() -> Case:
    values, dt = frames("schroedinger")
    fields = [Field("real"), Field("imaginary")]
    layout = Layout.box(fields, grid=(256,), extent=[(-5, 5)], boundary="periodic", dt=dt)
    waves = 2 * math.pi * torch.fft.fftfreq(256, layout.spacing[0], dtype=F64)
    model = FunctionStepper(layout, split(waves), {"dispersion": unknown(0.3), "focusing": unknown(0.6)})
    states = torch.from_numpy(np.stack([values.real, values.imag], axis=1))[None]
    return Case("Schrödinger, 1 % noise", states, model, {"dispersion": 0.5, "focusing": 1.0}, 0.01)


def split(waves: Tensor) -> Callable[[Tensor, float, Mapping[str, Tensor]], Tensor]:
    """i h_t + a h_xx + b |h|² h = 0 by Strang's splitting, both parts exactly."""

    def step(u: Tensor, dt: float, values: Mapping[str, Tensor]) -> Tensor:
        tau = dt / SUBSTEPS
        phase = -values["dispersion"] * waves**2 * tau
        turn, half = torch.polar(torch.ones_like(phase), phase), torch.polar(torch.ones_like(phase), phase / 2)
        h = torch.fft.ifft(half * torch.fft.fft(torch.complex(u[:, 0], u[:, 1])))
        for substep in range(SUBSTEPS):
            angle = values["focusing"] * tau * (h.real.square() + h.imag.square())
            h = h * torch.polar(torch.ones_like(angle), angle)
            last = half if substep == SUBSTEPS - 1 else turn
            h = torch.fft.ifft(last * torch.fft.fft(h))
        return torch.stack([h.real, h.imag], dim=1)

    return step


def draw(case: Case, seed: int) -> Estimation:
    """Other noise, and the whole search."""
    drawn = torch.Generator().manual_seed(seed)
    noise = torch.randn(case.states.shape, generator=drawn, dtype=F64)
    deviation = case.states.std(dim=(0, 1, 3), correction=0)[:, None]
    states = case.states + case.noise * deviation * noise
    layout = case.begun.layout
    starts = noisy_starts(states, None, layout, correlation_length(states[:, 0], layout), adapt=True)
    seen = Grid(layout, 1, states.shape[1] - 1, first=0)
    return estimate(case.begun, starts, Measurements(seen, seen(states)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--only", choices=["allen_cahn", "schroedinger"])
    arguments = parser.parse_args()
    for make in (allen_cahn, schroedinger):
        if arguments.only not in (None, make.__name__):
            continue
        case, clock = make(), Clock()
        found = [draw(case, seed) for seed in range(arguments.draws)]
        seconds = clock.seconds()
        errors, inside = [], []
        for name, truth in case.truth.items():
            own = [one.intervals[name] for one in found]
            said = rms([100 * float(interval.deviation) / truth for interval in own])
            errors.append(f"{rms([percent(interval, truth) for interval in own]):.2g} % (intervals say {said:.2g} %)")
            inside.append(str(sum(covers(interval, truth) for interval in own)))
        told = sum(not one.reliable for one in found)
        names = ", ".join(case.truth)
        title = f"{case.title}, {arguments.draws} draws: r.m.s. errors of {names}"
        show(Row(title, "none", "to be reported", ", ".join(errors)), __file__, seconds)
        covered = f"{', '.join(inside)}; {told} said not to be reliable"
        goal = str(round(0.85 * arguments.draws))
        show(Row(f"the same: 90 % intervals that cover, of {arguments.draws}", "none", goal, covered), __file__, None)


if __name__ == "__main__":
    main()
