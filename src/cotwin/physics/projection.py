"""The pressure that keeps a flow on a staggered grid incompressible, by transforms.

Velocity (B, 2, *S): component a at index i lies on the face below cell i along axis a, at centres along the other.
Pressure (B, 1, *S): at cell centres.
Ends of an axis: dirichlet is a wall, which lets nothing through; there the pressure has no slope. neumann is open:
the pressure is zero on the outer faces. A state has no room for the outer face above the last cell: its velocity
follows from the cell's other faces, since the cell has no divergence.
Scheme: second order. The discrete Laplacian, the divergence of the gradient, is a sum over the axes of second
differences, whose eigenvectors are sampled cosines, sines or waves: its inverse is exact, up to rounding, by four
matrix products, on any device, without iteration; autograd needs no more than they do.
Source: Harlow & Welch (1965), Phys. Fluids 8 for the grid; Strang (1999), SIAM Review 41 for the transforms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cotwin.layout import Boundary, Layout
from cotwin.physics.ends import with_ghosts
from cotwin.physics.finite_volume import difference, lower
from cotwin.physics.requirements import require_kinds

# How the pressure continues beyond the ends of an axis, in the words of `with_ghosts`.
PRESSURE: dict[Boundary, Boundary] = {"periodic": "periodic", "dirichlet": "neumann", "neumann": "dirichlet"}

Scalar = Float[Tensor, "B 1 *S"]


class Projection(nn.Module):
    """Takes from a velocity (B, 2, *S) the gradient that holds its divergence: P u = u − ∇p, ∇·P u = 0.

    P is linear, and a projection: P P = P. It keeps the walls' faces at zero, whatever is given there. For closed and
    periodic axes it is symmetric; for an open one in the inner product in which faces of the ends count half.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        if layout.dims != 2:
            raise ValueError(f"the layout has {layout.dims} axes; the staggered grid is made for two.")
        require_kinds(layout, "the staggered grid", ("dirichlet", "neumann"))
        if layout.axis_kinds == ("neumann", "neumann"):
            raise ValueError(
                "both axes have open (neumann) ends; of the two outer faces of a corner's cell a state could hold "
                "neither, and its divergence tells but one. Make one axis closed (dirichlet) or periodic."
            )
        self.layout = layout
        for axis, points in enumerate(layout.grid):
            # Integers, since .to(dtype) would round floating buffers; double precision is made from them.
            self.register_buffer(f"orders_{axis}", torch.arange(points), persistent=False)

    def forward(self, velocity: Float[Tensor, "B 2 *S"]) -> Float[Tensor, "B 2 *S"]:
        return self.mapping(velocity)(velocity)

    def mapping(self, like: Tensor) -> Callable[[Float[Tensor, "B 2 *S"]], Float[Tensor, "B 2 *S"]]:
        """P in the precision of `like`. Called once a rollout: the matrices are made here."""
        layout, free, pressure = self.layout, self.free_faces(like), self.prepare(like)

        def project(velocity: Tensor) -> Tensor:
            surplus = divergence(with_end_face(velocity, layout), layout)
            return without_gradient(velocity, pressure(surplus), layout) * free

        return project

    def prepare(self, like: Tensor) -> Callable[[Scalar], Scalar]:
        """The map from a divergence, 1/time, to the p without mean with ∇·∇p as that, in the precision of `like`.

        Called once a rollout: the matrices are made here.
        """
        kinds = [PRESSURE[kind] for kind in self.layout.axis_kinds]
        orders: list[Tensor] = [getattr(self, f"orders_{axis}") for axis in range(2)]
        (x, rates_x), (y, rates_y) = (second_difference(n, kind) for n, kind in zip(orders, kinds, strict=True))
        dx, dy = self.layout.spacing
        rates = rates_x[:, None] / dx**2 + rates_y[None, :] / dy**2
        # Where no end fixes it, the pressure's mean is free.
        inverse = torch.where(rates < 0, 1 / torch.where(rates < 0, rates, 1.0), 0.0).to(like.dtype)
        x, y = x.to(like.dtype), y.to(like.dtype)

        def solve(rate: Tensor) -> Tensor:
            spectrum = x.mT @ (rate @ y)
            return (x @ (spectrum * inverse)) @ y.mT

        return solve

    def free_faces(self, like: Tensor) -> Float[Tensor, "2 *S"]:
        """One on the faces that fluid may pass, zero on those in walls."""
        free = like.new_ones(2, *self.layout.grid)
        for axis, kind in enumerate(self.layout.axis_kinds):
            if kind == "dirichlet":
                free[axis].select(axis, 0).zero_()
        return free


