"""States (B, C, *S) as PhiFlow fields and back, both exact: the values are the same bits.

The batch is the batch dimension "batch", the grid axes are the spatial dimensions x, y, z in order, the
components of a vector the channels vector=x,y,z. Gradients flow both ways.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from phi.field import CenteredGrid, Field, StaggeredGrid
from phi.geom import Box
from phiml.math import Shape, batch, channel, dual, expand, spatial, stack, wrap
from phiml.math import Tensor as PhiTensor
from phiml.math.extrapolation import PERIODIC, ZERO, ZERO_GRADIENT, Extrapolation, combine_sides
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.phiflow.backend import phiflow_context
from cotwin.physics.requirements import require_kinds

BOUNDARIES = {"periodic": PERIODIC, "dirichlet": ZERO, "neumann": ZERO_GRADIENT}


def to_fields(state: Float[Tensor, "B C *S"], layout: Layout, staggered: Collection[str] = ()) -> dict[str, Field]:
    """The fields of a state, by name.

    Centred fields: PhiFlow's cell i lies at `layout.points`. PhiFlow knows no other points than cell centres,
    so on periodic axes its box is the layout's domain moved down by Δx/2, which is one period as well as any.
    Dirichlet is PhiFlow's ZERO, whose zero lies half a cell outside the wall: there, expect first order in Δx.

    staggered: names of the vector fields that live on faces. Component a at index i is on the face below cell i
    along axis a, at x_i − Δx/2, and at cell centres along the other axes. Below the first cell of a Dirichlet
    axis that face is the wall, where the boundary condition alone decides: what the state holds there is not
    read, and `from_fields` writes zero. A Neumann axis has one face more than cells, for which a state has no
    room: ValueError.
    """
    layout.require_state(tuple(state.shape))
    for name in staggered:
        _require_faces(name, layout)
    fields = {}
    first = 0
    with phiflow_context(state.dtype, state.device):
        for spec in layout.fields:
            if spec.components not in (1, layout.dims):
                raise ValueError(
                    f"field {spec.name!r} has {spec.components} components on {layout.dims} axes; a PhiFlow "
                    "vector has one for each axis: make the others scalar fields."
                )
            channels = state[:, first : first + spec.components]
            convert = _faces if spec.name in staggered else _centres
            fields[spec.name] = convert(channels, layout)
            first += spec.components
    return fields


def from_fields(fields: dict[str, Field], layout: Layout) -> Float[Tensor, "B C *S"]:
    """The state whose fields these are; whether one is staggered is read off it.

    A field without a batch dimension is the same for all samples. Raises ValueError where a name, the grid or
    another dimension does not fit the layout.
    """
    names = [spec.name for spec in layout.fields]
    if set(fields) != set(names):
        raise ValueError(f"got fields {sorted(fields)}, the layout has {sorted(names)}; give each once.")
    values = [fields[name].values for name in names]
    sizes = {value.shape.get_size("batch") for value in values if "batch" in value.shape}
    if len(sizes) != 1:
        raise ValueError(f"the fields have batch sizes {sorted(sizes)}; they need one, in dimension 'batch'.")
    (size,) = sizes
    # Constants that PhiFlow made are numpy arrays of any precision; the torch tensors decide.
    native = [part for value in values for part in value._natives() if isinstance(part, Tensor)]
    if not native:
        raise ValueError("no field holds a torch tensor; build the fields with to_fields, or in phiflow_context.")
    dtype = torch.float64 if any(part.dtype == torch.float64 for part in native) else torch.float32
    device = native[0].device
    channels = []
    with phiflow_context(dtype, device):
        for spec in layout.fields:
            field = fields[spec.name]
            for axis, component in enumerate(_components(field, spec.name, spec.components)):
                wall = field.is_staggered and layout.axis_kinds[axis] == "dirichlet"
                shape = _shape(size, layout, without_first=axis if wall else None)
                component = torch.as_tensor(_native(component, shape, spec.name), dtype=dtype, device=device)
                channels.append(_with_wall(component, axis) if wall else component)
    return torch.stack(channels, dim=1)


def to_phi(value: Float[Tensor, "*K"], layout: Layout) -> PhiTensor:
    """A parameter's value, a scalar or an array on the layout's grid, for arithmetic with fields."""
    if value.dim() == 0:
        return wrap(value)
    if tuple(value.shape) != layout.grid:
        raise ValueError(
            f"value of shape {tuple(value.shape)} is neither a scalar nor on the grid {layout.grid}; "
            "interpolate coarse coefficients with CoarseField."
        )
    return wrap(value, spatial(_names(layout)))


def _centres(channels: Tensor, layout: Layout) -> Field:
    names = _names(layout)
    if channels.shape[1] == 1:
        values = wrap(channels[:, 0], batch("batch"), spatial(names))
    else:
        values = wrap(channels, batch("batch"), channel(vector=names), spatial(names))
    return CenteredGrid(values, _boundary(layout), _box(layout))


def _faces(channels: Tensor, layout: Layout) -> Field:
    names = _names(layout)
    components = []
    for axis, kind in enumerate(layout.axis_kinds):
        values = channels[:, axis]
        if kind == "dirichlet":
            values = values.narrow(axis + 1, 1, layout.grid[axis] - 1)
        components.append(wrap(values, batch("batch"), spatial(names)))
    faces = stack(components, dual(vector=names))
    resolution = spatial(**dict(zip(names.split(","), layout.grid, strict=True)))
    return StaggeredGrid(faces, _boundary(layout), _box(layout), resolution)


def _components(field: Field, name: str, count: int) -> list[PhiTensor]:
    dim = "~vector" if field.is_staggered else "vector"
    size = field.values.shape.get_size(dim) if dim in field.values.shape else 1
    if size != count:
        raise ValueError(f"field {name!r} has {size} components; the layout needs {count}.")
    # Of a tensor without the dimension, PhiML's slice is the tensor itself.
    return [field.values[{dim: axis}] for axis in range(count)]


def _native(values: PhiTensor, shape: Shape, name: str) -> Tensor | NDArray[np.floating]:
    """The values in the order of `shape`; PhiFlow keeps constants collapsed, and as numpy arrays."""
    if any(dim not in shape or values.shape.get_size(dim) != shape.get_size(dim) for dim in values.shape.names):
        raise ValueError(f"field {name!r} has values of shape {values.shape}; the layout needs {shape}.")
    native: Tensor | NDArray[np.floating] = expand(values, shape).native(shape)
    return native


def _with_wall(faces: Tensor, axis: int) -> Tensor:
    wall = torch.zeros_like(faces.narrow(axis + 1, 0, 1))
    return torch.cat([wall, faces], dim=axis + 1)


def _shape(size: int, layout: Layout, without_first: int | None) -> Shape:
    grid = [n - (axis == without_first) for axis, n in enumerate(layout.grid)]
    return batch(batch=size) & spatial(**dict(zip(_names(layout).split(","), grid, strict=True)))


def _box(layout: Layout) -> Box:
    bounds = {}
    for axis, name in enumerate(_names(layout).split(",")):
        shift = layout.spacing[axis] / 2 if layout.axis_kinds[axis] == "periodic" else 0.0
        bounds[name] = (layout.lower[axis] - shift, layout.upper[axis] - shift)
    return Box(**bounds)


def _boundary(layout: Layout) -> Extrapolation:
    require_kinds(layout, "PhiFlow", ("dirichlet", "neumann"))
    kinds = (BOUNDARIES[kind] for kind in layout.axis_kinds)
    return combine_sides(**dict(zip(_names(layout).split(","), kinds, strict=True)))


def _names(layout: Layout) -> str:
    """The axes as PhiML writes them: 'x,y'."""
    return ",".join("xyz"[: layout.dims])


def _require_faces(name: str, layout: Layout) -> None:
    components = {spec.name: spec.components for spec in layout.fields}
    if name not in components:
        raise ValueError(f"staggered field {name!r} is not in the layout; it has {sorted(components)}.")
    if components[name] != layout.dims:
        raise ValueError(
            f"staggered field {name!r} has {components[name]} components on {layout.dims} axes; "
            "each axis has faces of its own: give it one component for each."
        )
    if "neumann" in layout.axis_kinds:
        raise ValueError(
            f"staggered field {name!r} has one face more than cells along a Neumann axis, and a state has no room "
            "for it; keep the field at cell centres, or make that axis Dirichlet or periodic."
        )
