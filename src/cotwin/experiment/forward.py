"""What a forward solve costs: of the surrogate, and of the cheapest simulator that is as accurate."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from cotwin.experiment.dataset import Dataset
from cotwin.experiment.learner_settings import PhysicalSettings, Rollout
from cotwin.experiment.resolution import substeps_of
from cotwin.experiment.simulators import build_physical, settled
from cotwin.layout import Layout
from cotwin.rollouts import Coarsened
from cotwin.stepper import Stepper, rollout
from cotwin.study.outcome import Forward
from cotwin.training.held_out import HeldOut
from cotwin.training.hybrid import Role

LEAST_POINTS, MOST_COARSE = 8, 8
"""Of each axis of a coarse grid; of how many times coarser one may be."""
LEAST_SECONDS = 0.1
"""Of processor time, that is measured."""


def forward_costs(settings: PhysicalSettings, data: Dataset, models: Mapping[Role, Stepper]) -> Forward | None:
    """Of one solve over the held-out trajectories' time, all of them in a batch; None where the surrogate diverges.

    The simulators are the calibrated one with substeps halved, on its own grid, coarser ones, and the data's where it
    is refined, as far as its equation can be solved there.
    """
    held_out = data.validation if data.test is None else data.test
    surrogate, error = models["synthetic"], held_out.error(models["synthetic"])
    if not math.isfinite(error):
        return None
    every = simulators(settings, data, models["physical"])
    as_accurate = [_seconds(one, held_out) for one in every if _error(one, held_out) <= error]
    return Forward(_seconds(surrogate, held_out), min(as_accurate, default=None))


def simulators(settings: PhysicalSettings, data: Dataset, calibrated: Stepper) -> Iterator[Stepper]:
    """The calibrated one, and cheaper ones with the same estimates."""
    yield calibrated
    known = settled(settings, data.layout, data.train.states, data.given).model_copy(update={"rollout": Rollout()})
    substeps = substeps_of(known, calibrated)
    counts = [] if substeps is None else [max(1, substeps // 2**power) for power in range(substeps.bit_length())]
    static = any(data.layout.static_channels)  # they cannot be seen on a coarser grid
    for factor in range(1, 2 if static else MOST_COARSE + 1):
        layout = _coarser(data.layout, factor)
        for count in counts or [None]:
            changes = {"refine": 1, **({} if count is None else {"substeps": count})}
            built = None if layout is None else _built(known.model_copy(update=changes), layout, calibrated)
            if built is not None:
                yield built if factor == 1 else Coarsened(built, data.layout, factor)


def _built(settings: PhysicalSettings, layout: Layout, calibrated: Stepper) -> Stepper | None:
    """With the estimates of the calibrated one; None where the equation is not solved on such a grid."""
    try:
        built = build_physical(settings, layout).to(calibrated.dtype or torch.get_default_dtype())
        built.load_state_dict(calibrated.state_dict())
    except Exception:  # Whatever a model of one's own raises on a grid that it is not made for; unknowns of another.
        return None
    return built.eval().requires_grad_(False)


def _coarser(layout: Layout, factor: int) -> Layout | None:
    nodes = [int(layout.has_nodes(axis)) for axis in range(layout.dims)]
    grid = tuple((points - one) // factor + one for points, one in zip(layout.grid, nodes, strict=True))
    if min(grid) < LEAST_POINTS:
        return None
    coarse = replace(layout, grid=grid)
    return coarse if coarse.refined(factor) == layout else None


def _error(stepper: Stepper, held_out: HeldOut) -> float:
    try:
        return held_out.error(stepper)
    except Exception:  # As above.
        return float("inf")


def _seconds(stepper: Stepper, held_out: HeldOut) -> float:
    """Of processor time for one trajectory."""
    starts, steps = held_out.states[:, 0].to(stepper.device), held_out.states.shape[1] - 1
    solves, begun = 0, time.process_time()
    while not solves or time.process_time() - begun < LEAST_SECONDS:
        with torch.inference_mode():
            rollout(stepper, starts, steps, held_out.given)
        solves += 1
    return (time.process_time() - begun) / solves / len(starts)
