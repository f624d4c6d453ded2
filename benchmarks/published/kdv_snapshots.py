"""The Korteweg-de Vries equation with both coefficients unknown, from two snapshots.

    python benchmarks/published/kdv_snapshots.py            # ten draws of noise
    python benchmarks/published/kdv_snapshots.py --modes 18

Data: Raissi, Perdikaris & Karniadakis (2019), J. Comput. Phys. 378, at t = 0.2 and 0.8. Clean: every fourth point of
both, 128 of each; the first is where the rollout starts. With noise of 1 % of the standard deviation: 199 and 201
points drawn at random, as they took; the start is unknown, and the level of the noise is estimated too.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from rows import DATA, Clock, Row, covers, percent, rms, show

from cotwin import Field, Layout, Positive
from cotwin.estimation import Estimation, Grid, Measurements, NoisyStarts, Points, estimate
from cotwin.physics import KortewegDeVries

FILE = DATA / "raissi_kdv.npz"
TRUTH = {"steepening": 1.0, "dispersion": 0.0025}
EARLY, LATE = 40, 160
COUNTS = (199, 201)


class FewModes(KortewegDeVries):
    """The same, with the modes below a fifth of the points: 25 of 128.

    What is fitted to noise has all modes that the model has, and the shorter they are the more often their phases
    turn between the snapshots: with 42 modes there are many values of λ₂ at each of which the cost has a minimum.
    """

    degree = 4


class FewerModes(KortewegDeVries):
    """The same with the modes below a seventh of the points, 18 of 128: those that the noise does not hide."""

    degree = 6


MODELS = {25: FewModes, 18: FewerModes}


def identify_clean() -> Estimation:
    """From the values themselves, the first snapshot taken as exact."""
    with np.load(FILE) as arrays:
        u, t = torch.tensor(arrays["u"][:, ::4]), arrays["t"]
    layout = _layout(len(u[0]), float(t[LATE] - t[EARLY]))
    model = KortewegDeVries(layout, Positive(0.5), Positive(0.01), substeps=200)
    return estimate(model, u[EARLY][None, None], Measurements(Grid(layout, 1, 1), u[LATE]), points=8)


def identify_noisy(seed: int, modes: int = 25) -> Estimation:
    """From points and noise of one draw: first roughly, with the first snapshot as exact, then with its start."""
    with np.load(FILE) as arrays:
        x, t, u = arrays["x"], arrays["t"], arrays["u"]
    dt = float(t[1] - t[0])
    layout = _layout(128, dt)
    generator = np.random.default_rng(seed)
    places = [np.sort(generator.choice(len(x), count, replace=False)) for count in COUNTS]
    noise = 0.01 * u.std()
    early, late = (
        torch.tensor(u[step, place] + noise * generator.standard_normal(len(place)))
        for step, place in zip((EARLY, LATE), places, strict=True)
    )
    between = np.interp(layout.points(0), x[places[0]], early.numpy(), period=2.0)
    guess = torch.tensor(between)[None, None]

    at = [torch.tensor(x[place])[:, None] for place in places]
    apart = float(t[LATE] - t[EARLY])
    late_alone = Points(layout, at[1], torch.full((COUNTS[1],), apart, dtype=torch.float64), "u")
    model = MODELS[modes](layout, Positive(0.5), Positive(0.01), substeps=1)
    # One noise for all: of the order of what interpolating the start makes wrong.
    rough = estimate(model, guess, Measurements(late_alone, late, 0.1 * u.std()), points=8)

    # The start lies one interval before the first snapshot: what is seen there has passed through the model's modes.
    times = torch.tensor([dt] * COUNTS[0] + [dt + apart] * COUNTS[1], dtype=torch.float64)
    both = Measurements(Points(layout, torch.cat(at), times, "u"), torch.cat([early, late]))
    return estimate(rough.stepper, NoisyStarts(guess, guess.std().view(1)), both)


def _layout(points: int, dt: float) -> Layout:
    return Layout.box([Field("u")], grid=(points,), extent=[(-1, 1)], boundary="periodic", dt=dt)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--modes", type=int, choices=list(MODELS), default=25, help="that the start is fitted by")
    arguments = parser.parse_args()
    draws = arguments.draws
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
    found = []
    for seed in range(draws):
        found.append(identify_noisy(seed, arguments.modes).intervals)
        print(
            f"<!-- draw {seed}:",
            *(f"{percent(found[-1][name], TRUTH[name]):.4f} %" for name in TRUTH),
            "-->",
            flush=True,
        )
    parts, covered = [], []
    for name, truth in TRUTH.items():
        error = rms([percent(one[name], truth) for one in found])
        said = rms([100 * float(one[name].deviation) / truth for one in found])
        parts.append(f"{error:.3f} % (intervals say {said:.3f} %)")
        covered.append(str(sum(covers(one[name], truth) for one in found)))
    show(
        Row(
            f"KdV, 199 + 201 points, 1 % noise, {arguments.modes} modes, {draws} draws: r.m.s. errors of λ₁, λ₂",
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


if __name__ == "__main__":
    main()
