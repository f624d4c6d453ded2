"""A diffusivity of two bumps from sixty sensors that move through a quarter of the domain.

    python benchmarks/published/heat_moving_sensors.py

u_t = κΔu on [−3, 3]², zero on the walls, κ = min(0.1 + Σ A_i exp(−|x − c_i|²), 2.5); truth A = (3, 2.5), centres
(1, 1) and (−2, −2); start A = (1, 1), centres (1.4, −1.3) and (−1.8, −1.1);
u₀ = exp(−(x−1)²−(y−1)²) − exp(−(x+1)²−(y+1)²).
Sensors from the 10 × 10 lattice on [0, 3]², moving with ẋ = M(x − c); 100 times up to t = 1; no noise.

Truth: finite volumes on 100². Model: on 18², once by finite volumes too, once by the 18² sine modes with κΔu at the
cells' centres; by 36² sine modes, to see what the grid does; all with 99 steps of RKL2. Some sensors leave the
domain, where there is nothing to see: what is seen outside the outermost cell centres of 18² is left out, and so are
values at t = 0, which is known.

κ is clipped as in the truth. The clip takes no gradient from the unknowns, which bound no value themselves: each has
one through all cells where its bump is below the clip.

Error: ‖ΔA‖/‖A‖ + ‖Δc‖/‖c‖, the bumps in the order that fits better, since exchanging them changes nothing. Priors,
from the start alone: A log-normal around 1 within a factor 3, centres normal around their starts within 1.5.
"""

from __future__ import annotations

import argparse
import itertools
import math

import torch
from rows import Clock, Row, show
from torch import Tensor

from cotwin import Field, GaussianSum, Known, Layout, Positive, Real, Stepper, rollout
from cotwin.estimation import Estimation, Measurements, Points, estimate
from cotwin.estimation.priors import Gaussian, LogNormal
from cotwin.physics import ParabolicStepper
from cotwin.physics.finite_volume import diffusion
from cotwin.physics.time_steps import CellMap

STEPS, CLIP = 99, 2.5
Bumps = tuple[list[float], list[list[float]]]
TRUTH: Bumps = ([3.0, 2.5], [[1.0, 1.0], [-2.0, -2.0]])
START: Bumps = ([1.0, 1.0], [[1.4, -1.3], [-1.8, -1.1]])


class BumpyHeat(ParabolicStepper):
    """∂u/∂t = κ ∇²u, κ = min(bumps, 2.5), zero on the walls; finite volumes."""

    def __init__(self, layout: Layout, bumps: GaussianSum) -> None:
        super().__init__(layout)
        self.bumps = bumps

    def change(self, like: Tensor, interval: float) -> CellMap:
        kappa = interval * self.bumps().clamp(max=CLIP).to(like.dtype)
        faces = [like.new_tensor(1 / dx**2) for dx in self.layout.spacing]
        ends = self.ends(like, interval)
        return lambda u: kappa * diffusion(u, faces, ends)

    def decay(self) -> float:
        return CLIP * sum(4 / dx**2 for dx in self.layout.spacing)


class SineHeat(BumpyHeat):
    """The same with ∇² exact for the sine modes of the grid."""

    second: Tensor

    def __init__(self, layout: Layout, bumps: GaussianSum) -> None:
        super().__init__(layout, bumps)
        modes, (n, length) = _sines(layout.grid[0], 1), (layout.grid[0], layout.upper[0] - layout.lower[0])
        rates = (math.pi * torch.arange(1, n + 1, dtype=torch.float64) / length).square()
        self.register_buffer("second", -modes * rates @ torch.linalg.inv(modes), persistent=False)

    def change(self, like: Tensor, interval: float) -> CellMap:
        kappa, second = interval * self.bumps().clamp(max=CLIP).to(like.dtype), self.second.to(like.dtype)
        return lambda u: kappa * (second @ u + u @ second.mT)

    def decay(self) -> float:
        return CLIP * sum((math.pi / dx) ** 2 for dx in self.layout.spacing)


class SeenFiner(Stepper):
    """The inner model, its states given and seen on three times as many points, by its sine modes.

    `Points` interpolates by cubic polynomials, which on 18² would be the largest of all errors.
    """

    between: Tensor

    def __init__(self, inner: SineHeat) -> None:
        super().__init__(inner.layout.refined(3))
        self.inner = inner
        n = inner.layout.grid[0]
        self.register_buffer("between", _sines(n, 3) @ torch.linalg.inv(_sines(n, 1)), persistent=False)

    def needed_pace(self) -> tuple[int, ...]:
        return self.inner.pace()

    def forward(self, state: Tensor) -> Tensor:
        return self.rollout(state, 1)[:, 1]

    def rollout(self, state: Tensor, num_steps: int) -> Tensor:
        states = self.inner.rollout(state[..., 1::3, 1::3], num_steps)
        return self.between.to(state.dtype) @ states @ self.between.mT.to(state.dtype)


