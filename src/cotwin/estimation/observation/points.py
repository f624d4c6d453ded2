"""Sensors at points, which may move."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.estimation.observation.interpolation import (
    Stencil,
    gathered,
    lagrange,
    periodic_lagrange,
    places_of,
)
from cotwin.estimation.observation.lattice import Lattice, ranked
from cotwin.estimation.observation.observation import (
    Observation,
    moving_channels,
    named_channels,
    require_trajectories,
)
from cotwin.estimation.observation.times import quantity, steps_at, time_notes, time_of
from cotwin.layout import Layout


class Points(Observation):
    """One channel at one place and one time for each value, interpolated: y_m = u_c(x_m, t_m) of rollout b_m.

    positions: x (M, dims), in `layout.space_unit`; different for each value, so that a sensor may move. Periodic
    axes have both their ends, which are the same place.
    times: t (M,), in `layout.time_unit`, 0 at the start; num_steps is the fewest steps that reach the last.
    channel: c, the name of one for all values, or (M,) numbers of channels; never a static one.
    trajectory: b (M,), which of the `num_trajectories` rollouts; None if all are of the first.
    offsets: (C, dims), for each channel how far its points lie above those of the layout, in cells, for staggered
    grids (`face_offsets`); None if they are the layout's.

    Scheme: cubic Lagrange polynomials through 4 points along each axis and in time, fourth order; a grid point or a
    step that is met, to 1e-6 of their distance or to the rounding of the numbers given, alone. Towards ends that are
    not periodic the outermost 4 points are used, and beyond the last of them, half a cell before the wall, their
    polynomial goes on. Not a mirror image: its sign would differ between channels, and only the simulator knows it
    (`neumann` walls of the shallow water turn the velocity round, `dirichlet` walls of a flow keep what it carries).

    Raises ValueError for a position outside the domain, a time before the start, a channel or rollout that there is
    not, or shapes that do not fit.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="neumann", dt=0.1)
    >>> seen = Points(layout, torch.tensor([[0.5]]), torch.tensor([0.1]), channel="u")
    >>> seen(torch.arange(8.0).view(1, 2, 1, 4))
    tensor([5.5000])
    """

    index: Tensor
    weight: Tensor
    positions: Tensor

    def __init__(
        self,
        layout: Layout,
        positions: Float[Tensor, "M dims"],
        times: Float[Tensor, " M"],
        channel: Int[Tensor, " M"] | str,
        trajectory: Int[Tensor, " M"] | None = None,
        num_trajectories: int = 1,
        offsets: Float[Tensor, "C dims"] | None = None,
        points: tuple[int, int] = (4, 4),
    ) -> None:
        require_trajectories(num_trajectories)
        steps, num_steps = steps_at(times, layout)
        which = torch.zeros_like(times, dtype=torch.long) if trajectory is None else trajectory.long()
        if isinstance(channel, str):
            seen = named_channels(layout, [channel]).to(times.device).expand(len(times))
        else:
            seen = channel.long()
        require_fit(layout, positions, times, seen, which, num_trajectories)
        require_inside(layout, positions)
        cells = cells_at(layout, positions, _offsets_of(layout, seen, offsets))
        stencil = states_at(layout, which, lagrange(steps, num_steps + 1, points[0]), num_steps, seen)
        for axis, count in enumerate(layout.grid):
            along = periodic_lagrange if layout.is_periodic(axis) else lagrange
            stencil = stencil.inside(along(cells[:, axis], count, points[1]), count)
        notes = [*time_notes(steps, num_steps, layout), *_end_notes(layout, cells)]
        super().__init__(layout, num_trajectories, num_steps, which, time_of(steps, layout), seen.clone(), notes)
        self.offsets, self.points = offsets, points
        self.between = tuple(bool((one != one.round()).any()) for one in (steps, cells))
        self.register_buffer("index", stencil.index, persistent=False)
        self.register_buffer("weight", stencil.weight, persistent=False)
        self.register_buffer("positions", positions.double(), persistent=False)

    @classmethod
    def of_sensors(
        cls,
        layout: Layout,
        path: Float[Tensor, "T N dims"] | Float[Tensor, "N dims"],
        times: Float[Tensor, " T"],
        channels: Sequence[str],
        num_trajectories: int = 1,
        offsets: Float[Tensor, "C dims"] | None = None,
    ) -> Points:
        """N sensors, fixed (N, dims) or each with its place at each time (T, N, dims), that see the same channels.

        Every rollout is seen. Values in the order of (B, T, N, channels), into which they may be viewed.
        Raises ValueError as the class does.
        """
        require_trajectories(num_trajectories)
        if path.ndim == 2:
            path = path.expand(len(times), *path.shape)
        if path.ndim != 3 or len(path) != len(times):
            raise ValueError(
                f"the sensors' path has the shape {tuple(path.shape)} for {len(times)} times; give (sensors, "
                f"{layout.dims}) if they stay, ({len(times)}, sensors, {layout.dims}) if they move."
            )
        seen = named_channels(layout, channels).to(times.device)
        shape = (num_trajectories, len(times), path.shape[1], len(seen))
        which = torch.arange(num_trajectories, device=times.device)[:, None, None, None].expand(shape)
        return cls(
            layout,
            path[None, :, :, None].expand(*shape, path.shape[2]).flatten(0, 3),
            times[None, :, None, None].expand(shape).flatten(),
            seen.expand(shape).flatten(),
            trajectory=which.flatten(),
            num_trajectories=num_trajectories,
            offsets=offsets,
        )

    def through(self, in_time: int, in_space: int) -> Points:
        between = self.between
        points = (in_time if between[0] else self.points[0], in_space if between[1] else self.points[1])
        if points == self.points:
            return self
        return Points(
            self.layout,
            self.positions,
            self.time,
            self.channel,
            self.trajectory,
            self.num_trajectories,
            self.offsets,
            points,
        )

    def places(self) -> Float[Tensor, "M dims"]:
        return self.positions

    def lattices(self) -> list[tuple[slice, Lattice]]:
        places = {f"along {'xyz'[axis]}": ranked(own) for axis, own in enumerate(self.positions.unbind(1))}
        series = self.trajectory * self.layout.channels + self.channel
        return [(slice(0, self.size), Lattice.of(series, {"in time": ranked(self.time), **places}))]

    def forward(self, states: Float[Tensor, "B T C *S"]) -> Float[Tensor, " M"]:
        self.require_states(states)
        return gathered(states, Stencil(self.index, self.weight))


def face_offsets(layout: Layout) -> Float[Tensor, "C dims"]:
    """The `offsets` of a staggered grid: component a of the velocity, the first moving field, on the faces below.

    Of `IncompressibleFlow` and `Smoke`. Raises ValueError if that field has not a component for each axis.
    """
    moving = moving_channels(layout)
    offsets = torch.zeros(layout.channels, layout.dims, dtype=torch.float64)
    field = next(field for field in layout.fields if not field.static)
    if field.components != layout.dims:
        raise ValueError(
            f"the first moving field, {field.name!r}, has {field.components} components on {layout.dims} axes; on a "
            "staggered grid it is the velocity, with one for each. On any other grid give no offsets."
        )
    for axis in range(layout.dims):
        offsets[moving[axis], axis] = -0.5
    return offsets


def states_at(
    layout: Layout, trajectory: Int[Tensor, " M"], in_time: Stencil, num_steps: int, channel: Int[Tensor, " M"]
) -> Stencil:
    """Of states (B, T, C), the axes of space to be put inside: from the outside of the states' axes to the inside."""
    one = torch.ones(len(trajectory), 1, dtype=torch.float64, device=trajectory.device)
    stencil = Stencil(trajectory[:, None], one).inside(in_time, num_steps + 1)
    return stencil.inside(Stencil(channel[:, None], one), layout.channels)