def second_difference(orders: Int[Tensor, "N"], kind: Boundary) -> tuple[Float[Tensor, "N N"], Float[Tensor, "N"]]:
    """Orthonormal eigenvectors, as columns, and eigenvalues of p_{i−1} − 2 p_i + p_{i+1}, in double precision.

    orders: 0, 1, …, N − 1. kind: of the ghosts beyond the ends, as `with_ghosts` makes them.

    >>> vectors, values = second_difference(torch.arange(4), "neumann")
    >>> bool(torch.allclose(vectors[1:3] @ (values * vectors[0]), torch.tensor([1.0, 0.0], dtype=torch.float64)))
    True
    """
    count = len(orders)
    if kind == "periodic":
        # A constant, then a cosine and a sine each, then on an even grid (−1)^i.
        modes, period = (orders + 1) // 2, count
        turns, cosine = orders[:, None] * modes, (orders % 2 == 1) | (orders == 0)
    else:
        modes, period = orders if kind == "neumann" else orders + 1, 4 * count
        turns, cosine = (2 * orders[:, None] + 1) * modes, torch.full_like(orders, kind == "neumann").bool()
    # Whole periods are left out while they are integers: the angles are exact to rounding.
    angles = (turns % period).double() * (2 * math.pi / period)
    vectors = torch.where(cosine, angles.cos(), angles.sin())
    half = math.pi / count if kind == "periodic" else math.pi / (2 * count)
    rates = -4 * (half * modes.double()).sin().square()
    # Exactly zero, so that it is known as the free mean.
    return vectors / vectors.norm(dim=0), rates.masked_fill(modes == 0, 0.0)


def with_end_face(velocity: Float[Tensor, "B 2 *S"], layout: Layout) -> Float[Tensor, "B 2 *F"]:
    """With open ends along an axis, one index more there: the normal face above the last cell, whose divergence is
    zero; the other component, which has no such face, is continued.
    """
    if "neumann" not in layout.axis_kinds:
        return velocity
    axis = layout.axis_kinds.index("neumann")
    across = 1 - axis
    last = velocity.narrow(axis + 2, -1, 1)
    along = last[:, across : across + 1]
    leaving = closed(along, across, layout.axis_kinds[across]).diff(dim=across + 2)
    outer = last[:, axis : axis + 1] - leaving * (layout.spacing[axis] / layout.spacing[across])
    ends = [along, along]
    ends[axis] = outer
    return torch.cat([velocity, torch.cat(ends, dim=1)], dim=axis + 2)


def divergence(faces: Float[Tensor, "B 2 *F"], layout: Layout) -> Float[Tensor, "B 1 *S"]:
    """∇·u of every cell, 1/time, of faces as `with_end_face` makes them; what they hold in walls is not read."""
    total: Tensor | None = None
    for axis, (kind, dx) in enumerate(zip(layout.axis_kinds, layout.spacing, strict=True)):
        across = 1 - axis
        component = faces[:, axis : axis + 1].narrow(across + 2, 0, layout.grid[across])
        part = difference(closed(component, axis, kind), axis + 2)
        total = part.mul_(1 / dx) if total is None else total.add_(part, alpha=1 / dx)
    assert total is not None
    return total


def without_gradient(
    faces: Float[Tensor, "B 2 *F"], pressure: Float[Tensor, "B 1 *S"], layout: Layout
) -> Float[Tensor, "B 2 *S"]:
    """u − ∇p on the face below each cell; ∇p is zero in walls."""
    components = []
    for axis, (kind, dx) in enumerate(zip(layout.axis_kinds, layout.spacing, strict=True)):
        slope = difference(lower(with_ghosts(pressure, axis + 2, PRESSURE[kind]), axis + 2), axis + 2)
        component = faces[:, axis : axis + 1, : layout.grid[0], : layout.grid[1]]
        components.append(torch.sub(component, slope, alpha=1 / dx))
    return torch.cat(components, dim=1)


def closed(normal: Float[Tensor, "B 1 *F"], axis: int, kind: Boundary) -> Float[Tensor, "B 1 *G"]:
    """A normal component with all of its faces along its axis, one more than cells."""
    dim = axis + 2
    if kind == "neumann":
        return normal
    if kind == "periodic":
        return torch.cat([normal, normal.narrow(dim, 0, 1)], dim=dim)
    wall = torch.zeros_like(normal.narrow(dim, 0, 1))
    return torch.cat([wall, normal.narrow(dim, 1, normal.shape[dim] - 1), wall], dim=dim)
