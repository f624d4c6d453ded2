"""What is known of the physical model's unknowns beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cotwin.estimation import priors
from cotwin.layout import Layout
from cotwin.parameters import estimates
from cotwin.registry import PositiveFloat, Settings
from cotwin.stepper import Stepper


class Gaussian(Settings):
    """Normal, each number by itself."""

    kind: Literal["gaussian"]
    mean: float
    deviation: PositiveFloat


class LogNormal(Settings):
    """Normal in the logarithm: two thirds lie between median / factor and median · factor."""

    kind: Literal["log_normal"]
    median: PositiveFloat
    factor: Annotated[float, Field(gt=1, le=1e30)]


class Smooth(Settings):
    """A field that changes by about so much over a length."""

    kind: Literal["smooth"]
    change: PositiveFloat
    length: PositiveFloat


class TotalVariation(Settings):
    """The same with edges: a large change costs its height and not its steepness."""

    kind: Literal["total_variation"]
    change: PositiveFloat
    length: PositiveFloat


class GaussianField(Settings):
    """A Gaussian random field around a mean, alike over a length."""

    kind: Literal["gaussian_field"]
    mean: float
    deviation: PositiveFloat
    length: Annotated[float, Field(ge=0, le=1e30)]


class LogGaussianField(Settings):
    """The same for the logarithm of a positive field."""

    kind: Literal["log_gaussian_field"]
    median: PositiveFloat
    factor: Annotated[float, Field(gt=1, le=1e30)]
    length: Annotated[float, Field(ge=0, le=1e30)]


Prior = Annotated[
    Gaussian | LogNormal | Smooth | TotalVariation | GaussianField | LogGaussianField, Field(discriminator="kind")
]


def build_priors(settings: Mapping[str, Prior], stepper: Stepper) -> dict[str, priors.Prior]:
    """By the names of the unknowns, as the table of estimates shows them.

    Raises ValueError for a name that is not among them.
    """
    own = list(estimates(stepper))
    for name in settings:
        if name not in own:
            have = f"the physical model's unknowns are {', '.join(own)}" if own else "no parameter is unknown"
            raise ValueError(f"priors names {name!r}; {have}.")
    return {name: _prior(one, stepper.solver_layout).to(stepper.device) for name, one in settings.items()}


def _prior(settings: Prior, layout: Layout) -> priors.Prior:
    match settings:
        case Gaussian():
            return priors.Gaussian(settings.mean, settings.deviation)
        case LogNormal():
            return priors.LogNormal(settings.median, settings.factor)
        case Smooth():
            return priors.Smooth(layout, settings.change, settings.length)
        case TotalVariation():
            return priors.TotalVariation(layout, settings.change, settings.length)
        case GaussianField():
            return priors.GaussianField(layout, settings.mean, settings.deviation, settings.length)
        case LogGaussianField():
            return priors.LogGaussianField(layout, settings.median, settings.factor, settings.length)