def _sines(modes: int, finer: int) -> Tensor:
    """sin(πkx/L) at the centres of finer · modes cells, a column for each mode."""
    places = (torch.arange(finer * modes, dtype=torch.float64) + 0.5) / (finer * modes)
    return torch.sin(math.pi * places[:, None] * torch.arange(1, modes + 1, dtype=torch.float64))


def layout_of(points: int) -> Layout:
    return Layout.box([Field("u")], grid=(points,) * 2, extent=[(-3, 3)] * 2, boundary="dirichlet", dt=1 / STEPS)


def bumps_on(layout: Layout, values: Bumps) -> GaussianSum:
    amplitudes, centres = (torch.tensor(value, dtype=torch.float64) for value in values)
    return GaussianSum(Positive(amplitudes), Real(centres), Known(1.0), layout, base=0.1)


def first_state(layout: Layout) -> Tensor:
    x, y = torch.meshgrid(*(torch.tensor(layout.points(axis), dtype=torch.float64) for axis in (0, 1)), indexing="ij")
    return (torch.exp(-((x - 1) ** 2) - (y - 1) ** 2) - torch.exp(-((x + 1) ** 2) - (y + 1) ** 2))[None, None]


def sensors(seed: int) -> tuple[Tensor, Tensor]:
    """Places and times of all that is seen, and used."""
    lattice = torch.cartesian_prod(*(torch.linspace(0, 3, 10, dtype=torch.float64),) * 2)
    first = lattice[torch.randperm(100, generator=torch.Generator().manual_seed(seed))[:60]]
    times = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    motion = torch.tensor([[-0.1, -1.0], [1.0, -0.1]], dtype=torch.float64)
    turned = torch.linalg.matrix_exp(times[:, None, None] * motion) @ (first - 1.5).mT + 1.5
    places = turned.mT
    used = (places.abs() <= 3 - 3 / 18).all(dim=2) & (times > 0)[:, None]
    return places[used], times[:, None].expand(used.shape)[used]


def seen(bumps: Bumps, places: Tensor, times: Tensor) -> Tensor:
    """What the sensors see of the truth's solver with these bumps."""
    fine = layout_of(100)
    with torch.no_grad():
        states = rollout(BumpyHeat(fine, bumps_on(fine, bumps)), first_state(fine), STEPS)
    return Points(fine, places, times, "u")(states)


def identify(model: Stepper, seed: int = 0) -> Estimation:
    """From what one draw of sensors sees of the truth."""
    places, times = sensors(seed)
    bumps = "inner.bumps" if isinstance(model, SeenFiner) else "bumps"
    centres = torch.tensor(START[1], dtype=torch.float64)
    priors = {f"{bumps}.amplitudes": LogNormal(1.0, 3.0), f"{bumps}.centres": Gaussian(centres, 1.5)}
    measured = Measurements(Points(model.layout, places, times, "u"), seen(TRUTH, places, times))
    return estimate(model, first_state(model.layout), measured, priors=priors, points=8)


def error(found: Estimation) -> float:
    """‖ΔA‖/‖A‖ + ‖Δc‖/‖c‖ of the better order."""
    pairs = [
        (interval.value, torch.tensor(value, dtype=torch.float64))
        for interval, value in zip(found.intervals.values(), TRUTH, strict=True)
    ]
    orders = itertools.permutations(range(len(TRUTH[0])))
    return min(sum(float((v[list(o)] - true).norm() / true.norm()) for v, true in pairs) for o in orders)


def main() -> None:
    coarse, finer = layout_of(18), layout_of(36)
    models: dict[str, Stepper] = {
        "18² finite volumes": BumpyHeat(coarse, bumps_on(coarse, START)),
        "18² sine modes": SeenFiner(SineHeat(coarse, bumps_on(coarse, START))),
        "36² sine modes": SineHeat(finer, bumps_on(finer, START)),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(models), help="may be repeated; else all of them")
    places, times = sensors(0)
    true = seen(TRUTH, places, times)
    print(f"<!-- of {60 * STEPS:,} values after the start {len(places):,} are inside -->", flush=True)
    for name in parser.parse_args().only or models:
        model = models[name]
        clock = Clock()
        found = identify(model)
        for label, interval in found.intervals.items():
            print(f"<!-- {label}: {interval.value.tolist()} ± {interval.deviation.tolist()} -->", flush=True)
        print(f"<!-- residuals {float(found.noise[0]):.2g}, {found.agreeing} of {found.points} agree -->", flush=True)
        amplitudes, centres = (interval.value.tolist() for interval in found.intervals.values())
        apart = float((seen((amplitudes, centres), places, times) - true).square().mean().sqrt())
        print(
            f"<!-- by the truth's own solver, what is found and the truth look apart by {apart:.2g} -->", flush=True
        )
        show(
            Row(
                f"Heat, moving sensors, model of {name}: error of A and c",
                "1.73 physics alone, 0.54 to 0.58 together",
                "to be reported",
                f"{error(found):.2f}",
            ),
            __file__,
            clock.seconds(),
        )


if __name__ == "__main__":
    main()
