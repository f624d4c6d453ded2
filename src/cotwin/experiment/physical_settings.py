"""The settings of each simulator; `simulators.py` builds them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cotwin.experiment.learner_settings import Count, LearnerSettings, PositiveFloat, Settings, Unknown

Substeps = Annotated[
    int | None, Field(ge=1, description="null: twice as many as seem stable on the training data at the start")
]
Box = tuple[tuple[float, float], tuple[float, float]]


class Rollout(Settings):
    """How rollouts are computed; their numbers are the same, to rounding."""

    checkpoint: Count | Literal["sqrt"] | None = Field(
        None,
        description="steps between the states that are kept for the gradient, those between being computed again: "
        "less memory, one more rollout forward; sqrt: the square root of a window's steps",
    )
    compile: bool = Field(
        False, description="by torch.compile, for finite volumes: faster steps after seconds to a minute of compiling"
    )


class PhysicalSettings(LearnerSettings):
    """How a simulator trains and is rolled out."""

    rollout: Rollout = Rollout()
    refine: Count = Field(
        1, description="points of the solver's grid for each of the data, along each axis: for data on a coarse grid"
    )


class Burgers(PhysicalSettings):
    """Finite volumes; periodic or Dirichlet."""

    model: Literal["burgers"]
    viscosity: Unknown
    max_speed: PositiveFloat | None = Field(
        None, description="largest |u| to expect; if not given 1.5 times that of the training data"
    )


class SpectralBurgers(PhysicalSettings):
    """Pseudo-spectral; periodic."""

    model: Literal["spectral_burgers"]
    viscosity: Unknown
    substeps: Substeps = 3


class Heat(PhysicalSettings):
    """Finite volumes, any stiffness; periodic, Dirichlet or Neumann."""

    model: Literal["heat"]
    diffusivity: Unknown


class Advection(PhysicalSettings):
    """Exact; periodic."""

    model: Literal["advection"]
    velocity: tuple[Unknown, ...] = Field(description="one for each axis")
    diffusivity: Unknown | None = None


class AdvectionDiffusion(PhysicalSettings):
    """Finite volumes, any stiffness; periodic, Dirichlet or Neumann."""

    model: Literal["advection_diffusion"]
    velocity: tuple[Unknown, ...] = Field(description="one for each axis")
    diffusivity: Unknown
    substeps: Count | None = Field(None, description="if not given as many as the velocity needs")


class InviscidBurgers(PhysicalSettings):
    """Shock-capturing finite volumes, forced by a potential; periodic."""

    model: Literal["inviscid_burgers"]
    potential: Unknown | None = Field(None, description="a field, of which the mean is taken out")
    max_speed: PositiveFloat | None = Field(
        None, description="largest |u| to expect; if not given 1.5 times that of the training data"
    )


class KortewegDeVries(PhysicalSettings):
    """Pseudo-spectral; periodic."""

    model: Literal["korteweg_de_vries"]
    steepening: Unknown
    dispersion: Unknown
    substeps: Substeps = 4


class KuramotoSivashinsky(PhysicalSettings):
    """Pseudo-spectral; periodic."""

    model: Literal["kuramoto_sivashinsky"]
    steepening: Unknown
    production: Unknown
    hyperviscosity: Unknown
    substeps: Substeps = 2


class AllenCahn(PhysicalSettings):
    """Pseudo-spectral; periodic."""

    model: Literal["allen_cahn"]
    diffusivity: Unknown
    reaction: Unknown
    substeps: Substeps = 1


class Fisher(PhysicalSettings):
    """Logistic growth and diffusion, D (u/K)^m; finite volumes, any boundary."""

    model: Literal["fisher"]
    diffusivity: Unknown
    growth: Unknown
    capacity: Unknown
    exponent: Unknown | None = Field(None, description="m, of the porous form; without it D is constant")
    ceiling: PositiveFloat | None = Field(
        None, description="largest density to expect; if not given 1.5 times that of the training data"
    )
    substeps: Count = 1


class GrayScott(PhysicalSettings):
    """Finite volumes, any boundary."""

    model: Literal["gray_scott"]
    diffusivity_u: Unknown
    diffusivity_v: Unknown
    feed: Unknown
    kill: Unknown
    substeps: Count = 1


class SpectralGrayScott(GrayScott):
    """Pseudo-spectral; periodic."""

    model: Literal["spectral_gray_scott"]  # type: ignore[assignment]
    substeps: Substeps = 1  # type: ignore[assignment]


class NavierStokes(PhysicalSettings):
    """Vorticity, pseudo-spectral; periodic, two dimensions."""

    model: Literal["navier_stokes"]
    viscosity: Unknown
    drag: Unknown | None = None
    forcing: Unknown | None = Field(None, description="amplitude of a Kolmogorov force; with wavenumber")
    wavenumber: Unknown | None = Field(None, description="periods of the force along y")
    substeps: Substeps = 1


class IncompressibleFlow(PhysicalSettings):
    """Staggered; periodic, walls, one open axis; two dimensions."""

    model: Literal["incompressible_flow"]
    viscosity: Unknown
    max_speed: PositiveFloat = Field(description="largest |u| of one component to expect")
    slip: bool = Field(False, description="walls without friction")


class Smoke(IncompressibleFlow):
    """The same with smoke that it carries and that drives it upwards, along the second axis."""

    model: Literal["smoke"]  # type: ignore[assignment]
    buoyancy: Unknown
    inflow: Unknown | None = Field(None, description="smoke per time inside inflow_box")
    inflow_box: Box | None = Field(None, description="where smoke enters: its ends along both axes")
    diffusivity: Unknown | None = None


class LinearShallowWater(PhysicalSettings):
    """Finite volumes; periodic or walls."""

    model: Literal["linear_shallow_water"]
    gravity: Unknown
    depth: Unknown
    drag: Unknown | None = None
    max_speed: PositiveFloat = Field(description="above √(gravity · depth) for all that is tried")


class ShallowWater(PhysicalSettings):
    """Shock-capturing finite volumes; periodic or walls."""

    model: Literal["shallow_water"]
    gravity: Unknown
    drag: Unknown | None = None
    max_speed: PositiveFloat = Field(description="largest |u| + √(gravity · depth) to expect")


class PhiFlowBurgers(PhysicalSettings):
    """2-D, on PhiFlow's fields; needs the extra: pip install "cotwin[phiflow]"."""

    model: Literal["phiflow_burgers"]
    viscosity: Unknown
    substeps: Count = 1


