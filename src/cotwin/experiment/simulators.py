"""From settings to simulators, with their unknowns at their initial values."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cotwin import physics
from cotwin.experiment import physical_settings as s
from cotwin.experiment.learner_settings import Unknown
from cotwin.experiment.own_model import build_own
from cotwin.layout import Layout
from cotwin.parameters import Bounded, CoarseField, Known, Parameter, Positive, ZeroMean
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.physics.spectral import SpectralStepper
from cotwin.rollouts import Checkpointed, Compiled, Refined
from cotwin.stepper import Stepper


def settled(settings: s.Physical, layout: Layout, states: Tensor) -> s.Physical:
    """The settings with what the training data decide filled in: from these the simulator is built without data."""
    found: dict[str, float] = {}
    for name in type(settings).model_fields.keys() & {"max_speed", "ceiling"}:
        if getattr(settings, name) is None:
            found[name] = _largest(states)
    if getattr(settings, "substeps", 1) is None:
        model = _model(settings, layout.refined(settings.refine), layout, states)
        if isinstance(model, SpectralStepper):
            found["substeps"] = model.substeps
    return settings.model_copy(update=found)


def build_physical(settings: s.Physical, layout: Layout, states: Tensor | None = None) -> Stepper:
    """The simulator. states: of the training data; of no use to settings that are `settled`."""
    stepper = _rolled_out(_model(settings, layout.refined(settings.refine), layout, states), settings.rollout)
    return _seen(stepper, layout, settings.refine)


def _seen(stepper: Stepper, layout: Layout, refine: int) -> Stepper:
    """On the grid of the data."""
    return stepper if refine == 1 else Refined(stepper, layout, refine)


def _rolled_out(stepper: Stepper, settings: s.Rollout) -> Stepper:
    if settings.compile:
        if not isinstance(stepper, FiniteVolumeStepper):
            raise ValueError(
                f"rollout.compile is for finite volumes, whose stencils gain by it; {type(stepper).__name__} is made "
                "otherwise: leave it false."
            )
        stepper = Compiled(stepper)
    if settings.checkpoint is None:
        return stepper
    return Checkpointed(stepper, None if settings.checkpoint == "sqrt" else settings.checkpoint)


def _largest(states: Tensor | None) -> float:
    return math.nan if states is None else 1.5 * float(states.nan_to_num().abs().max())


def _model(settings: s.Physical, layout: Layout, seen: Layout, states: Tensor | None) -> Stepper:
    """On the layout of the solver. seen: that of the states."""
    largest = _largest(states)

    def unknown(of: Unknown) -> Parameter:
        return _unknown(of, layout)

    def perhaps(of: Unknown | None) -> Parameter | None:
        return None if of is None else unknown(of)

    def substepped(substeps: int | None, make: Callable[[int], SpectralStepper]) -> SpectralStepper:
        if substeps is not None:
            return make(substeps)
        assert states is not None, "not settled"
        return make(stable_substeps(_seen(make(1), seen, settings.refine), states))

    match settings:
        case s.SpectralBurgers():
            viscosity = unknown(settings.viscosity)
            return substepped(settings.substeps, lambda n: physics.SpectralBurgers(layout, viscosity, n))
        case s.Burgers():
            return physics.Burgers(layout, unknown(settings.viscosity), settings.max_speed or largest)
        case s.InviscidBurgers():
            potential = perhaps(settings.potential)
            free = None if potential is None else ZeroMean(potential)
            return physics.InviscidBurgers(layout, settings.max_speed or largest, free)
        case s.Heat():
            return physics.Heat(layout, unknown(settings.diffusivity))
        case s.Advection():
            return physics.Advection(layout, _vector(settings.velocity, layout), perhaps(settings.diffusivity))
        case s.AdvectionDiffusion():
            velocity, diffusivity = _vector(settings.velocity, layout), unknown(settings.diffusivity)
            return physics.AdvectionDiffusion(layout, velocity, diffusivity, settings.substeps)
        case s.KortewegDeVries():
            coefficients = unknown(settings.steepening), unknown(settings.dispersion)
            return substepped(settings.substeps, lambda n: physics.KortewegDeVries(layout, *coefficients, n))
        case s.KuramotoSivashinsky():
            terms = unknown(settings.steepening), unknown(settings.production), unknown(settings.hyperviscosity)
            return substepped(settings.substeps, lambda n: physics.KuramotoSivashinsky(layout, *terms, n))
        case s.AllenCahn():
            rates = unknown(settings.diffusivity), unknown(settings.reaction)
            return substepped(settings.substeps, lambda n: physics.AllenCahn(layout, *rates, n))
        case s.Fisher():
            capacity, diffusivity = unknown(settings.capacity), unknown(settings.diffusivity)
            mobility: physics.Closure = physics.Constant(diffusivity)
            if settings.exponent is not None:
                mobility = physics.Power(diffusivity, capacity, unknown(settings.exponent))
            growth = physics.Logistic(unknown(settings.growth), capacity)
            return physics.Fisher(layout, mobility, growth, settings.ceiling or largest, settings.substeps)
        case s.GrayScott():
            four = (
                unknown(settings.diffusivity_u),
                unknown(settings.diffusivity_v),
                unknown(settings.feed),
                unknown(settings.kill),
            )
            if isinstance(settings, s.SpectralGrayScott):
                return substepped(settings.substeps, lambda n: physics.SpectralGrayScott(layout, *four, n))
            return physics.GrayScott(layout, *four, settings.substeps)
        case s.NavierStokes():
            viscous, drag = unknown(settings.viscosity), perhaps(settings.drag)
            force = perhaps(settings.forcing), perhaps(settings.wavenumber)
            return substepped(settings.substeps, lambda n: physics.NavierStokes(layout, viscous, drag, *force, n))
        case s.Smoke():
            return physics.Smoke(
                layout,
                unknown(settings.viscosity),
                unknown(settings.buoyancy),
                settings.max_speed,
                perhaps(settings.inflow),
                None if settings.inflow_box is None else _box(settings.inflow_box, layout),
                perhaps(settings.diffusivity),
                settings.slip,
            )
        case s.IncompressibleFlow():
            return physics.IncompressibleFlow(
                layout, unknown(settings.viscosity), settings.max_speed, slip=settings.slip
            )
        case s.LinearShallowWater():
            waves = unknown(settings.gravity), unknown(settings.depth)
            return physics.LinearShallowWater(layout, *waves, settings.max_speed, perhaps(settings.drag))
        case s.ShallowWater():
            return physics.ShallowWater(layout, unknown(settings.gravity), settings.max_speed, perhaps(settings.drag))
        case s.OwnModel():
            return build_own(settings.build, layout, {name: unknown(of) for name, of in settings.parameters.items()})
        case s.PhiFlowBurgers():
            from cotwin.physics.phiflow.burgers import PhiFlowBurgers

            return PhiFlowBurgers(layout, unknown(settings.viscosity), substeps=settings.substeps)
        case s.PhiFlowSmoke():
            from cotwin.physics.phiflow.smoke import PhiFlowSmoke, box, disc

            return PhiFlowSmoke(
                layout,
                unknown(settings.viscosity),
                unknown(settings.buoyancy),
                unknown(settings.inflow),
                box(settings.inflow_box),
                disc(settings.obstacle.centre, settings.obstacle.radius),
                substeps=settings.substeps,
                tolerance=settings.tolerance,
            )


def stable_substeps(stepper: Stepper, states: Tensor) -> int:
    """Twice as many substeps as are stable, about, at a few of the training data's states: parameters will change."""
    layout = stepper.layout
    every = states.nan_to_num().reshape(-1, *states.shape[-1 - layout.dims :])
    few = every[:: max(1, len(every) // 8)]
    return math.ceil(2 * layout.dt / stepper.largest_stable_step(few))


def _unknown(settings: Unknown, layout: Layout) -> Parameter:
    if settings.grid is None:
        return _leaf(settings, settings.initial)
    if len(settings.grid) != layout.dims:
        raise ValueError(
            f"grid {list(settings.grid)} of the parameter needs one number for each of the {layout.dims} axes."
        )
    return CoarseField(_leaf(settings, torch.full(settings.grid, settings.initial)), layout)


def _box(ends: s.Box, layout: Layout) -> Tensor:
    """One inside a box, zero outside, on the grid."""
    inside = torch.ones(layout.grid)
    for axis, (low, high) in enumerate(ends):
        points = torch.tensor(layout.points(axis))
        within = ((points >= low) & (points <= high)).float()
        inside = inside * within.view([-1, *[1] * (layout.dims - 1 - axis)])
    return inside


def _vector(components: tuple[Unknown, ...], layout: Layout) -> Parameter:
    if len(components) != layout.dims or len({(c.bounds, c.unit, c.fixed) for c in components}) != 1:
        raise ValueError(f"velocity needs {layout.dims} components, all with the same bounds and unit.")
    return _leaf(components[0], torch.tensor([c.initial for c in components]))


def _leaf(settings: Unknown, initial: float | torch.Tensor) -> Parameter:
    if settings.fixed:
        return Known(initial, unit=settings.unit)
    if settings.bounds is None:
        return Positive(initial, unit=settings.unit)
    return Bounded(initial, *settings.bounds, unit=settings.unit)
