"""Every setting of an experiment, typed, with its default, its range and what it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cotwin.experiment.estimation_settings import Estimation
from cotwin.experiment.learner_settings import Count, LearnerSettings, PositiveFloat, Settings
from cotwin.experiment.physical_settings import Physical
from cotwin.experiment.prior_settings import Prior
from cotwin.experiment.start_settings import ColonyStarts, DataStarts, PatchStarts, SmoothStarts
from cotwin.layout import Boundary

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
    """A field of simulated data, and of smooth starts its mean and amplitude."""

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
    starts: DataStarts = SmoothStarts(kind="smooth")
    modes: Count = Field(3, description="waves along each axis, of smooth starts and of flows")
    train: Count = Field(2, description="noisy training trajectories")
    validation: Count = Field(1, description="noisy held-out trajectories")
    test: Count = Field(8, description="clean test trajectories from other initial states")
    noise: Annotated[float, Field(ge=0, lt=1)] = Field(0.01, description="relative to the states' deviation")

    @model_validator(mode="after")
    def _nothing_said_in_vain(self) -> Simulated:
        kind = self.starts.kind
        if kind != "smooth" and any((field.mean, field.amplitude) != (0.0, 1.0) for field in self.fields):
            raise ValueError(
                f"mean and amplitude of fields are those of smooth starts, of no effect on {kind}; leave them "
                "out: starts has its own sizes"
            )
        if isinstance(self.starts, PatchStarts | ColonyStarts) and self.modes != 3:
            raise ValueError(f"modes is the number of waves, and {kind} have none; leave it out")
        return self


class FileData(Settings):
    """Trajectories of yours, in npz or in HDF5 of The Well's layout (docs/data.md)."""

    kind: Literal["file"]
    path: str
    fields: tuple[str, ...] | None = Field(None, description="which to read; all if not given")
    boundary: Boundary | tuple[Boundary, ...] | None = Field(None, description="where the file does not say")
    extent: tuple[tuple[float, float], ...] | None = Field(None, description="of the domain, for each axis")
    missing: Literal["error", "mask"] = Field("error", description="what to do with values that are not finite")
    axes: str | None = Field(
        None, description="order of the axes in an npz file's fields, such as xt; tx if not given"
    )
    precision: Literal["auto", "single", "double"] = Field(
        "auto", description="of states and models; auto: double where single would round off what changes in time"
    )
    validation: Count = Field(1, description="held-out trajectories; of a single one the last part in time")
    test: Annotated[int, Field(ge=0)] = Field(0, description="further trajectories, looked at once, at the end")
    held_out_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(0.2, description="of a single trajectory, in time")

    @model_validator(mode="after")
    def _path_given(self) -> FileData:
        if self.path == "???":
            raise ValueError("path is left open; say which file with data.path=FILE")
        return self


Data = Annotated[SimulatedBurgers | Simulated | FileData, Field(discriminator="kind")]

# Synthetic models


class NetworkSettings(LearnerSettings):
    positions: bool = Field(True, description="give the network the coordinates; without, it treats all places alike")

    @model_validator(mode="after")
    def _many_weights(self) -> NetworkSettings:
        if self.optimizer.kind == "levenberg_marquardt":
            raise ValueError(
                "optimizer.kind is levenberg_marquardt, for up to 300 unknowns of a simulator; a network has "
                "thousands of weights: choose adam"
            )
        return self


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


Influence = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class FixedAlpha(Settings):
    """The same influence always."""

    kind: Literal["fixed"]
    value: Influence


class LinearAlpha(Settings):
    """From the first cycle to the last."""

    kind: Literal["linear"]
    first: Influence
    last: Influence


class AutoAlpha(Settings):
    """A teacher that is no better than its learner on held-out real data does not teach."""

    kind: Literal["auto"]
    cap: PositiveFloat = Field(2.0, description="influence of a perfect teacher")


Alpha = Annotated[FixedAlpha | LinearAlpha | AutoAlpha, Field(discriminator="kind")]
Role = Literal["physical", "synthetic"]


class Hybrid(Settings):
    """The cycle."""

    cycles: Count = 6
    alpha: Alpha
    generated_per_real: PositiveFloat | None = Field(
        None,
        description="generated windows for each real one; default alpha; for lbfgs and levenberg_marquardt at most 1",
    )
    fresh_starts: bool = Field(
        False, description="generate from new starts in every epoch, for adam; placement is then on_the_fly"
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
    keep_generated: bool = Field(
        False, description="write generated windows beside the run too, as generated/CYCLE-LEARNER.npy, to look at"
    )
    cache_dir: str = Field(".cotwin/cache", description="made by Cotwin; refused if somebody else made it")


class Experiment(Settings):
    """Everything that decides a run's numbers."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Count | None = Field(None, description="of torch; if not given as many as it likes")
    device: str = "cpu"
    data: Data
    physical: Physical
    priors: dict[str, Prior] = Field(
        default_factory=dict,
        description="what is known of the simulator's unknowns beforehand, by their names in the table of estimates",
    )
    synthetic: Synthetic
    hybrid: Hybrid
    store: Store = Store()
    estimation: Estimation = Estimation()

    @model_validator(mode="after")
    def _fresh_starts_are_not_kept(self) -> Experiment:
        if self.hybrid.fresh_starts and self.store.placement in ("memory", "cache"):
            raise ValueError(
                f"store.placement is {self.store.placement!r}, which keeps windows over epochs, while "
                "hybrid.fresh_starts draws new ones in each; leave the placement open, or fresh_starts off"
            )
        return self
