"""Any number of species that are carried, diffuse and react by any rate law."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls, as_vector
from cotwin.physics.channels import by_channel
from cotwin.physics.function import NamedStepper, described
from cotwin.physics.rate_laws import Rate
from cotwin.physics.time_steps import CellMap
from cotwin.physics.transport import TransportStepper
from cotwin.registry import Count, PositiveFloat, rate_law, simulator


class AdvectionDiffusionReaction(TransportStepper, NamedStepper):
    """∂u_i/∂t + ∇·(c u_i) = ∇·(D_i ∇u_i) + R_i(u, p) + f_i, 1 to 3 dimensions, any boundary, any number of species.

    u: concentrations, the moving channels in their order.
    rate: R, a function of u (B, M, *S) and of the parameters' values by name, in the unit of u over time.
    diffusivities: D in length²/time, one for each species or one for all, scalars or fields; zero for what stays.
    parameters: p, by the names under which the rate law asks for them; scalars or fields.
    velocity: c in length/time, one for each axis, numbers or fields; None for none.
    fastest_reaction: the fastest rate at which reactions relax, 1/time. Given, never measured: stages that followed
    the states would make samples of a batch influence each other. Without it stages are taken for diffusion alone.
    substeps: steps per layout.dt; None for the fewest that are stable for the velocity.
    source: f in the unit of u over time, one for each species, numbers or fields.
    walls: what stands at the ends of the axes (`physics.walls`); without, zero.
    obstacle: the name of a static field, one in solid cells, which nothing passes; zero in others.
    Scheme: finite volumes, second order in space and in dt (`physics.transport`), the reactions explicit in each
    stage of RKL2. So a reaction that grows or swings at a rate r needs substeps below about 1/r. Concentrations are
    not kept positive: where steps are too long for a fast reaction, or cells too wide for a front, they undershoot.
    """

    def __init__(
        self,
        layout: Layout,
        rate: Rate,
        diffusivities: Parameter | tuple[Parameter, ...],
        parameters: Mapping[str, Parameter],
        velocity: Parameter | tuple[Parameter, ...] | None = None,
        fastest_reaction: PositiveFloat | None = None,
        substeps: Count | None = None,
        source: Parameter | tuple[Parameter, ...] | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        carried = None if velocity is None else as_vector(velocity)
        entering = None if source is None else as_vector(source)
        super().__init__(layout, carried, substeps, entering, walls, obstacle)
        self.rate, self.limit = rate, fastest_reaction or 0.0
        self.diffusivities = as_vector(diffusivities)
        moving, shape = layout.static_channels.count(False), tuple(self.diffusivities().shape)
        fitting = [(count, *space) for count in {1, moving} for space in ((), layout.grid)]
        if shape not in fitting:
            raise ValueError(
                f"diffusivities of shape {shape} for {moving} species: give one for each, or one for all; numbers "
                f"or fields on the grid {layout.grid}."
            )
        self.name_parameters(parameters)
        _require_rate(rate, torch.ones(1, moving, *layout.grid), self.parameter_values())

    def spreading(self) -> Float[Tensor, "*M F"]:
        return by_channel(self.diffusivities().unbind(), self.layout.dims)

    def reaction(self, like: Float[Tensor, "B M *S"], interval: float) -> CellMap:
        values = {name: value.to(like.dtype) for name, value in self.parameter_values().items()}
        return lambda cells: interval * self.rate(cells, values)

    def fastest_reaction(self) -> float:
        return self.limit

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        return super().remedy(before) or (
            "Reactions faster than 1/substep need more substeps; those that relax at a known rate, fastest_reaction."
        )

    def extra_repr(self) -> str:
        return described(self.rate)


@simulator("advection_diffusion_reaction")
def advection_diffusion_reaction(
    layout: Layout,
    rate: str,
    diffusivities: tuple[Parameter, ...],
    parameters: dict[str, Parameter],
    velocity: Parameter | tuple[Parameter, ...] | None = None,
    fastest_reaction: PositiveFloat | None = None,
    substeps: Count | None = None,
    source: Parameter | tuple[Parameter, ...] | None = None,
    walls: Walls | None = None,
    obstacle: str | None = None,
) -> AdvectionDiffusionReaction:
    """∂u_i/∂t + ∇·(c u_i) = ∇·(D_i ∇u_i) + R_i(u, p) + f_i, any rate law R, any number of species.

    rate: brusselator, fitzhugh_nagumo, lotka_volterra, or one of your own, as package.module:function.
    diffusivities: D in length²/time, one for each species, or one for all.
    parameters: those of the rate law, by their names there.
    """
    law = rate_law.find(rate)
    return AdvectionDiffusionReaction(
        layout, law, diffusivities, parameters, velocity, fastest_reaction, substeps, source, walls, obstacle
    )


def _require_rate(rate: Rate, states: Float[Tensor, "1 M *S"], values: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless the law knows its parameters and returns a rate for each species."""
    try:
        with torch.no_grad():
            found = rate(states, {name: value.to(states.dtype) for name, value in values.items()})
    except KeyError as error:
        known = ", ".join(values) or "none"
        raise ValueError(
            f"{described(rate)} asks for the parameter {error}; those that it is given are {known}."
        ) from error
    if not isinstance(found, Tensor) or found.shape != states.shape:
        what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"{described(rate)} returned {what} for states {tuple(states.shape)}; it must return a rate for each "
            "species in each cell, in the same shape."
        )
