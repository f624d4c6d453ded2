"""Pressure projection in a closed box: cosine transforms against PhiFlow's conjugate gradients, equally exact."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from common.measure import Ratio, in_turns, per_call
from common.table import Goal, show
from flow import LAYOUT, projected
from torch import Tensor

from cotwin.physics import random_flow
from cotwin.physics.phiflow import from_fields, to_fields
from cotwin.physics.projection import Projection, divergence

LARGEST_DIVERGENCE = 1e-4  # of a velocity of size one
LEAST = 100.0  # speed in units of PhiFlow's


@torch.no_grad()
def measure(batch: int, repeats: int, least: float) -> dict[str, Any]:
    """A random divergence on a smooth flow; PhiFlow by the loosest tolerance that removes it."""
    generator = torch.Generator().manual_seed(0)
    smooth = random_flow(LAYOUT, batch, generator)
    velocity = smooth + 0.1 * torch.randn(smooth.shape, generator=generator)
    projection, field = Projection(LAYOUT), to_fields(velocity, LAYOUT, {"velocity"})["velocity"]
    ours = projection(velocity)
    for tolerance in (1e-4, 1e-5, 1e-6, 1e-7):
        theirs = from_fields({"velocity": projected(field, tolerance)}, LAYOUT)
        if largest_divergence(theirs) < LARGEST_DIVERGENCE:
            break
    left = [largest_divergence(ours), largest_divergence(theirs)]
    if max(left) > LARGEST_DIVERGENCE or float((ours - theirs).abs().max()) > 1e-4:
        raise SystemExit(f"the two projections do not do the same; the largest divergences left are {left}.")
    works = {"native": lambda: projection(velocity), "PhiFlow": lambda: projected(field, tolerance)}
    taken = in_turns({name: per_call(work, least) for name, work in works.items()}, repeats)
    seconds = {name: [one.cpu for one in values] for name, values in taken.items()}
    ratio = Ratio.of(seconds["PhiFlow"], seconds["native"])
    what = f"projection 64², batch {batch}: in units of PhiFlow's CG"
    return {
        "batch": batch,
        "seconds": seconds,
        "ratio": asdict(ratio),
        "tolerance": tolerance,
        "divergence_left": left,
        "goals": [asdict(Goal(what, "at least", LEAST, ratio.median))],
    }


def largest_divergence(velocity: Tensor) -> float:
    return float(divergence(velocity, LAYOUT).abs().max())


def report(results: list[dict[str, Any]]) -> None:
    rows = []
    for result in results:
        times = [f"{1e3 * Ratio.over(values).median:.3g} ms" for values in result["seconds"].values()]
        left = [f"{value:.1g}" for value in result["divergence_left"]]
        rows.append((f"batch {result['batch']}", *times, str(Ratio(**result["ratio"])), *left))
    show(("projection 64²", "native", "PhiFlow's CG", "times", "divergence left, native", "PhiFlow"), rows)
