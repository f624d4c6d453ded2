"""What a state means: its fields, its grid, its boundaries and its time step. Pure data, no tensors.

Everything that reads, steps, stores or draws states takes a `Layout`, so that two objects fit together
exactly when their layouts are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

Boundary = Literal["periodic", "dirichlet", "neumann", "robin", "outflow"]
Ends = Boundary | tuple[Boundary, Boundary]
"""Of one axis: the kind at both ends, or those at the lower and at the upper one."""
Centring = Literal["cells", "nodes"]
LARGEST = 1e30
"""Of lengths and times, in any unit: what is computed with their squares and inverses stays finite."""


@dataclass(frozen=True)
class Field:
    """One physical quantity on the grid.

    name: as the data call it.
    components: 1 for a scalar, the number of space dimensions for a vector; each is one channel.
    static: given and unchanged in time (a coefficient, an obstacle); steppers pass it through.
    unit: for labels; no unit is ever converted.
    """

    name: str
    components: int = 1
    static: bool = False
    unit: str = "1"

    def __post_init__(self) -> None:
        if not 1 <= self.components <= 3:
            raise ValueError(
                f"field {self.name!r} has {self.components} components; a scalar has one, a vector two or three: "
                "give what has more as several fields."
            )


@dataclass(frozen=True)
class Layout:
    """Fields, grid and time step of states of shape (batch, channels, *grid).

    Channels are the components of the fields in order. Along a periodic axis the points are
    x_i = lower + i Δx, so the upper end, which is the lower end again, is not repeated; along any other axis
    they are the centres of cells, x_i = lower + (i + 1/2) Δx. Either way Δx = (upper − lower) / points.
    Or they are nodes, the first and the last on the ends: x_i = lower + i Δx, Δx = (upper − lower) / (points − 1).

    An axis is periodic, or has a kind at each of its ends: one word where they are alike, a pair, lower and upper,
    where they differ. dirichlet: a value; neumann: a flux; robin: an exchange with what is outside; outflow: no
    normal derivative of what leaves. What value and what flux the simulator knows (`physics.walls`); without, zero.

    dt: the interval between two states of the data, in `time_unit`.
    centring: of each axis, whether its points are cells or nodes; cells if left out, and of periodic axes.

    >>> layout = Layout.box([Field("u")], grid=(64, 32), extent=[(0, 2), (0, 1)], boundary="periodic", dt=0.1)
    >>> layout.spacing
    (0.03125, 0.03125)
    >>> layout.state_shape
    (1, 64, 32)
    """

    fields: tuple[Field, ...]
    grid: tuple[int, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    boundary: tuple[Ends, ...]
    dt: float
    space_unit: str = "1"
    time_unit: str = "1"
    centring: tuple[Centring, ...] = ()

    def __post_init__(self) -> None:
        dims = len(self.grid)
        if not 1 <= dims <= 3:
            raise ValueError(f"grid {self.grid} has {dims} axes; Cotwin handles one to three.")
        if not len(self.lower) == len(self.upper) == len(self.boundary) == dims:
            raise ValueError(f"grid {self.grid} has {dims} axes; lower, upper and boundary need one entry for each.")
        if not self.fields:
            raise ValueError("a layout needs at least one field.")
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise ValueError(f"field names must differ from each other, got {names}.")
        if all(field.static for field in self.fields):
            raise ValueError(f"every field of {names} is static; nothing would change in time.")
        if any(points < 2 for points in self.grid):
            raise ValueError(f"grid {self.grid} has an axis with fewer than two points; drop that axis.")
        for low, high in zip(self.lower, self.upper, strict=True):
            if not -LARGEST < low < high < LARGEST:
                raise ValueError(
                    f"the domain [{low}, {high}] is empty or endless; each upper end must lie above its lower end, "
                    f"and both between ±{LARGEST:g}."
                )
        object.__setattr__(self, "boundary", tuple(map(_ends, self.boundary)))
        centring = self.centring or ("cells",) * dims
        if len(centring) != dims or not set(centring) <= set(get_args(Centring)):
            raise ValueError(f"centring {centring} needs cells or nodes for each of {dims} axes.")
        periodic = map(self.is_periodic, range(dims))
        centring = tuple("cells" if around else one for one, around in zip(centring, periodic, strict=True))
        object.__setattr__(self, "centring", centring)
        if not 0 < self.dt < LARGEST:
            raise ValueError(
                f"dt is {self.dt}; the interval between two states must be positive, and below {LARGEST:g}."
            )

    @classmethod
    def box(
        cls,
        fields: list[Field] | tuple[Field, ...],
        *,
        grid: tuple[int, ...],
        extent: list[tuple[float, float]],
        boundary: Boundary | tuple[Ends, ...],
        dt: float,
        space_unit: str = "1",
        time_unit: str = "1",
        centring: Centring | tuple[Centring, ...] = "cells",
    ) -> Layout:
        """A layout from (lower, upper) pairs, and one boundary for all axes or one for each, or for each of its ends.

        centring: of all axes, or of each.

        >>> box = dict(grid=(8,), extent=[(0, 1)], dt=0.1)
        >>> Layout.box([Field("u")], boundary=(("dirichlet", "neumann"),), **box).sides(0)
        ('dirichlet', 'neumann')
        """
        kinds = (boundary,) * len(grid) if isinstance(boundary, str) else boundary
        lower = tuple(float(low) for low, _ in extent)
        upper = tuple(float(high) for _, high in extent)
        placed = (centring,) * len(grid) if isinstance(centring, str) else centring
        return cls(tuple(fields), tuple(grid), lower, upper, kinds, float(dt), space_unit, time_unit, placed)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Layout:
        """From what `dataclasses.asdict` made of a layout, also by way of JSON, where tuples are lists.

        >>> from dataclasses import asdict
        >>> layout = Layout.box([Field("u")], grid=(8,), extent=[(0, 1)], boundary="neumann", dt=0.1)
        >>> Layout.from_dict(asdict(layout)) == layout
        True
        """
        fields = tuple(Field(**field) for field in values["fields"])
        return cls(**(_frozen(values) | {"fields": fields}))

    @property
    def dims(self) -> int:
        """Number of space dimensions."""
        return len(self.grid)

    @property
    def channels(self) -> int:
        """Number of channels of a state: the components of all fields."""
        return sum(field.components for field in self.fields)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one state, (channels, *grid)."""
        return (self.channels, *self.grid)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Δx along each axis, in `space_unit`."""
        intervals = [n - self.has_nodes(axis) for axis, n in enumerate(self.grid)]
        return tuple((high - low) / n for low, high, n in zip(self.lower, self.upper, intervals, strict=True))

    @property
    def static_channels(self) -> tuple[bool, ...]:
        """For each channel, whether its field is static."""
        return tuple(field.static for field in self.fields for _ in range(field.components))

    @property
    def channel_names(self) -> tuple[str, ...]:
        """A label for each channel: the field's name, with the component's axis where it has several."""
        return tuple(
            field.name if field.components == 1 else f"{field.name}_{'xyz'[axis]}"
            for field in self.fields
            for axis in range(field.components)
        )

    def channels_of(self, name: str) -> list[int]:
        """Where a field's components are."""
        fields = [field.name for field in self.fields for _ in range(field.components)]
        return [channel for channel, field in enumerate(fields) if field == name]

    @property
    def kinds(self) -> frozenset[Boundary]:
        """What stands at any end of any axis."""
        return frozenset(kind for axis in range(self.dims) for kind in self.sides(axis))

    @property
    def axis_kinds(self) -> tuple[Boundary, ...]:
        """The kind of each axis, for whoever needs its two ends alike. Raises ValueError where they differ."""
        kinds: list[Boundary] = []
        for axis, (lower, upper) in enumerate(map(self.sides, range(self.dims))):
            if lower != upper:
                raise ValueError(
                    f"along {'xyz'[axis]} the lower end is {lower!r} and the upper one {upper!r}; here both ends of "
                    "an axis need the same kind. Finite volumes (heat, advection_diffusion) take ends that differ."
                )
            kinds.append(lower)
        return tuple(kinds)

    def sides(self, axis: int) -> tuple[Boundary, Boundary]:
        """What stands at the lower and at the upper end of an axis."""
        return both_ends(self.boundary[axis])

    def is_periodic(self, axis: int) -> bool:
        """Whether the upper end of an axis is its lower end again."""
        return self.boundary[axis] == "periodic"

    @property
    def holds_nodes(self) -> bool:
        """Whether some of its points lie on ends that hold a value."""
        return any(self.has_nodes(axis) and "dirichlet" in self.sides(axis) for axis in range(self.dims))

    def has_nodes(self, axis: int) -> bool:
        """Whether the first and the last point of an axis lie on its ends."""
        return self.centring[axis] == "nodes"

    def widths(self, axis: int) -> list[float]:
        """Of the control volumes of the points along one axis: Δx, and of nodes on the ends half of it."""
        widths = [self.spacing[axis]] * self.grid[axis]
        if self.has_nodes(axis):
            widths[0] = widths[-1] = self.spacing[axis] / 2
        return widths

    def points(self, axis: int) -> list[float]:
        """Coordinates of the grid points along one axis, in `space_unit`."""
        offset = 0.0 if self.is_periodic(axis) or self.has_nodes(axis) else 0.5
        return [self.lower[axis] + (i + offset) * self.spacing[axis] for i in range(self.grid[axis])]

    def face(self, axis: int) -> Layout:
        """The layout of one end of an axis, of two or more: all but that axis."""
        below, above = slice(None, axis), slice(axis + 1, None)
        return replace(
            self,
            grid=self.grid[below] + self.grid[above],
            lower=self.lower[below] + self.lower[above],
            upper=self.upper[below] + self.upper[above],
            boundary=self.boundary[below] + self.boundary[above],
            centring=self.centring[below] + self.centring[above],
        )

    def refined(self, factor: int) -> Layout:
        """The same domain with a spacing that is `factor` times smaller along each axis."""
        if factor < 1:
            raise ValueError(f"refinement factor is {factor}; it must be at least 1.")
        nodes = [self.has_nodes(axis) for axis in range(self.dims)]
        return replace(self, grid=tuple((n - one) * factor + one for n, one in zip(self.grid, nodes, strict=True)))

    def require_state(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless `shape` is (batch, *state_shape)."""
        if len(shape) != self.dims + 2:
            raise ValueError(
                f"state of shape {tuple(shape)} has {len(shape)} axes; this layout needs "
                f"(batch, channels, *grid) "
                f"= (batch, {', '.join(map(str, self.state_shape))})."
            )
        if shape[1] != self.channels:
            raise ValueError(
                f"state has {shape[1]} channels, layout {self.channel_names} needs {self.channels}; "
                "build both from the same Layout."
            )
        if tuple(shape[2:]) != self.grid:
            raise ValueError(
                f"state has grid {tuple(shape[2:])}, layout needs {self.grid}; build both from the same Layout."
            )


def both_ends(ends: Ends) -> tuple[Boundary, Boundary]:
    """The kinds at the lower and at the upper end of an axis.

    >>> both_ends("neumann"), both_ends(("dirichlet", "neumann"))
    (('neumann', 'neumann'), ('dirichlet', 'neumann'))
    """
    return (ends, ends) if isinstance(ends, str) else ends


def _ends(ends: Any) -> Ends:
    """One word where both ends are alike. Raises ValueError for what is no kind, or half a period."""
    pair: tuple[Any, ...] = (ends, ends) if isinstance(ends, str) else tuple(ends)
    for kind in pair:
        if kind not in get_args(Boundary):
            raise ValueError(f"unknown boundary {kind!r}; choose among {', '.join(get_args(Boundary))}.")
    if len(pair) != 2:
        raise ValueError(f"boundary {list(pair)} of one axis has {len(pair)} ends; give the lower and the upper one.")
    lower, upper = pair
    if lower != upper and "periodic" in pair:
        raise ValueError(f"boundary {list(pair)} of one axis: an axis is periodic at both ends, or at none.")
    merged: Ends = lower if lower == upper else (lower, upper)
    return merged


def _frozen(value: Any) -> Any:
    """With tuples where JSON has lists, inside each other too."""
    if isinstance(value, Mapping):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