class Obstacle(Settings):
    """A disc that the flow goes around."""

    centre: tuple[float, float]
    radius: PositiveFloat


class PhiFlowSmoke(PhysicalSettings):
    """In a closed box with an obstacle, on PhiFlow's fields; needs the extra: pip install "cotwin[phiflow]"."""

    model: Literal["phiflow_smoke"]
    viscosity: Unknown
    buoyancy: Unknown
    inflow: Unknown = Field(description="smoke per time inside inflow_box")
    inflow_box: Box = Field(description="where smoke enters: its ends along both axes")
    obstacle: Obstacle
    substeps: Count = 1
    tolerance: PositiveFloat = Field(1e-5, description="of the pressure's solve")


class OwnModel(PhysicalSettings):
    """What a function of yours returns, in torch, JAX, PhiFlow or any program (docs/adapters.md)."""

    model: Literal["python"]
    build: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] = Field(
        description='as "package.module:function", which takes the layout and the parameters and returns a Stepper'
    )
    parameters: dict[str, Unknown] = Field({}, description="unknowns by the names that the function gives them")


Physical = Annotated[
    Burgers
    | SpectralBurgers
    | InviscidBurgers
    | Heat
    | Advection
    | AdvectionDiffusion
    | KortewegDeVries
    | KuramotoSivashinsky
    | AllenCahn
    | Fisher
    | GrayScott
    | SpectralGrayScott
    | NavierStokes
    | IncompressibleFlow
    | Smoke
    | LinearShallowWater
    | ShallowWater
    | PhiFlowBurgers
    | PhiFlowSmoke
    | OwnModel,
    Field(discriminator="model"),
]
