"""Data that a physical model makes of itself, at true parameters and on a finer grid than it will be trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.trajectories import Trajectories
from cotwin.experiment.physical_settings import Physical
from cotwin.experiment.settings import Simulated
from cotwin.experiment.simulators import build_physical
from cotwin.layout import Field, Layout
from cotwin.parameters import CoarseField, Known, Parameter, estimates
from cotwin.physics.initial import random_fourier
from cotwin.stepper import Stepper, rollout


def simulate(settings: Simulated, physical: Physical, seed: int) -> tuple[Trajectories, dict[str, Tensor]]:
    """Clean trajectories, training ones first, and the true parameters by name, on the data's grid.

    Raises ValueError for a true parameter that the model does not have, DivergenceError if it diverges with them.
    """
    layout = Layout.box(
        [Field(field.name, field.components, unit=field.unit) for field in settings.fields],
        grid=settings.grid,
        extent=list(settings.extent),
        boundary=settings.boundary,
        dt=settings.dt,
    )
    fine = layout.refined(settings.refine)
    count = settings.train + settings.validation + settings.test
    start = _initial(settings, fine, count, torch.Generator().manual_seed(seed))
    truth = build_physical(physical, fine, start)
    set_parameters(truth, settings.truth, fine)
    with torch.no_grad():
        states = coarsened(rollout(truth, start, settings.num_steps), layout, settings.refine)
    known = build_physical(physical, layout, states)
    set_parameters(known, settings.truth, layout)
    values = {name: known.get_submodule(name)().detach() for name in settings.truth}
    return Trajectories(states, layout, source=f"simulated {physical.model}"), values


def set_parameters(stepper: Stepper, values: Mapping[str, Any], layout: Layout) -> None:
    """Replace estimated parameters by known values, wherever the stepper uses them.

    values: by the names that `estimates` gives; numbers, or coefficients on a coarse grid.
    """
    names = list(estimates(stepper))
    for name, value in values.items():
        if name not in names:
            raise ValueError(f"data.truth names {name!r}; the physical model's unknowns are {', '.join(names)}.")
        old, tensor = stepper.get_submodule(name), torch.tensor(value, dtype=torch.get_default_dtype())
        is_field = tensor.ndim == layout.dims and tuple(tensor.shape) != tuple(old().shape)
        new: Parameter = CoarseField(Known(tensor), layout) if is_field else Known(tensor)
        places = [path for path, present in stepper.named_modules(remove_duplicate=False) if present is old]
        for parent, _, leaf in (path.rpartition(".") for path in places):
            setattr(stepper.get_submodule(parent), leaf, new)


def coarsened(states: Float[Tensor, "N T C *F"], layout: Layout, factor: int) -> Float[Tensor, "N T C *S"]:
    """States of a grid `factor` times finer, at the layout's points.

    Along periodic axes these are among the fine ones; elsewhere they are centres of cells, whose mean is taken.
    """
    for axis, kind in enumerate(layout.boundary, start=3):
        cells = states.unfold(axis, factor, factor)
        states = cells[..., 0] if kind == "periodic" else cells.mean(dim=-1)
    return states.contiguous()


def _initial(settings: Simulated, layout: Layout, count: int, generator: torch.Generator) -> Float[Tensor, "N C *S"]:
    states = random_fourier(layout, count, generator, modes=settings.modes)
    channel = 0
    for field in settings.fields:
        own = slice(channel, channel + field.components)
        states[:, own] = field.mean + field.amplitude * states[:, own]
        channel += field.components
    return states