def require_fit(
    layout: Layout, positions: Tensor, times: Tensor, channel: Tensor, trajectory: Tensor, num_trajectories: int
) -> None:
    count = len(times)
    shapes = {"positions": (count, layout.dims), "channel": (count,), "trajectory": (count,)}
    for (name, shape), given in zip(shapes.items(), (positions, channel, trajectory), strict=True):
        if tuple(given.shape) != shape:
            raise ValueError(
                f"{name} has the shape {tuple(given.shape)}, {count} times on {layout.dims} axes need {shape}; "
                "give one row for each value."
            )
    unknown = sorted(set(channel.tolist()) - set(moving_channels(layout)))
    if unknown:
        choice = ", ".join(f"{number} ({layout.channel_names[number]})" for number in moving_channels(layout))
        raise ValueError(f"channel {unknown[0]} is static or unknown; choose among {choice}.")
    if int(trajectory.min()) < 0 or int(trajectory.max()) >= num_trajectories:
        raise ValueError(
            f"values are of rollouts {int(trajectory.min())} to {int(trajectory.max())}, num_trajectories is "
            f"{num_trajectories}; count them from 0, and give num_trajectories at least one more than the last."
        )


def require_inside(layout: Layout, positions: Tensor) -> None:
    inside = torch.ones(len(positions), dtype=torch.bool, device=positions.device)
    for axis, (low, high) in enumerate(zip(layout.lower, layout.upper, strict=True)):
        cells = places_of(positions[:, axis], low, layout.spacing[axis])
        # Not-a-number is outside too.
        inside &= (cells >= 0) & (cells <= places_of(cells.new_tensor(high), low, layout.spacing[axis]))
    outside = (~inside).nonzero()[:, 0]
    if len(outside):
        first = int(outside[0])
        domain = " × ".join(f"[{low:g}, {high:g}]" for low, high in zip(layout.lower, layout.upper, strict=True))
        place = ", ".join(quantity(x, layout.space_unit) for x in positions[first].tolist())
        raise ValueError(
            f"position {first}, ({place}), is outside the domain {domain}; {len(outside)} of {len(positions)} are. "
            f"Give positions in the layout's unit of length, {layout.space_unit!r}, and leave out sensors outside."
        )


