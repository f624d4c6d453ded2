"""What stands at the walls of a domain: values, fluxes, what is outside; known or unknown as any other parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from torch import nn

from cotwin.parameters.parameter import Parameter

SIDES = tuple(f"{axis}_{side}" for axis, side in product("xyz", ("lower", "upper")))
Quantity = Parameter | Mapping[str, Parameter]


class ByField(nn.Module):
    """One parameter for each moving channel, by its name."""

    batched = True

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            self.add_module(name, parameter)

    @property
    def parameters_by_name(self) -> dict[str, Parameter]:
        """In the order in which they were given."""
        return {name: one for name, one in self._modules.items() if isinstance(one, Parameter)}


class Wall(nn.Module):
    """What stands at one end of an axis; what of it may be given the layout's kind of end says.

    value: u at the end (dirichlet). flux: κ ∂u/∂n, n outward, so that positive it enters (neumann).
    transfer, outside: h and u_outside of κ ∂u/∂n = h (u_outside − u) (robin); h in length/time.
    Each is a scalar, a field along the face, or one of these for each moving channel, by the channel's name.
    """

    batched = True

    def __init__(
        self,
        value: Quantity | None = None,
        flux: Quantity | None = None,
        transfer: Quantity | None = None,
        outside: Quantity | None = None,
    ) -> None:
        super().__init__()
        self.value, self.flux, self.transfer, self.outside = map(_as_module, (value, flux, transfer, outside))

    @property
    def given(self) -> dict[str, Parameter | ByField]:
        """What is, by name."""
        return {name: one for name, one in self._modules.items() if isinstance(one, Parameter | ByField)}


class Walls(nn.Module):
    """What stands at the ends of the axes; an end that is left out has zero: no value, no flux.

    >>> from cotwin.parameters import Known, Positive
    >>> walls = Walls(x_lower=Wall(value=Known(1.0)), x_upper=Wall(flux=Positive(0.5)))
    """

    batched = True

    def __init__(
        self,
        x_lower: Wall | None = None,
        x_upper: Wall | None = None,
        y_lower: Wall | None = None,
        y_upper: Wall | None = None,
        z_lower: Wall | None = None,
        z_upper: Wall | None = None,
    ) -> None:
        super().__init__()
        for side, wall in zip(SIDES, (x_lower, x_upper, y_lower, y_upper, z_lower, z_upper), strict=True):
            if wall is not None:
                self.add_module(side, wall)

    def outermost(self) -> Iterator[tuple[str, Parameter]]:
        """Each parameter, and where it stands: "x_lower.value", or "x_lower.value.U" where each field has its own."""
        inside: list[str] = []
        for path, one in self.named_modules():
            if isinstance(one, Parameter) and not path.startswith(tuple(inside)):
                inside.append(f"{path}.")
                yield path, one

    def at(self, axis: int, end: int) -> Wall | None:
        """What stands at the lower (0) or the upper (1) end of an axis."""
        wall = self._modules.get(SIDES[2 * axis + end])
        return wall if isinstance(wall, Wall) else None


def _as_module(quantity: Quantity | None) -> Parameter | ByField | None:
    return ByField(quantity) if isinstance(quantity, Mapping) else quantity
