"""Every setting of an experiment, typed, with its default, its range and what it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cotwin.layout import Boundary

PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Data


class SimulatedBurgers(Settings):
    """Noisy trajectories of 1-D Burgers with a viscosity field, from an independent solver."""

    kind: Literal["simulated_burgers"]
    points: Annotated[int, Field(ge=16, le=1024)] = 128
    dt: PositiveFloat = 0.05
    num_steps: Count = 50
    viscosity_mean: PositiveFloat = 0.1
    viscosity_contrast: Annotated[float, Field(ge=0, le=2)] = 0.5
    refine: Count = Field(4, description="cells of the truth's solver for each point of the data")
    train: Count = Field(2, description="noisy training trajectories")
    validation: Count = Field(1, description="noisy held-out trajectories")
    test: Count = Field(16, description="clean test trajectories from other initial states")
    noise: Annotated[float, Field(ge=0, lt=1)] = Field(0.02, description="relative to the states' deviation")


class SimulatedField(Settings):
    """A field of simulated data, and its initial states: smooth and random around a mean."""

    name: str
    components: Annotated[int, Field(ge=1, le=3)] = 1
    unit: str = "1"
    mean: float = 0.0
    amplitude: Annotated[float, Field(ge=0)] = Field(1.0, description="root mean square around the mean")


class Simulated(Settings):
    """Noisy trajectories of the physical model itself, at parameters that it does not know, on a finer grid."""

    kind: Literal["simulated"]
    fields: tuple[SimulatedField, ...]
    grid: tuple[Annotated[int, Field(ge=4)], ...]
    extent: tuple[tuple[float, float], ...]
    boundary: Boundary | tuple[Boundary, ...] = "periodic"
    dt: PositiveFloat
    num_steps: Count
    truth: dict[str, Any] = Field(
        description="true values by the names that the table of estimates shows: numbers, or lists of coefficients"
    )
    refine: Count = Field(2, description="cells of the truth's solver for each one of the data")
    modes: Count = Field(3, description="waves of the initial states along each axis")
    train: Count = Field(2, description="noisy training trajectories")
    validation: Count = Field(1, description="noisy held-out trajectories")
    test: Count = Field(8, description="clean test trajectories from other initial states")
    noise: Annotated[float, Field(ge=0, lt=1)] = Field(0.01, description="relative to the states' deviation")


class FileData(Settings):
    """Trajectories of yours, in npz or in HDF5 of The Well's layout (docs/data.md)."""

    kind: Literal["file"]
    path: str
    fields: tuple[str, ...] | None = Field(None, description="which to read; all if not given")
    boundary: Boundary | tuple[Boundary, ...] | None = Field(None, description="where the file does not say")
    extent: tuple[tuple[float, float], ...] | None = Field(None, description="of the domain, for each axis")
    missing: Literal["error", "mask"] = Field("error", description="what to do with values that are not finite")
    validation: Count = Field(1, description="held-out trajectories; of a single one the last part in time")
    test: Annotated[int, Field(ge=0)] = Field(0, description="further trajectories, looked at once, at the end")
    held_out_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(0.2, description="of a single trajectory, in time")

    @model_validator(mode="after")
    def _path_given(self) -> FileData:
        if self.path == "???":
            raise ValueError("path is left open; say which file with data.path=FILE")
        return self


Data = Annotated[SimulatedBurgers | Simulated | FileData, Field(discriminator="kind")]

# Unknowns and physical models


class Unknown(Settings):
    """A parameter to estimate: positive, or bounded; scalar, or a field of coefficients on a coarse grid."""

    initial: float
    bounds: tuple[float, float] | None = Field(
        None, description="without them it is positive, learned by its logarithm"
    )
    grid: tuple[int, ...] | None = Field(None, description="of coefficients, for a field; without it a scalar")
    unit: str = "1"
    fixed: bool = Field(False, description="hold it at initial: a known constant")

    @model_validator(mode="after")
    def _inside(self) -> Unknown:
        if self.fixed:
            return self
        if self.bounds is None and not self.initial > 0:
            raise ValueError(f"initial is {self.initial}; without bounds the parameter is positive")
        if self.bounds is not None and not self.bounds[0] < self.initial < self.bounds[1]:
            raise ValueError(f"initial is {self.initial}, not strictly inside the bounds {list(self.bounds)}")
        return self


