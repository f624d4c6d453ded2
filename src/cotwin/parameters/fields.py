"""Parameters that are made of others: vectors, and fields on a grid from few numbers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters.parameter import Parameter


class ZeroMean(Parameter):
    """A field less its mean: for a potential, whose constant nothing determines.

    >>> from cotwin.parameters import Real
    >>> ZeroMean(Real(torch.tensor([1.0, 2.0, 6.0])))()
    tensor([-2., -1.,  3.], grad_fn=<SubBackward0>)
    """

    def __init__(self, field: Parameter) -> None:
        super().__init__(field.unit)
        self.field = field

    def forward(self) -> Float[Tensor, "*K"]:
        value = self.field()
        return value - value.mean()


class Vector(Parameter):
    """Several parameters side by side, (N,) or (N, *S): components of a vector, each a scalar or a field by itself.

    >>> from cotwin.parameters import Known, Positive
    >>> Vector(Positive(0.7), Known(0.0))()
    tensor([0.7000, 0.0000], grad_fn=<StackBackward0>)
    """

    batched = True

    def __init__(self, *components: Parameter) -> None:
        super().__init__(components[0].unit)
        # The values of groups, of times, are no value of the vector.
        self.by_parts = any(component.by_parts for component in components)
        for axis, component in enumerate(components):
            self.add_module(str(axis), component)

    @property
    def components(self) -> list[Parameter]:
        """In their order; one may stand there twice, which `children` would leave out."""
        return [component for component in self._modules.values() if isinstance(component, Parameter)]

    def forward(self) -> Float[Tensor, "N *S"]:
        return torch.stack(torch.broadcast_tensors(*(component() for component in self.components)))

    def unbounded(self, value: Float[Tensor, "N *S"]) -> Float[Tensor, "N *S"]:
        return torch.stack([one.unbounded(part) for one, part in zip(self.components, value, strict=True)])

    def bounded(self, numbers: Float[Tensor, "N *S"]) -> Float[Tensor, "N *S"]:
        return torch.stack([one.bounded(part) for one, part in zip(self.components, numbers, strict=True)])


def as_vector(value: Parameter | tuple[Parameter, ...]) -> Parameter:
    """A vector of its components, or what is one already."""
    return Vector(*value) if isinstance(value, tuple) else value


class GaussianSum(Parameter):
    """A field of bumps on the layout's grid, p(x) = base + Σ_i A_i exp(−|x − c_i|²/w²).

    amplitudes: A, of shape (n,), in the field's unit. centres: c, of shape (n, dims), and width: w, a scalar, in the
    layout's unit of length. base: in the field's unit.

    >>> from cotwin.layout import Field, Layout
    >>> from cotwin.parameters import Known, Positive, Real
    >>> layout = Layout.box([Field("u")], grid=(4, 6), extent=[(-1, 1), (0, 3)], boundary="neumann", dt=0.1)
    >>> bumps = GaussianSum(Positive(torch.ones(2)), Real(torch.zeros(2, 2)), Known(1.0), layout, base=0.1)
    >>> bumps().shape
    torch.Size([4, 6])
    """

    by_parts = True

    def __init__(
        self, amplitudes: Parameter, centres: Parameter, width: Parameter, layout: Layout, base: float = 0.0
    ) -> None:
        super().__init__(amplitudes.unit)
        heights, places = tuple(amplitudes().shape), tuple(centres().shape)
        if len(heights) != 1 or places != (heights[0], layout.dims) or tuple(width().shape) != ():
            raise ValueError(
                f"amplitudes {heights}, centres {places} and width {tuple(width().shape)} do not fit: n bumps on "
                f"{layout.dims} axes need (n,), (n, {layout.dims}) and ()."
            )
        self.amplitudes, self.centres, self.width, self.base = amplitudes, centres, width, base
        self.dims = layout.dims
        for axis in range(layout.dims):
            points = torch.tensor(layout.points(axis), dtype=torch.float64)
            self.register_buffer(f"points_{axis}", points, persistent=False)

    def forward(self) -> Float[Tensor, "*S"]:
        amplitudes, centres, width = self.amplitudes(), self.centres(), self.width()
        bumps = amplitudes.view(-1, *[1] * self.dims)
        for axis in range(self.dims):
            points: Tensor = getattr(self, f"points_{axis}").to(amplitudes.dtype)
            shape = [len(amplitudes), *[1] * self.dims]
            shape[axis + 1] = len(points)
            bumps = bumps * torch.exp(-(((points - centres[:, axis, None]) / width) ** 2)).view(shape)
        return self.base + bumps.sum(dim=0)


class CoarseField(Parameter):
    """A smooth field on the layout's grid from coefficients c on a coarse grid.

    p(x) = Σ_k c_k Π_axis B((x − x_k) / h), B the cubic B-spline, h the coarse spacing. The B-splines are
    non-negative and sum to one, so whatever bounds the coefficients keep, the field keeps.

    coefficients: a Parameter of shape (*K), one axis for each axis of the grid. Along periodic axes the
    splines wrap around; elsewhere the outermost coefficient continues beyond the boundary.
    Source: de Boor (1978), A Practical Guide to Splines, chapter IX.

    >>> from cotwin.layout import Field, Layout
    >>> from cotwin.parameters import Positive
    >>> layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    >>> CoarseField(Positive(torch.full((8,), 0.05)), layout)().shape
    torch.Size([64])
    """

    batched = True

    def __init__(self, coefficients: Parameter, layout: Layout) -> None:
        super().__init__(coefficients.unit)
        self.coefficients = coefficients
        coarse = tuple(coefficients().shape)
        if len(coarse) != layout.dims:
            raise ValueError(f"coefficients of shape {coarse} need one axis for each of the grid {layout.grid}.")
        if any(k < 2 or k > n for k, n in zip(coarse, layout.grid, strict=True)):
            raise ValueError(f"coarse grid {coarse} must have between two points and the grid's {layout.grid}.")
        self.dims = layout.dims
        for axis in range(layout.dims):
            weights = spline_weights(
                coarse[axis], layout.grid[axis], layout.is_periodic(axis), layout.has_nodes(axis)
            )
            self.register_buffer(f"weights_{axis}", weights, persistent=False)

    def forward(self) -> Float[Tensor, "*S"]:
        values: Tensor = self.coefficients()
        for axis in range(self.dims):
            weights: Tensor = getattr(self, f"weights_{axis}")
            # The first of the field's axes, which comes back as the last.
            values = torch.tensordot(values, weights.to(values.dtype), dims=([-self.dims], [1]))
        return values

    def unbounded(self, value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return self.coefficients.unbounded(value)

    def bounded(self, numbers: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return self.coefficients.bounded(numbers)


def spline_weights(num_coarse: int, num_fine: int, periodic: bool, nodes: bool = False) -> Float[Tensor, "N K"]:
    """Cubic B-spline weights from coarse to fine points of one axis; each row sums to one.

    nodes: whether the outermost fine points lie on the ends; the coarse ones are always cells between walls.
    """
    offset = 0.0 if periodic else 0.5
    first = 0.0 if nodes else offset
    fine = (torch.arange(num_fine, dtype=torch.float64) + first) * num_coarse / (num_fine - nodes) - offset
    left = fine.floor()
    t = fine - left
    # The four splines that are not zero between two knots.
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = torch.zeros(num_fine, num_coarse, dtype=torch.float64)
    for shift, piece in zip((-1, 0, 1, 2), pieces, strict=True):
        index = (left + shift).long()
        index = index % num_coarse if periodic else index.clamp(0, num_coarse - 1)
        weights.scatter_add_(1, index[:, None], piece[:, None] / 6)
    return weights
