"""Data that a physical model makes of itself, at true parameters and on a finer grid than it will be trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.coarsen import coarsened
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.learner_settings import PhysicalSettings
from cotwin.experiment.settings import Simulated
from cotwin.experiment.simulators import build_physical
from cotwin.layout import Field, Layout
from cotwin.parameters import CoarseField, Elementwise, Known, Parameter, Vector, estimated
from cotwin.registry import sampler
from cotwin.seeds import seeded, torch_seeded
from cotwin.stepper import Stepper, rollout


def simulate(settings: Simulated, physical: PhysicalSettings, seed: int) -> tuple[Trajectories, dict[str, Tensor]]:
    """Clean trajectories, training ones first, and the true parameters by name, on the data's grid.

    Raises ValueError for a true parameter that the model does not have, DivergenceError if it diverges with them.
    """
    layout = Layout.box(
        [Field(field.name, field.components, unit=field.unit) for field in settings.fields],
        grid=settings.grid,
        extent=list(settings.extent),
        boundary=settings.boundary,
        centring=settings.points,
        dt=settings.dt,
    )
    fine = layout.refined(settings.refine)
    count = settings.train + settings.validation + settings.test
    start = _initial(settings, fine, count, seeded(seed))
    with torch_seeded(seed):
        truth = build_physical(physical, fine, start[:, None])
    set_parameters(truth, settings.truth)
    with torch.no_grad():
        states = coarsened(rollout(truth, start, settings.num_steps), layout, settings.refine, truth.staggered)
    known = build_physical(physical, layout, states)
    paths = estimated(known)
    set_parameters(known, settings.truth)
    values = {name: known.at_data_points(known.get_submodule(paths[name])().detach()) for name in settings.truth}
    return Trajectories(states, layout, source=f"simulated {physical.model}"), values


def set_parameters(stepper: Stepper, values: Mapping[str, Any]) -> None:
    """Replace estimated parameters by known values, wherever the stepper uses them.

    values: by the names that `estimates` gives; numbers, or coefficients on a coarse grid, of a vector a grid each.
    """
    paths, layout = estimated(stepper), stepper.solver_layout
    for name, value in values.items():
        if name not in paths:
            have = f"the physical model's unknowns are {', '.join(paths)}" if paths else "no parameter is unknown"
            raise ValueError(f"data.truth: there is no unknown {name!r}; {have}.")
        old, tensor = stepper.get_submodule(paths[name]), torch.tensor(value, dtype=torch.get_default_dtype())
        is_field = tensor.ndim == layout.dims and tuple(tensor.shape) != tuple(old().shape)
        if not is_field and tensor.ndim and tensor.shape != old().shape:
            raise ValueError(
                f"data.truth.{name} has shape {tuple(tensor.shape)}, the unknown {tuple(old().shape)}; give one "
                f"number, numbers of that shape, or coefficients along {layout.dims} axes."
            )
        numbers = old.coefficients if isinstance(old, CoarseField) else old
        if isinstance(numbers, Elementwise) and not bool(((tensor > numbers.lower) & (tensor < numbers.upper)).all()):
            raise ValueError(
                f"data.truth.{name} is {value}, which the unknown cannot be: it lies between {numbers.lower} and "
                f"{numbers.upper}; change one of them."
            )
        new: Parameter = CoarseField(Known(tensor), layout) if is_field else Known(tensor)
        if tensor.ndim == layout.dims + 1 and tuple(tensor.shape) != tuple(old().shape):
            new = Vector(*(CoarseField(Known(component), layout) for component in tensor))
        places = [path for path, present in stepper.named_modules(remove_duplicate=False) if present is old]
        for parent, _, leaf in (path.rpartition(".") for path in places):
            setattr(stepper.get_submodule(parent), leaf, new)


def _initial(settings: Simulated, layout: Layout, count: int, generator: torch.Generator) -> Float[Tensor, "N C *S"]:
    draw = sampler.find(settings.starts.kind)
    given = {setting.name: getattr(settings.starts, setting.name) for setting in sampler.settings(draw)}
    # Of each channel.
    sizes = [(field.mean, field.amplitude) for field in settings.fields for _ in range(field.components)]
    means, amplitudes = zip(*sizes, strict=True)
    supplied = {"modes": settings.modes, "means": means, "amplitudes": amplitudes}
    given |= {name: value for name, value in supplied.items() if sampler.takes(draw, name)}
    states: Tensor = draw(layout, count, generator, **given)
    layout.require_state(tuple(states.shape))
    return states
