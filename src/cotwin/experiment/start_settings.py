"""The settings of simulated data's initial states; `simulated.py` draws them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cotwin.experiment.learner_settings import Count, PositiveFloat, Settings

Radius = Annotated[float, Field(gt=0, le=1)]


class SmoothStarts(Settings):
    """Every field by itself, random waves around its mean."""

    kind: Literal["smooth"]


class FlowStarts(Settings):
    """A velocity without divergence, on faces; two dimensions."""

    kind: Literal["flow"]
    amplitude: PositiveFloat = Field(1.0, description="root mean square of the speed")


class SmokeStarts(Settings):
    """Such a velocity and a puff of smoke."""

    kind: Literal["smoke"]
    amplitude: Annotated[float, Field(ge=0)] = Field(1.0, description="root mean square of the speed")
    thickness: PositiveFloat = Field(1.0, description="of the puff's middle")
    radius: Radius = Field(0.1, description="of the puff, in units of the domain's shorter side")


class PatchStarts(Settings):
    """Of Gray-Scott: U = 1, V = 0 but for a few patches."""

    kind: Literal["patches"]
    patches: Count = 4
    radius: Radius = Field(0.06, description="of the largest patch, in units of the domain's shortest side")


class ColonyStarts(Settings):
    """Of a population: none but in a few colonies."""

    kind: Literal["colonies"]
    colonies: Count = 3
    density: PositiveFloat = Field(1.0, description="of a colony's middle")
    radius: Radius = Field(0.06, description="of the largest colony, in units of the domain's shortest side")


DataStarts = Annotated[
    SmoothStarts | FlowStarts | SmokeStarts | PatchStarts | ColonyStarts, Field(discriminator="kind")
]
