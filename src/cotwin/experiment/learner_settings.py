"""What the settings of models share: optimisers, how a model trains and is rolled out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from cotwin.registry import Count, PositiveFloat, Settings


class Batched(Settings):
    """What optimisers have that take some windows in a step, not all."""

    schedule: Literal["constant", "cosine"] = "cosine"
    clip: PositiveFloat | None = Field(1.0, description="largest norm of the gradient")
    average: bool = Field(True, description="keep the mean of the weights over the last ninth of the steps so far")


class Adam(Batched):
    """Adaptive moments, on batches."""

    kind: Literal["adam"]
    lr: PositiveFloat = 1e-3


class Muon(Batched):
    """Momentum made orthogonal, on batches: for networks; their biases and last layers move by Adam."""

    kind: Literal["muon"]
    lr: PositiveFloat = 0.01
    adam: PositiveFloat = Field(0.1, description="learning rate of Adam, in units of lr")


class LBFGS(Settings):
    """Quasi-Newton with strong Wolfe line search, on all windows in every step: for few unknowns."""

    kind: Literal["lbfgs"]
    lr: PositiveFloat = 1.0
    history: Count = Field(20, description="steps whose curvature it remembers")


class LevenbergMarquardt(Settings):
    """Damped Gauss-Newton steps on all windows, for up to 300 unknowns of a simulator, of whatever size."""

    kind: Literal["levenberg_marquardt"]


Optimizer = Annotated[Adam | Muon | LBFGS | LevenbergMarquardt, Field(discriminator="kind")]


# Both kinds of model have these, each with defaults of its own.
Window = Annotated[
    Count | Literal["full"], Field(description="steps of a training window; full: as long as the trajectories")
]
WarmupSteps = Annotated[int, Field(ge=0, le=1_000_000, description="optimiser steps on real data alone, at first")]
Steps = Annotated[Count, Field(description="optimiser steps in each cycle")]
Kind = Annotated[
    Literal["auto", "real", "perturbed", "simulated", "rearranged"],
    Field(
        description="where the windows begin that the other model generates for this one: at real states; at shifted "
        "ones; along rollouts from random waves, or from real values in another order; auto: held-out data choose",
    ),
]
BetweenLooks = Annotated[Count, Field(description="optimiser steps between looks at the held-out data")]


class LearnerSettings(Settings):
    """How one of the two models trains."""

    window: Window = 4
    stride: Count = Field(1, description="frames between the starts of successive windows")
    batch_size: Count = Field(
        32,
        description="windows in a step; for lbfgs and levenberg_marquardt, which take all, windows in memory at once",
    )
    optimizer: Optimizer
    warmup_steps: WarmupSteps
    steps: Steps
    validate_every: BetweenLooks = 50
    starts: Kind = "real"
    reach: Annotated[float, Field(ge=1, le=100)] = Field(
        1.5,
        description="of simulated and rearranged starts, how many times as large as the real ones they may be; as "
        "far as simulators go whose max_speed or ceiling is left open",
    )


class Rollout(Settings):
    """How rollouts are computed; their numbers are the same, to rounding."""

    checkpoint: Count | Literal["sqrt"] | None = Field(
        None,
        description="steps between states that are kept for the gradient; the others are computed again, which takes "
        "less memory and one more rollout; sqrt: the square root of a window's steps",
    )
    compile: bool = Field(
        False, description="by torch.compile, for finite volumes: faster steps after seconds to a minute of compiling"
    )


class PhysicalSettings(LearnerSettings):
    """What all simulators have; their own settings are made from their signatures (`declared.py`)."""

    model: str
    window: Window = 8
    optimizer: Optimizer = LevenbergMarquardt(kind="levenberg_marquardt")
    warmup_steps: WarmupSteps = 10
    steps: Steps = 5
    validate_every: BetweenLooks = 1
    rollout: Rollout = Rollout()
    refine: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="points of the solver for each point of the data, along each axis; for data on a coarse grid"
    )


class ToldOne(Settings):
    """One thing that a surrogate is told. course: whether it changes in time; field: whether in space."""

    name: str
    course: bool
    field: bool


SizeName = Literal["tiny", "small", "base"]


class NetworkSettings(LearnerSettings):
    """What all networks have."""

    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})

    network: str
    size: SizeName | None = Field(
        None,
        description="what it sets of the network's own settings (docs/models.md); what is stated beside it stands",
    )
    ensemble: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="networks from other initial weights, each of which learns by itself; their mean is predicted"
    )
    window: Window = 1
    optimizer: Optimizer = Muon(kind="muon")
    warmup_steps: WarmupSteps = 100
    steps: Steps = 300
    starts: Kind = "auto"
    positions: bool | Literal["auto"] = Field(
        "auto",
        description="give the network the coordinates; without, it treats all places alike; auto: along axes on "
        "which the simulator, as it is set, is not the same everywhere",
    )
    conserve: bool | Literal["auto"] = Field(
        "auto",
        description="keep the means over the domain that the simulator, as it is set, conserves; auto: if the "
        "training data keep them too",
    )
    augment: bool = Field(
        True,
        description="learn from windows after random shifts, mirrors and rotations under which the simulator, as "
        "it is set, stays the same",
    )
    given: tuple[str, ...] | None = Field(
        None, description="what it is told of all that the data give beside the states; what differs if not given"
    )
    conditioning: Literal["modulation", "channels"] = Field(
        "modulation",
        description="how it gets given numbers: to scale and shift its features by, or as channels; given fields are "
        "channels, and networks that take no numbers get all as channels",
    )
    told: tuple[ToldOne, ...] | None = Field(None, description="found in the data: what is given, and what it is")
    axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] | None = Field(
        None, description="found: of which axes the coordinates are given"
    )
    conserved: tuple[Annotated[int, Field(ge=0, le=1000)], ...] | None = Field(
        None, description="found: channels whose mean is kept"
    )

    @model_validator(mode="before")
    @classmethod
    def _sized(cls, values: Any) -> Any:
        size = values.get("size") if isinstance(values, dict) else None
        if size is None or size not in get_args(SizeName):
            return values
        if size not in cls.sizes:
            raise ValueError(f"size is {size}, and {values.get('network')} has no sizes; set what it has by itself")
        return {**cls.sizes[size], **values}

    @model_validator(mode="after")
    def _many_weights(self) -> NetworkSettings:
        if self.optimizer.kind == "levenberg_marquardt":
            raise ValueError(
                "optimizer.kind is levenberg_marquardt, for up to 300 unknowns of a simulator; a network has "
                "thousands of weights: choose muon or adam"
            )
        return self
