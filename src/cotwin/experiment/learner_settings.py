"""What the settings of both models share: unknowns, optimisers, how a model trains."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    """Quasi-Newton with strong Wolfe line search, on all windows in every step: for few unknowns."""

    kind: Literal["lbfgs"]
    lr: PositiveFloat = 1.0
    history: Count = 20
    clip: None = None
    schedule: Literal["constant"] = "constant"


class LevenbergMarquardt(Settings):
    """Damped Gauss-Newton steps on all windows, for up to 300 unknowns of a simulator, of whatever size."""

    kind: Literal["levenberg_marquardt"]
    clip: None = None
    schedule: Literal["constant"] = "constant"


Optimizer = Annotated[Adam | LBFGS | LevenbergMarquardt, Field(discriminator="kind")]


class LearnerSettings(Settings):
    """How one of the two models trains."""

    window: Annotated[int, Field(ge=1)] | Literal["full"] = Field(
        4, description="steps of a training window; full: as long as the trajectories"
    )
    stride: Count = Field(1, description="frames between the starts of successive windows")
    batch_size: Count = Field(
        32, description="windows in a step; lbfgs and levenberg_marquardt take all, so many in memory at once"
    )
    optimizer: Optimizer
    warmup_steps: Annotated[int, Field(ge=0)] = Field(description="optimiser steps on real data alone, at first")
    steps: Count = Field(description="optimiser steps in each cycle")
    validate_every: Count = Field(50, description="optimiser steps between looks at the held-out data")
    starts: Literal["real", "perturbed", "simulated"] = Field(
        "real", description="where the windows begin that the other model generates for this one"
    )
