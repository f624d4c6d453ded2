"""The settings of `cotwin estimate`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from cotwin.registry import Count, PositiveFloat, Settings


def _off(given: object) -> object:
    # In YAML a bare `off` is false.
    return "off" if given is False else given


def _usual(given: object) -> object:
    return {} if given == "auto" else given


class Discrepancy(Settings):
    """An error of the simulator that is admitted, a Gaussian process in space and time (Kennedy & O'Hagan, 2001)."""

    deviation: PositiveFloat | tuple[PositiveFloat, ...] | None = Field(
        None,
        description="scale of the half-normal prior of its standard deviation, one number or one for each channel; "
        "if not given, a tenth of what the values vary by",
    )
    length: PositiveFloat | None = Field(
        None, description="over which it is alike, the shorter the more cautious; if not given, a quarter of an axis"
    )
    duration: PositiveFloat | None = Field(
        None, description="the same in time; if not given, a third of the time measured"
    )


class Estimation(Settings):
    """How the simulator alone is calibrated, and how sure that is."""

    starts: Literal["auto", "exact", "estimated"] = Field(
        "auto",
        description="exact: the first states are taken as measured, and their noise biases the estimates; estimated: "
        "they are estimated with the parameters; auto: estimated where they have few numbers",
    )
    start_length: Annotated[float, Field(ge=0, le=1e30)] | None = Field(
        None,
        description="over which neighbouring points of estimated starts are alike; if not given, taken from the "
        "data; 0: each point by itself",
    )
    window: Count | Literal["full"] = Field(
        "full", description="steps of a rollout; the trajectories are cut into windows that do not overlap"
    )
    noise: PositiveFloat | tuple[PositiveFloat, ...] | None = Field(
        None, description="its standard deviation, one number or one for each channel; if not given, estimated"
    )
    discrepancy: Annotated[Discrepancy | None, BeforeValidator(_usual)] = Field(
        None,
        description="an error of the simulator that is admitted, so that intervals hold it; auto: with all of its "
        "settings as they are if not given",
    )
    points: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None,
        description="starting points of the search; all but the first are spread through priors or bounds; if not "
        "given 8 for up to 20 unknown numbers, else 1",
    )
    search: Literal["auto", "levenberg_marquardt", "ensemble_kalman"] = Field(
        "auto",
        description="ensemble_kalman: without derivatives, for programs whose results have steps or noise, from "
        "exact starts; auto: by derivatives, as suits the number of unknowns",
    )
    members: Annotated[int, Field(ge=2, le=100_000)] | None = Field(
        None, description="of the ensemble, more than there are unknown numbers; if not given twice as many"
    )
    level: Annotated[float, Field(gt=0, le=0.999999)] = Field(0.9, description="probability of the intervals")
    profile: bool = Field(False, description="intervals by profile likelihood, too")
    resolution: Annotated[Literal["auto", "check", "off"], BeforeValidator(_off)] = Field(
        "auto",
        description="check: how far the error of grid and time steps moves each estimate is told; auto: estimates "
        "are moved by it, and where it is larger than their intervals, the estimation is repeated on a finer grid "
        "or with more substeps, if that takes at most about ten times as long; off: it is not looked at",
    )
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="resamplings for intervals by a moving-block bootstrap; a few hundred"
    )
    block: Annotated[float, Field(gt=0, allow_inf_nan=True)] | None = Field(
        None,
        description="time that the bootstrap keeps together, .inf for whole trajectories; if not given whole ones "
        "where starts are estimated and there are five or more, else by the number of frames",
    )
    posterior: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="draws of each Markov chain through the posterior; some hundreds to thousands, 0: none"
    )
    chains: Annotated[int, Field(ge=2, le=1000)] = Field(4, description="Markov chains, if there is a posterior")

    @model_validator(mode="after")
    def _nothing_said_in_vain(self) -> Estimation:
        if self.block is not None and not self.bootstrap:
            raise ValueError("block is for the bootstrap, which is off; set bootstrap, or leave it out")
        if self.start_length is not None and self.starts == "exact":
            raise ValueError("start_length is for estimated starts, and these are exact; leave it out")
        if self.members is not None and self.search != "ensemble_kalman":
            raise ValueError("members are of an ensemble; set search to ensemble_kalman, or leave it out")
        if self.discrepancy is not None and self.bootstrap:
            raise ValueError("a bootstrap knows of no discrepancy; leave one of them out")
        if self.search == "ensemble_kalman":
            if self.discrepancy is not None:
                raise ValueError("an ensemble takes errors as independent; leave the discrepancy out")
            by_derivatives = [name for name in ("profile", "bootstrap") if getattr(self, name)]
            if by_derivatives:
                raise ValueError(
                    f"{by_derivatives[0]} goes by derivatives, an ensemble without; take posterior instead"
                )
            if self.points is not None:
                raise ValueError("an ensemble is many points by itself; leave points out, and give members")
            if self.starts == "estimated":
                raise ValueError("an ensemble takes starts as exact; leave starts out, or set search to auto")
        return self