def cells_at(layout: Layout, positions: Tensor, offsets: Tensor) -> Float[Tensor, "M dims"]:
    """Positions counted in points of their channel: 0 is the first of an axis, 1 the second."""
    columns = []
    for axis, spacing in enumerate(layout.spacing):
        first = layout.points(axis)[0] + offsets[:, axis] * spacing
        columns.append(places_of(positions[:, axis], first, spacing))
    return torch.stack(columns, dim=1)


def _offsets_of(layout: Layout, channel: Tensor, offsets: Tensor | None) -> Float[Tensor, "M dims"]:
    if offsets is None:
        return torch.zeros(len(channel), layout.dims, dtype=torch.float64, device=channel.device)
    if tuple(offsets.shape) != (layout.channels, layout.dims):
        raise ValueError(
            f"offsets have the shape {tuple(offsets.shape)}; give one row for each channel and one column for "
            f"each axis, {(layout.channels, layout.dims)}."
        )
    return offsets.double().to(channel.device)[channel]


def _end_notes(layout: Layout, cells: Float[Tensor, "M dims"]) -> list[str]:
    beyond = torch.zeros(len(cells), dtype=torch.bool, device=cells.device)
    for axis, (count, ends) in enumerate(zip(layout.grid, layout.boundary, strict=True)):
        if ends != "periodic":
            beyond |= (cells[:, axis] < 0) | (cells[:, axis] > count - 1)
    if not beyond.any():
        return []
    return [
        f"{int(beyond.sum()):,} of {len(cells):,} positions lie between the outermost grid points and the walls: "
        "extrapolated by cubic polynomials in space"
    ]