class Adam(Settings):
    """Adaptive moments, on batches."""

    kind: Literal["adam"]
    lr: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    clip: PositiveFloat | None = Field(1.0, description="largest norm of the gradient")


class LBFGS(Settings):
    """Quasi-Newton with strong Wolfe line search: for few unknowns, and batches of all windows."""

    kind: Literal["lbfgs"]
    lr: PositiveFloat = 1.0
    history: Count = 20
    clip: None = None
    schedule: Literal["constant"] = "constant"


Optimizer = Annotated[Adam | LBFGS, Field(discriminator="kind")]


class LearnerSettings(Settings):
    """How one of the two models trains."""

    window: Annotated[int, Field(ge=1)] | Literal["full"] = Field(
        4, description="steps of a training window; full: as long as the trajectories"
    )
    stride: Count = Field(1, description="frames between the starts of successive windows")
    batch_size: Count = 32
    optimizer: Optimizer
    warmup_steps: Annotated[int, Field(ge=0)] = Field(description="optimiser steps on real data alone, at first")
    steps: Count = Field(description="optimiser steps in each cycle")
    validate_every: Count = Field(50, description="optimiser steps between looks at the held-out data")
    starts: Literal["real", "perturbed", "simulated"] = Field(
        "real", description="where the windows begin that the other model generates for this one"
    )


class Burgers(LearnerSettings):
    """Finite volumes; periodic or Dirichlet."""

    model: Literal["burgers"]
    viscosity: Unknown
    max_speed: PositiveFloat | None = Field(
        None, description="largest |u| to expect; if not given 1.5 times that of the training data"
    )


class SpectralBurgers(LearnerSettings):
    """Pseudo-spectral; periodic."""

    model: Literal["spectral_burgers"]
    viscosity: Unknown
    substeps: Count = Field(3, description="of the solver in each data interval")
    refine: Count = Field(1, description="points of the solver's grid for each point of the data")


class Heat(LearnerSettings):
    """Finite volumes, any stiffness; periodic, Dirichlet or Neumann."""

    model: Literal["heat"]
    diffusivity: Unknown


class Advection(LearnerSettings):
    """Exact; periodic."""

    model: Literal["advection"]
    velocity: tuple[Unknown, ...] = Field(description="one for each axis")
    diffusivity: Unknown | None = None


class AdvectionDiffusion(LearnerSettings):
    """Finite volumes, any stiffness; periodic, Dirichlet or Neumann."""

    model: Literal["advection_diffusion"]
    velocity: tuple[Unknown, ...] = Field(description="one for each axis")
    diffusivity: Unknown
    substeps: Count | None = Field(None, description="if not given as many as the velocity needs")


class InviscidBurgers(LearnerSettings):
    """Shock-capturing finite volumes, forced by a potential; periodic."""

    model: Literal["inviscid_burgers"]
    potential: Unknown | None = Field(None, description="a field, of which the mean is taken out")
    max_speed: PositiveFloat | None = Field(
        None, description="largest |u| to expect; if not given 1.5 times that of the training data"
    )


class KortewegDeVries(LearnerSettings):
    """Pseudo-spectral; periodic."""

    model: Literal["korteweg_de_vries"]
    steepening: Unknown
    dispersion: Unknown
    substeps: Count = 4


class KuramotoSivashinsky(LearnerSettings):
    """Pseudo-spectral; periodic."""

    model: Literal["kuramoto_sivashinsky"]
    steepening: Unknown
    production: Unknown
    hyperviscosity: Unknown
    substeps: Count = 2


class AllenCahn(LearnerSettings):
    """Pseudo-spectral; periodic."""

    model: Literal["allen_cahn"]
    diffusivity: Unknown
    reaction: Unknown
    substeps: Count = 1


class Fisher(LearnerSettings):
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


class GrayScott(LearnerSettings):
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


class NavierStokes(LearnerSettings):
    """Vorticity, pseudo-spectral; periodic, two dimensions."""

    model: Literal["navier_stokes"]
    viscosity: Unknown
    drag: Unknown | None = None
    forcing: Unknown | None = Field(None, description="amplitude of a Kolmogorov force; with wavenumber")
    wavenumber: Unknown | None = Field(None, description="periods of the force along y")
    substeps: Count = 1


class IncompressibleFlow(LearnerSettings):
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
    inflow_box: tuple[tuple[float, float], tuple[float, float]] | None = Field(
        None, description="where smoke enters: its ends along both axes"
    )
    diffusivity: Unknown | None = None


