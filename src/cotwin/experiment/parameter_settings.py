"""Settings of a simulator's parameters: known, to be estimated, given by the data, at points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from cotwin.experiment.prior_settings import Prior
from cotwin.registry import PositiveFloat, Settings


class Component(Settings):
    """A parameter to estimate: positive, or bounded; scalar, or a field of coefficients on a coarse grid."""

    initial: Annotated[float, Field(ge=-1e30, le=1e30)]
    bounds: tuple[float, float] | None = Field(
        None, description="without them it is positive, learned by its logarithm"
    )
    grid: tuple[Annotated[int, Field(ge=2, le=1_000_000)], ...] | None = Field(
        None, description="of coefficients, for a field; without it a scalar"
    )
    unit: str = "1"
    fixed: bool = Field(False, description="hold it at initial: a known constant")
    per: str | None = Field(
        None,
        description="trajectory, for a value of its own in each; or by name a number of the file that is the same in "
        "all trajectories of a group",
    )
    times: Annotated[int, Field(ge=2, le=1000)] | None = Field(
        None, description="values at so many equal times, linear between them: an unknown course in time"
    )
    duration: float | None = Field(None, description="found in the data: of a course in time")
    groups: tuple[Annotated[int, Field(ge=-1, le=1_000_000)], ...] | None = Field(
        None, description="found in the data: of each trajectory the group, from 0; −1 for one that does not train"
    )

    labels: tuple[str, ...] | None = Field(None, description="found in the data: what each group is called")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """A number by itself is known."""
        return {"initial": value, "fixed": True} if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _one_of_each(self) -> Component:
        if self.times is not None and (self.grid is not None or self.fixed or self.per is not None):
            raise ValueError("times is for an unknown number; leave out grid, per and fixed")
        if self.per is not None and (self.grid is not None or self.fixed):
            what = "a field" if self.grid is not None else "known"
            raise ValueError(
                f"per is {self.per!r}, and the parameter is {what}; unknown numbers may differ between trajectories, "
                "and what is known the data give: {given: NAME}"
            )
        return self

    @model_validator(mode="after")
    def _inside(self) -> Component:
        if self.fixed:
            return self
        if self.bounds is None and not self.initial > 0:
            raise ValueError(f"initial is {self.initial}; without bounds the parameter is positive")
        if self.bounds is not None and not self.bounds[0] < self.initial < self.bounds[1]:
            raise ValueError(f"initial is {self.initial}, not strictly inside the bounds {list(self.bounds)}")
        return self


class Unknown(Component):
    """A parameter to estimate: positive, or bounded; scalar, or a field of coefficients on a coarse grid."""

    prior: Prior | None = Field(
        None, description="what is known of it beforehand", json_schema_extra={"as": "priors.NAME"}
    )


class FromData(Settings):
    """A parameter that the data give: a number or a field of each trajectory, or its course in time."""

    given: str = Field(description="its name in the data")
    unit: str = "1"
    largest: float | None = Field(None, description="found in the data: its value of largest size")
    course: bool | None = Field(None, description="found in the data: whether it changes in time")


def _told_by(**keys: type[Settings]) -> Discriminator:
    """The class whose own key a block has, else the one under `otherwise`."""

    def which(value: Any) -> str:
        own = (kind for key, kind in keys.items() if isinstance(value, kind) or _has(value, key))
        return next(own, keys["otherwise"]).__name__

    return Discriminator(which)


def _has(value: Any, key: str) -> bool:
    return isinstance(value, Mapping) and key in value


Part = Annotated[
    Annotated[Component, Tag("Component")] | Annotated[FromData, Tag("FromData")],
    _told_by(given=FromData, otherwise=Component),
]
"""A number by itself, which is known, or a parameter without a prior."""


class SourcePoints(Settings):
    """Sources at points: what enters at each."""

    points: tuple[tuple[Component, ...], ...] = Field(description="a place for each, numbers along each axis")
    rates: tuple[Part, ...] = Field(description="what enters at each, over time; negative, it is taken out")
    width: PositiveFloat | None = Field(
        None, description="spreads each by a Gaussian exp(−|x|²/width²); needed where places are unknown"
    )

    @model_validator(mode="after")
    def _numbers(self) -> SourcePoints:
        places = [one for place in self.points for one in place]
        if any(isinstance(part, Component) and part.grid is not None for part in (*self.rates, *places)):
            raise ValueError("places and rates are numbers; leave out their grid")
        if any(part.per is not None for part in places):
            raise ValueError("places are the same in all trajectories; leave out per")
        return self


Number = Annotated[
    Annotated[Unknown, Tag("Unknown")] | Annotated[FromData, Tag("FromData")],
    _told_by(given=FromData, otherwise=Unknown),
]
SourceTerm = Annotated[
    Annotated[Unknown, Tag("Unknown")]
    | Annotated[FromData, Tag("FromData")]
    | Annotated[SourcePoints, Tag("SourcePoints")],
    _told_by(given=FromData, points=SourcePoints, otherwise=Unknown),
]
