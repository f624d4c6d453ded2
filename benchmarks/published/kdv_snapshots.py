"""The Korteweg-de Vries equation with both coefficients unknown, from two snapshots.

    python benchmarks/published/kdv_snapshots.py
    python benchmarks/published/kdv_snapshots.py --draws 100 --from-truth   # five minutes

Data: Raissi, Perdikaris & Karniadakis (2019), J. Comput. Phys. 378, at t = 0.2 and 0.8. Clean: every fourth point of
both, 128 of each; the first is where the rollout starts. With noise of 1 % of the standard deviation: 199 and 201
points drawn at random, as they took; the start is unknown but smooth, and the level of the noise is estimated too.
"""

from __future__ import annotations

import argparse
from functools import cache

import numpy as np
import torch
from rows import DATA, Clock, Row, covers, percent, rms, show
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal

from cotwin import Field, Layout, Positive, Stepper
from cotwin.estimation import Estimation, Grid, LeastSquares, Measurements, NoisyStarts, Points, estimate
from cotwin.estimation.measurements import start_modes
from cotwin.physics import KortewegDeVries

FILE = DATA / "raissi_kdv.npz"
TRUTH = {"steepening": 1.0, "dispersion": 0.0025}
EARLY, LATE = 40, 160
COUNTS = (199, 201)
NOISE = 0.01
LENGTHS = [0.05 * 2 ** (step / 4) for step in range(24)]
"""Over which a start may be smooth: up to more than the period, 2."""

APART = 0.6
LAYOUT = Layout.box([Field("u")], grid=(128,), extent=[(-1, 1)], boundary="periodic", dt=APART)


@cache
def solution() -> tuple[np.ndarray, np.ndarray]:
    """Places, and values of (time, place)."""
    with np.load(FILE) as arrays:
        return arrays["x"], arrays["u"]


def start() -> Tensor:
    """What the first snapshot would be without noise."""
    return torch.tensor(solution()[1][EARLY, ::4])[None, None]


def identify_clean() -> Estimation:
    """From the values themselves, the first snapshot taken as exact."""
    model = KortewegDeVries(LAYOUT, Positive(0.5), Positive(0.01), substeps=200)
    late = torch.tensor(solution()[1][LATE, ::4])
    return estimate(model, start(), Measurements(Grid(LAYOUT, 1, 1), late), points=8)


def draw(seed: int) -> Measurements:
    """Points of both snapshots, and noise."""
    x, u = solution()
    generator = np.random.default_rng(seed)
    places = [np.sort(generator.choice(len(x), count, replace=False)) for count in COUNTS]
    values = [
        u[step, place] + NOISE * u.std() * generator.standard_normal(len(place))
        for step, place in zip((EARLY, LATE), places, strict=True)
    ]
    times = torch.tensor([0.0] * COUNTS[0] + [APART] * COUNTS[1], dtype=torch.float64)
    seen = Points(LAYOUT, torch.tensor(x[np.concatenate(places)])[:, None], times, "u")
    return Measurements(seen, torch.tensor(np.concatenate(values)))


def smooth_starts(measured: Measurements) -> NoisyStarts:
    """Fields about the mean of the first snapshot, as far from it as its values are, and as smooth as these say."""
    early = measured.values[: COUNTS[0]]
    mean, spread = early.mean(), early.std()
    levels = spread * torch.logspace(-3, 0, 61, dtype=torch.float64)

    def evidence(length: float) -> float:
        """How probable the first snapshot is, with whichever noise."""
        modes = start_modes(LAYOUT, length)
        seen = torch.stack([measured.observation(mode.expand(1, 2, 1, -1)) for mode in modes], dim=1)
        normal = LowRankMultivariateNormal(
            mean.expand_as(early),
            (spread * seen[: COUNTS[0]]).expand(len(levels), -1, -1),
            levels.square()[:, None].expand(-1, COUNTS[0]),
        )
        return float(normal.log_prob(early).max())

    return NoisyStarts(mean.expand(1, 1, *LAYOUT.grid), spread.view(1), max(LENGTHS, key=evidence))


def noisy_model(steepening: float, dispersion: float) -> Stepper:
    """As accurate as the noise asks for."""
    return KortewegDeVries(LAYOUT, Positive(steepening), Positive(dispersion), substeps=120)


def identify_noisy(measured: Measurements, starts: NoisyStarts, model: Stepper, points: int) -> Estimation:
    """From points and noise of one draw, begun at the model's coefficients and so many more."""
    # Between the snapshots there is nothing that could be fitted before the second.
    return estimate(model, starts, measured, points=points, horizons=())


def bounds(measured: Measurements, starts: Tensor | NoisyStarts) -> Tensor:
    """Cramér-Rao bounds of λ₁ and λ₂ in percent, with the start known, or known to be smooth."""
    if isinstance(starts, NoisyStarts):
        starts = NoisyStarts(start(), starts.deviation, starts.length)  # where derivatives are taken
    known = Measurements(measured.observation, measured.values, noise=NOISE * float(solution()[1].std()))
    problem = LeastSquares(noisy_model(**TRUTH), starts, known)
    jacobian = problem.linearise(problem.present()).jacobian()[0]
    # The raw numbers are logarithms.
    return 100 * (jacobian.mT @ jacobian).inverse().diagonal()[:2].sqrt()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--from-truth", action="store_true", help="begin where it ends: what many draws scatter by")
    arguments = parser.parse_args()
    draws = arguments.draws
    model, points = (noisy_model(**TRUTH), 1) if arguments.from_truth else (noisy_model(0.5, 0.01), 8)
    clock = Clock()
    clean = identify_clean().intervals
    errors = [f"{abs(percent(clean[name], truth)):.2g} %" for name, truth in TRUTH.items()]
    show(
        Row(
            "KdV, two snapshots, clean: errors of λ₁, λ₂",
            "below 0.05 %, 0.008 %",
            "as close",
            ", ".join(errors),
        ),
        __file__,
        clock.seconds(),
    )
    found, smooth, known = [], [], []
    for seed in range(draws):
        measured = draw(seed)
        starts = smooth_starts(measured)
        found.append(identify_noisy(measured, starts, model, points).intervals)
        smooth.append(bounds(measured, starts))
        known.append(bounds(measured, start()))
        errors = [f"{percent(found[-1][name], truth):.4f} %" for name, truth in TRUTH.items()]
        print(f"<!-- draw {seed}, length {starts.length:.2f}:", *errors, "-->", flush=True)
    parts, covered = [], []
    for (name, truth), bound in zip(TRUTH.items(), torch.stack(smooth).square().mean(dim=0).sqrt(), strict=True):
        error = rms([percent(one[name], truth) for one in found])
        said = rms([100 * float(one[name].deviation) / truth for one in found])
        parts.append(f"{error:.3f} % ({error / float(bound):.2f} of the bound; intervals say {said:.3f} %)")
        covered.append(str(sum(covers(one[name], truth) for one in found)))
    show(
        Row(
            f"KdV, 199 + 201 points, 1 % noise, {draws} draws: r.m.s. errors of λ₁, λ₂",
            "0.1 %, 0.016 % in one draw",
            "as close",
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
    for kind, each in (("smooth", smooth), ("known", known)):
        mean = ", ".join(f"{float(one):.3f} %" for one in torch.stack(each).square().mean(dim=0).sqrt())
        print(f"<!-- Cramér-Rao bounds of λ₁, λ₂ with the start {kind}: {mean} -->", flush=True)


if __name__ == "__main__":
    main()