class LinearShallowWater(LearnerSettings):
    """Finite volumes; periodic or walls."""

    model: Literal["linear_shallow_water"]
    gravity: Unknown
    depth: Unknown
    drag: Unknown | None = None
    max_speed: PositiveFloat = Field(description="above √(gravity · depth) for all that is tried")


class ShallowWater(LearnerSettings):
    """Shock-capturing finite volumes; periodic or walls."""

    model: Literal["shallow_water"]
    gravity: Unknown
    drag: Unknown | None = None
    max_speed: PositiveFloat = Field(description="largest |u| + √(gravity · depth) to expect")


class PhiFlowBurgers(LearnerSettings):
    """2-D, on PhiFlow's fields; needs the extra: pip install "cotwin[phiflow]"."""

    model: Literal["phiflow_burgers"]
    viscosity: Unknown


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
    | PhiFlowBurgers,
    Field(discriminator="model"),
]

# Synthetic models


class NetworkSettings(LearnerSettings):
    positions: bool = Field(True, description="give the network the coordinates; without, it treats all places alike")


class ResidualConvNet(NetworkSettings):
    """Residual blocks of dilated convolutions."""

    network: Literal["resnet"]
    width: Count = 32
    depth: Count = 4
    kernel_size: Count = Field(5, description="odd; 3 is cheaper in two dimensions")


class UNet(NetworkSettings):
    """Coarser and coarser grids and back."""

    network: Literal["unet"]
    width: Count = 16
    levels: Count = 3


Synthetic = Annotated[ResidualConvNet | UNet, Field(discriminator="network")]

# Training


class FixedAlpha(Settings):
    """The same influence always."""

    kind: Literal["fixed"]
    value: Annotated[float, Field(ge=0)]


class LinearAlpha(Settings):
    """From the first cycle to the last."""

    kind: Literal["linear"]
    first: Annotated[float, Field(ge=0)]
    last: Annotated[float, Field(ge=0)]


class GatedAlpha(Settings):
    """A teacher that is no better than its learner on held-out real data does not teach."""

    kind: Literal["auto"]
    cap: PositiveFloat = Field(2.0, description="influence of a perfect teacher")


Alpha = Annotated[FixedAlpha | LinearAlpha | GatedAlpha, Field(discriminator="kind")]
Role = Literal["physical", "synthetic"]


class Hybrid(Settings):
    """The cycle."""

    cycles: Count = 6
    alpha: Alpha
    generated_per_real: PositiveFloat | None = Field(
        None, description="generated windows for each real one; if not given alpha"
    )
    fresh_starts: bool = Field(
        False, description="generate from new starts in every epoch; placement is then on_the_fly"
    )
    order: tuple[Role, Role] = Field(("synthetic", "physical"), description="which model learns first")

    @model_validator(mode="after")
    def _both(self) -> Hybrid:
        if self.order[0] == self.order[1]:
            raise ValueError(f"order is {list(self.order)}; it names each of physical and synthetic once")
        return self


class Store(Settings):
    """Where generated data are kept."""

    memory_budget_gb: PositiveFloat | Literal["auto"] = Field(
        2.0,
        description="most memory for generated data; auto: a quarter of what there is, at most half of what is free",
    )
    disk_budget_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"] = Field(
        "auto",
        description="most disk for generated data; auto: 20 times the memory budget, or half of the free disk",
    )
    placement: Literal["memory", "cache", "on_the_fly"] | None = Field(
        None, description="if not given the budgets decide"
    )
    verify: bool = Field(False, description="compare checksums of every set, not only of other processes' sets")
    cache_dir: str = Field(".cotwin/cache", description="made by Cotwin; refused if somebody else made it")


class Experiment(Settings):
    """Everything that decides a run's numbers."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Count | None = Field(None, description="of torch; if not given as many as it likes")
    device: str = "cpu"
    data: Data
    physical: Physical
    synthetic: Synthetic
    hybrid: Hybrid
    store: Store = Store()

    @model_validator(mode="after")
    def _fresh_starts_are_not_kept(self) -> Experiment:
        if self.hybrid.fresh_starts and self.store.placement in ("memory", "cache"):
            raise ValueError(
                f"store.placement is {self.store.placement!r}, which keeps windows over epochs, while "
                "hybrid.fresh_starts draws new ones in each; leave the placement open, or fresh_starts off"
            )
        return self
