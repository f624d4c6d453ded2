"""What is known of the physical model's unknowns beforehand."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cotwin.registry import PositiveFloat, Settings


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


class Pooled(Settings):
    """What the values of all groups have in common (`per`): around a centre and with a spread that the data tell."""

    kind: Literal["pooled"]
    scale: PositiveFloat = Field(
        0.5, description="of the spread's half-normal prior with fewer than five groups, mostly in the logarithm"
    )


Prior = Annotated[
    Pooled | Gaussian | LogNormal | Smooth | TotalVariation | GaussianField | LogGaussianField,
    Field(discriminator="kind"),
]
