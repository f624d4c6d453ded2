"""Every setting of an experiment, typed, with its default, its range and what it means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cotwin.data.assembling.times import NEAR
from cotwin.experiment.estimation_settings import Estimation
from cotwin.experiment.learner_settings import NetworkSettings, PhysicalSettings
from cotwin.experiment.parameter_settings import Unknown
from cotwin.experiment.prior_settings import Prior
from cotwin.layout import Boundary, Centring, Ends
from cotwin.registry import Count, PositiveFloat, Settings, sampler

MOST_SIMULATED = 2**31
"""Values in simulated data; beyond, a simulation by itself, whose result is read from a file, is the better way."""

Noise = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[int, Field(ge=1, le=64)]
Coefficients = float | list[float] | list[list[float]] | list[list[list[float]]]

# Data


class SimulatedBurgers(Settings):
    """Noisy trajectories of 1-D Burgers with a viscosity field, from an independent solver."""

    kind: Literal["simulated_burgers"]
    points: Annotated[int, Field(ge=16, le=1024)] = 128
    dt: PositiveFloat = 0.05
    num_steps: Count = 50
    viscosity_mean: PositiveFloat = 0.1
    viscosity_contrast: Annotated[float, Field(ge=0, le=2)] = 0.5
    refine: Factor = Field(4, description="cells of the truth's solver for each point of the data")
    train: Count = Field(2, description="noisy training trajectories")
    validation: Count = Field(1, description="noisy held-out trajectories")
    test: Count = Field(16, description="clean test trajectories from other initial states")
    noise: Noise = Field(0.02, description="relative to the states' deviation")

    @model_validator(mode="after")
    def _not_too_much(self) -> SimulatedBurgers:
        _require_size(self.train + self.validation + self.test, self.num_steps, 1, (self.points * self.refine,))
        return self


class SimulatedField(Settings):
    """A field of simulated data, and of smooth starts its mean and amplitude."""

    name: str
    components: Annotated[int, Field(ge=1, le=3)] = 1
    unit: str = "1"
    mean: float = 0.0
    amplitude: Annotated[float, Field(ge=0, le=1e30)] = Field(1.0, description="root mean square around the mean")


class Starts(Settings):
    """Initial states of simulated data; settings of each kind are made from its signature (`declared.py`)."""

    kind: str


class Simulated(Settings):
    """Noisy trajectories of the physical model itself, at parameters that it does not know, on a finer grid."""

    kind: Literal["simulated"]
    fields: tuple[SimulatedField, ...]
    grid: tuple[Annotated[int, Field(ge=4, le=1_000_000)], ...]
    extent: tuple[tuple[float, float], ...]
    boundary: Boundary | tuple[Ends, ...] = "periodic"
    points: Centring | tuple[Centring, ...] = Field("cells", description="or nodes, the outermost on the ends")
    dt: PositiveFloat
    num_steps: Count
    truth: dict[str, Coefficients] = Field(
        description="true values by the names that the table of estimates shows: numbers, or lists of coefficients"
    )
    refine: Factor = Field(2, description="cells of the truth's solver for each one of the data")
    starts: Starts = Starts(kind="smooth")
    modes: Count = Field(3, description="waves along each axis, of smooth starts and of flows")
    train: Count = Field(2, description="noisy training trajectories")
    validation: Count = Field(1, description="noisy held-out trajectories")
    test: Count = Field(8, description="clean test trajectories from other initial states")
    noise: Noise = Field(0.01, description="relative to the states' deviation")

    @model_validator(mode="after")
    def _nothing_said_in_vain(self) -> Simulated:
        kind = self.starts.kind
        draw = sampler.find(kind)
        sized = any((field.mean, field.amplitude) != (0.0, 1.0) for field in self.fields)
        if sized and not sampler.takes(draw, "means"):
            raise ValueError(
                f"mean and amplitude of fields are for smooth starts, and have no effect on {kind}; leave them "
                "out: data.starts has sizes of its own"
            )
        if self.modes != Simulated.model_fields["modes"].default and not sampler.takes(draw, "modes"):
            raise ValueError(f"modes is the number of waves, and {kind} have none; leave it out")
        return self

    @model_validator(mode="after")
    def _not_too_much(self) -> Simulated:
        channels = sum(field.components for field in self.fields)
        fine = [points * self.refine for points in self.grid]
        _require_size(self.train + self.validation + self.test, self.num_steps, channels, fine)
        if self.modes > max(fine, default=1):
            raise ValueError(f"modes is {self.modes}, more waves than the grid has points; choose fewer")
        return self


def _require_size(trajectories: int, num_steps: int, channels: int, grid: Sequence[int]) -> None:
    values = trajectories * (num_steps + 1) * channels * math.prod(grid)
    if values > MOST_SIMULATED:
        raise ValueError(
            f"the simulation would make {values:.2g} values on its fine grid, of at most {MOST_SIMULATED:.2g}; "
            "ask for fewer trajectories, steps or points, or a smaller refine"
        )


class Hidden(Settings):
    """What is known of a field that nothing measures, at the start of a trajectory and anywhere in space."""

    mean: float
    deviation: Annotated[float, Field(gt=0)] = Field(description="how far it may be from the mean")
    components: Annotated[int, Field(ge=1, le=3)] = Field(1, description="of a vector, one for each axis")
    unit: str = "1"


class Initial(Settings):
    """What is known of a field that is measured, at the start of a trajectory and anywhere in space."""

    mean: float
    deviation: Annotated[float, Field(ge=0)] = Field(description="how far it may be from the mean; 0: it is the mean")


class FileData(Settings):
    """Trajectories of yours, in a file of any format that docs/data.md names."""

    kind: Literal["file"]
    path: str | tuple[str, ...] = Field(
        description="a file, a pattern such as runs/*.npz, a folder, or several, whose trajectories are one set"
    )
    format: str | None = Field(None, description="of the file, such as hdf5 or matlab; by its content if not given")
    names: dict[str, str] = Field(
        {},
        description="what the file calls times (t), coordinates (x, y, z), trajectories (n) and fields, by Cotwin's "
        "names: {t: time, u: usol}",
    )
    fields: tuple[str, ...] | None = Field(None, description="which to read; all if not given")
    boundary: Boundary | tuple[Ends, ...] | None = Field(
        None, description="of all axes, of each, or of each one's lower and upper end; where the file does not say"
    )
    extent: tuple[tuple[float, float], ...] | None = Field(None, description="of the domain, for each axis")
    points: Centring | tuple[Centring, ...] | None = Field(
        None,
        description="nodes, the outermost on the ends of the domain, or cells; of all axes or of each",
    )
    missing: Literal["error", "mask"] = Field("error", description="what to do with values that are not finite")
    hidden: dict[str, Hidden] = Field(
        {}, description="fields of the state that nothing measures, and what is known of them"
    )
    initial: dict[str, Initial] = Field(
        {}, description="what is known of the start of fields that are measured, where starts have to be estimated"
    )
    filling: Literal["auto", "interpolated", "estimated"] = Field(
        "auto",
        description="of holes in states that rollouts start from: interpolated in space, or estimated by the "
        "calibrated simulator; auto: estimated where a field is never seen or most values are missing",
    )
    assimilated: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None,
        description="frames after the first of held-out trajectories, from which a start is estimated where it has "
        "to be, and which are not scored; if not given a quarter of them",
    )
    axes: str | None = Field(
        None,
        description="order of the axes of fields where the format does not settle it, such as xt, nxyt or ntcxy, n "
        "for trajectories and c for components; by their lengths if not given",
    )
    walls: Literal["checked", "trusted"] = Field(
        "checked", description="refuse data that contradict the boundary, or trust it and only note them"
    )
    precision: Literal["auto", "single", "double"] = Field(
        "auto", description="of states and models; auto: double where single would round off what changes in time"
    )
    dt: PositiveFloat | None = Field(
        None,
        description="step, where times are uneven, or the file has none; if not given, the interval that most times "
        "meet",
    )
    dt_tolerance: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        NEAR, description="of a step, by which a state may lie beside one and still be a frame of the training"
    )
    grid: tuple[Annotated[int, Field(ge=4, le=1_000_000)], ...] | None = Field(
        None, description="of a table of readings (csv, parquet): points of the model's grid, along each axis"
    )
    begin: Annotated[float, Field(ge=-1e30, le=1e30)] | None = Field(
        None,
        description="of a table of readings: when all trajectories start; each with its first reading if not given",
    )
    given: tuple[str, ...] = Field(
        (),
        description="fields of the file that are no part of the state but given with it: known coefficients, "
        "forcings; numbers, and what physical names as given, always are",
    )
    validation: Count = Field(1, description="held-out trajectories, where the file holds several")
    test: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="further trajectories, looked at once, at the end"
    )
    train: Count | None = Field(None, description="training trajectories; all that are not held out if not given")
    held_out_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="part of a single trajectory, at its end in time"
    )
    fold: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        None,
        description="of several ways to divide the trajectories, each with some that test (the last ones, where test "
        "is given), which; cotwin compare takes the seed. If not given they are divided in the file's order",
    )

    @model_validator(mode="after")
    def _path_given(self) -> FileData:
        if self.path == "???":
            raise ValueError("path is left open; say which file with data.path=FILE")
        return self


Data = Annotated[SimulatedBurgers | Simulated | FileData, Field(discriminator="kind")]

# Training


Influence = Annotated[float, Field(ge=0, le=1000)]


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
    """By held-out real data: the simulator teaches until it is shown to be worse, the surrogate once shown better."""

    kind: Literal["auto"]
    cap: Annotated[float, Field(gt=0, le=1000)] = Field(
        20.0, description="influence of a perfect simulator; a surrogate's is at most that of the real data"
    )


Alpha = Annotated[FixedAlpha | LinearAlpha | AutoAlpha, Field(discriminator="kind")]
Role = Literal["physical", "synthetic"]


class Hybrid(Settings):
    """The cycle."""

    cycles: Annotated[int, Field(ge=1, le=1000)] = 6
    alpha: Alpha = AutoAlpha(kind="auto")
    generated_per_real: Annotated[float, Field(gt=0, le=1000)] | None = Field(
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

    memory_budget_gb: Annotated[float, Field(gt=0, le=1e6)] | Literal["auto"] = Field(
        2.0,
        description="most memory for generated data; real data of more than half of it stay in a file. "
        "auto: a quarter of what there is, at most half of what is free",
    )
    disk_budget_gb: Annotated[float, Field(ge=0, le=1e6)] | Literal["auto"] = Field(
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

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="of torch; if not given as many as it likes"
    )
    device: str = Field("cpu", description="where models compute: cpu, cuda, or cuda and a number, such as cuda:1")
    data: Data
    physical: PhysicalSettings
    priors: dict[str, Prior] = Field(
        default_factory=dict,
        description="what is known of the simulator's unknowns beforehand, by their names in the table of estimates",
    )
    synthetic: NetworkSettings
    hybrid: Hybrid = Hybrid()
    store: Store = Store()
    estimation: Estimation = Estimation()

    @property
    def known_beforehand(self) -> dict[str, Prior]:
        """The priors, by the names of the unknowns: those of `priors`, and those that stand beside an unknown."""
        beside = {name: one.prior for name, one in self._with_priors().items() if one.prior is not None}
        return {**beside, **self.priors}

    @model_validator(mode="after")
    def _one_prior_each(self) -> Experiment:
        for name, unknown in self._with_priors().items():
            if unknown.fixed:
                raise ValueError(f"physical.{name} is fixed, so it has no prior; leave one of them out")
            if name in self.priors:
                raise ValueError(f"physical.{name}.prior and priors.{name} are both given; leave one of them out")
        return self

    def _with_priors(self) -> dict[str, Unknown]:
        """Unknowns with a prior beside them, those of a model that names its own too."""
        blocks = [dict(self.physical), *(value for _, value in self.physical if isinstance(value, dict))]
        unknowns = (pair for block in blocks for pair in block.items())
        return {name: one for name, one in unknowns if isinstance(one, Unknown) and one.prior is not None}

    @model_validator(mode="after")
    def _fresh_starts_are_not_kept(self) -> Experiment:
        if self.hybrid.fresh_starts and self.store.placement in ("memory", "cache"):
            raise ValueError(
                f"store.placement is {self.store.placement!r}, which keeps windows over epochs, while "
                "hybrid.fresh_starts draws new ones in each; leave the placement open, or fresh_starts off"
            )
        return self
