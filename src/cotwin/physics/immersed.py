"""Solid cells in a flow on a staggered grid: at rest on their faces, without divergence, without iteration.

A force F on the solid faces, projected, changes a velocity u by P Rᵀ F, R the values on those faces. It stops what
passes them where R P Rᵀ F = −R u. That system is as large as there are solid faces and the same for every state. It
is solved once, by its pseudo-inverse: forces that only press on the inside of a solid change nothing.
Source: Taira & Colonius (2007), J. Comput. Phys. 225 for immersed boundaries by forces beside the pressure; Buzbee,
Dorr, George & Golub (1971), SIAM J. Numer. Anal. 8 for the capacitance matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cotwin.layout import Layout
from cotwin.physics.projection import Projection

MOST_FACES = 4000


class Immersed(nn.Module):
    """What stops a flow on the faces of solid cells. solid: which cells are, on the layout's grid."""

    solid: Tensor
    faces: Tensor
    index: Tensor
    forces: Tensor

    def __init__(self, solid: Bool[Tensor, "X Y"], projection: Projection) -> None:
        super().__init__()
        layout = projection.layout
        if tuple(solid.shape) != layout.grid:
            raise ValueError(f"the obstacle has {tuple(solid.shape)} cells, the layout {layout.grid}.")
        faces = torch.stack([solid | _below(solid, axis, layout) for axis in range(2)])
        # Walls are at rest already.
        faces = faces & projection.free_faces(torch.zeros((), dtype=torch.float64)).bool()
        index = faces.flatten().nonzero().flatten()
        if not 1 <= len(index) <= MOST_FACES:
            raise ValueError(
                f"the obstacle has {len(index)} faces of solid cells beside walls; give it from 1 to {MOST_FACES}: a "
                "smaller one, or a coarser grid."
            )
        self.register_buffer("solid", solid, persistent=False)
        self.register_buffer("faces", faces, persistent=False)
        self.register_buffer("index", index, persistent=False)
        symmetric = "neumann" not in layout.kinds
        response = _response(index, projection)
        forces = torch.linalg.pinv(response, rtol=1e-10, hermitian=symmetric)
        self.register_buffer("forces", forces, persistent=False)

    def prepare(
        self, like: Tensor, project: Callable[[Tensor], Tensor]
    ) -> Callable[[Float[Tensor, "B 2 *S"]], Float[Tensor, "B 2 *S"]]:
        """The map from a velocity without divergence to what has to be taken from it, in the precision of `like`."""
        forces = self.forces.to(like.dtype)

        def passing(velocity: Tensor) -> Tensor:
            flat = velocity.flatten(1)
            force = flat.index_select(1, self.index) @ forces.mT
            return project(torch.zeros_like(flat).index_copy(1, self.index, force).view_as(velocity))

        return passing


def _below(solid: Bool[Tensor, "X Y"], axis: int, layout: Layout) -> Bool[Tensor, "X Y"]:
    """Whether the cell below each one's lower face is solid; beyond the ends of the domain none is."""
    below = solid.roll(1, axis)
    if not layout.is_periodic(axis):
        below = below.clone()
        below.select(axis, 0).fill_(False)
    return below


def _response(index: Tensor, projection: Projection) -> Float[Tensor, "N N"]:
    """R P Rᵀ: on the solid faces, what a unit on each of them leaves once projected."""
    size = (2, *projection.layout.grid)
    columns = []
    for some in index.split(64):
        unit = torch.zeros(len(some), 2 * projection.layout.grid[0] * projection.layout.grid[1], dtype=torch.float64)
        unit.scatter_(1, some[:, None], 1.0)
        columns.append(projection(unit.view(-1, *size)).flatten(1)[:, index])
    return torch.cat(columns).mT
