"""What constructors check alike: fields of the layout, shapes of coefficients, counts and sizes."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from cotwin.layout import Boundary, Layout
from cotwin.parameters import Parameter


def require_fields(
    layout: Layout, equation: str, fields: Mapping[str, int], dims: Collection[int] = (1, 2, 3)
) -> None:
    """Raise ValueError unless the moving fields have these numbers of components, in this order, on so many axes.

    fields: by a name that could be theirs, for the message.
    """
    moving = [field for field in layout.fields if not field.static]
    if [field.components for field in moving] != list(fields.values()) or layout.dims not in dims:
        wanted, found = (
            " and ".join(f"Field({name!r}, components={components})" for name, components in pairs)
            for pairs in (fields.items(), ((field.name, field.components) for field in moving))
        )
        raise ValueError(
            f"{equation} moves {wanted}{', in this order' if len(fields) > 1 else ''}, on "
            f"{' or '.join(map(str, dims))} axes; the layout of {layout.dims} axes moves {found}. Names are free. "
            "Fields that are known and no part of the state are static, or given with it (data.given)."
        )


def require_kinds(layout: Layout, equation: str, kinds: Collection[Boundary]) -> None:
    """Raise ValueError where an end of the layout is of another kind, or the two of an axis differ."""
    others = sorted(layout.kinds - {"periodic", *kinds})
    if others:
        raise ValueError(
            f"{equation} takes no {' or '.join(others)} ends, which the layout has; it takes periodic axes"
            f"{''.join(f', {kind}' for kind in kinds)}. Finite volumes (heat, advection_diffusion) take all kinds."
        )
    _ = layout.axis_kinds
    if "nodes" in layout.centring:
        raise ValueError(
            f"{equation} needs cells, and the layout has nodes, whose outermost lie on the ends; take a "
            "finite-volume stepper, or interpolate the data to the centres between neighbours (data.points=cells)."
        )


def require_scalar_coefficients(equation: str, **parameters: Parameter | None) -> None:
    """Raise ValueError unless each parameter that is given is a scalar."""
    for name, parameter in parameters.items():
        shape = () if parameter is None else tuple(parameter().shape)
        if shape != ():
            raise ValueError(f"{name} of shape {shape} must be a scalar in {equation}.")


def require_coefficient(parameter: Parameter, layout: Layout, name: str) -> None:
    """Raise ValueError unless the parameter is a scalar or a field on the layout's grid."""
    shape = tuple(parameter().shape)
    if shape not in ((), layout.grid):
        raise ValueError(
            f"{name} of shape {shape} is neither a scalar nor a field on the grid {layout.grid}; "
            "wrap coarse coefficients in CoarseField(coefficients, layout)."
        )


def require_counts(**counts: int | None) -> None:
    """Raise ValueError unless each count that is given is at least one."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} is {count}; at least one is needed.")


def require_positive(**sizes: float) -> None:
    """Raise ValueError unless each size is positive and finite."""
    for name, size in sizes.items():
        if not (size > 0 and math.isfinite(size)):
            raise ValueError(f"{name} is {size}; it must be positive and finite.")
