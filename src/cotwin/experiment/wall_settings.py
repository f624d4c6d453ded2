"""What stands at walls, in settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, JsonValue, Tag

from cotwin.experiment.parameter_settings import Component, FromData, Part
from cotwin.parameters.walls import SIDES
from cotwin.registry import Settings


def _one_or_each(value: Any) -> str:
    own = {*Component.model_fields, *FromData.model_fields}
    return "Part" if not isinstance(value, Mapping) or not own.isdisjoint(value) else "each[field]"


Quantity = Annotated[
    Annotated[Part, Tag("Part")] | Annotated[dict[str, Part], Tag("each[field]")], Discriminator(_one_or_each)
]
"""A number by itself, which is known, a parameter, or one of these for each moving channel."""
AS: dict[str, JsonValue] = {
    "as": "a number, which is known, or a parameter such as physical.diffusivity; or {FIELD: …, …}, for each field"
}


LIKE: dict[str, JsonValue] = {"as": "physical.walls.x_lower"}


class WallSettings(Settings):
    """What stands at one end of an axis; data.boundary says which kind of end it is."""

    value: Quantity | None = Field(None, description="at a dirichlet end", json_schema_extra=AS)
    flux: Quantity | None = Field(
        None, description="κ ∂u/∂n at a neumann end, n outward: positive it enters", json_schema_extra=AS
    )
    transfer: Quantity | None = Field(
        None, description="h of a robin end, κ ∂u/∂n = h (outside − u)", json_schema_extra=AS
    )
    outside: Quantity | None = Field(None, description="u outside a robin end", json_schema_extra=AS)


class WallsSettings(Settings):
    """What stands at the ends of the axes; without, no value and no flux."""

    x_lower: WallSettings | None = None
    x_upper: WallSettings | None = Field(None, json_schema_extra=LIKE)
    y_lower: WallSettings | None = Field(None, json_schema_extra=LIKE)
    y_upper: WallSettings | None = Field(None, json_schema_extra=LIKE)
    z_lower: WallSettings | None = Field(None, json_schema_extra=LIKE)
    z_upper: WallSettings | None = Field(None, json_schema_extra=LIKE)

    @property
    def given(self) -> tuple[str, ...]:
        """The sides at which something stands."""
        walls = {side: getattr(self, side) for side in SIDES}
        return tuple(side for side, wall in walls.items() if wall is not None and wall != WallSettings())
