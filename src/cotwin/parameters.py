"""Unknowns of a physical model: in natural units for people, unconstrained for the optimiser.

Never a hard clip: it stops the gradient, so that a start on the bound would stay there for ever.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.layout import Boundary, Layout

Values = float | Float[Tensor, "*K"]


class Parameter(nn.Module, ABC):
    """A quantity of a physical model. Calling it gives its value in natural units, differentiably."""

    unit: str

    def __init__(self, unit: str = "1") -> None:
        super().__init__()
        self.unit = unit

    @abstractmethod
    def forward(self) -> Float[Tensor, "*K"]:
        """The value in natural units: a scalar, or an array."""

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        """Numbers free of any bound, each increasing with one of the value: what intervals are formed in."""
        return value

    def bounded(self, numbers: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        """The value of such numbers, in natural units, differentiably."""
        return numbers

    if TYPE_CHECKING:  # torch declares that calling a module may return anything

        def __call__(self) -> Tensor: ...


class Known(Parameter):
    """A constant: part of the model, not estimated.

    >>> Known(9.81, unit="m/s²")()
    tensor(9.8100)
    """

    def __init__(self, value: Values, unit: str = "1") -> None:
        super().__init__(unit)
        self.register_buffer("value", _as_tensor(value))

    value: Tensor

    def forward(self) -> Float[Tensor, "*K"]:
        return self.value


class Unknown(Parameter, ABC):
    """What is estimated: raw numbers, free of any bound, and the map from them to natural units.

    Optimisers write `raw`; a search from several starts writes `to_raw(quantile(q))` there.
    """

    raw: nn.Parameter

    def forward(self) -> Float[Tensor, "*K"]:
        return self.to_natural(self.raw)

    @abstractmethod
    def to_natural(self, raw: Float[Tensor, "*R"]) -> Float[Tensor, "*K"]:
        """The value of these raw numbers, in natural units, differentiably."""

    @abstractmethod
    def to_raw(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*R"]:
        """The raw numbers of a value in natural units. Raises ValueError where the parameter cannot have it."""

    @abstractmethod
    def quantile(self, q: Float[Tensor, "*R"]) -> Float[Tensor, "*K"]:
        """Values in natural units where a search looks that knows nothing but this parameter.

        q: a point of the unit cube, one number in [0, 1] for each of `raw`, which uniformly distributed points cover.
        """


class Elementwise(Unknown, ABC):
    """An unknown each of whose numbers increases with one raw number, so that intervals map to intervals.

    lower, upper: what the numbers stay between, in natural units; infinite where nothing bounds them.
    """

    lower: float
    upper: float

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self.to_raw(value)

    def bounded(self, numbers: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self.to_natural(numbers)


class Positive(Elementwise):
    """A positive unknown p, learned through its logarithm: p = exp(raw).

    A search looks between a tenth and ten times the present value, evenly in the logarithm.

    >>> Positive(0.05, unit="m²/s")()
    tensor(0.0500, grad_fn=<ExpBackward0>)
    """

    lower, upper = 0.0, math.inf

    def __init__(self, initial: Values, unit: str = "1") -> None:
        super().__init__(unit)
        self.raw = nn.Parameter(self.to_raw(_as_tensor(initial)))

    def to_natural(self, raw: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return raw.exp()

    def to_raw(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        if not bool((value > 0).all()):
            raise ValueError(f"value {value} is not positive; use Bounded if it may be zero or negative.")
        return value.log()

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return value.clamp(min=torch.finfo(value.dtype).tiny).log()

    def quantile(self, q: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self().detach() * 10 ** (2 * q - 1)


class Bounded(Elementwise):
    """An unknown between two bounds, p = lower + (upper − lower) sigmoid(raw).

    A search looks evenly between the bounds, but for the outermost hundredth at each, where the gradient all but
    vanishes.

    >>> Bounded(0.5, lower=0.0, upper=2.0)()
    tensor(0.5000, grad_fn=<LerpBackward1>)
    """

    def __init__(self, initial: Values, lower: float, upper: float, unit: str = "1") -> None:
        super().__init__(unit)
        if not lower < upper:
            raise ValueError(f"bounds [{lower}, {upper}] are empty; lower must lie below upper.")
        self.lower, self.upper = float(lower), float(upper)
        self.raw = nn.Parameter(self.to_raw(_as_tensor(initial)))

    def to_natural(self, raw: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        # lerp, not lower + (upper − lower) · sigmoid: that may round to beyond the upper bound.
        return torch.lerp(raw.new_tensor(self.lower), raw.new_tensor(self.upper), torch.sigmoid(raw))

    def to_raw(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        if not bool(((value > self.lower) & (value < self.upper)).all()):
            raise ValueError(
                f"value {value} does not lie strictly inside ({self.lower}, {self.upper}); "
                "on a bound the gradient would vanish: widen the bounds or move the start."
            )
        raw = torch.logit((value - self.lower) / (self.upper - self.lower))
        if not bool(raw.isfinite().all()):
            raise ValueError(f"value {value} lies on a bound of ({self.lower}, {self.upper}) to within rounding.")
        return raw

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        # A field of such numbers may lie on a bound to within rounding.
        return torch.logit((value - self.lower) / (self.upper - self.lower), eps=torch.finfo(value.dtype).eps)

    def quantile(self, q: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self.lower + (self.upper - self.lower) * (0.01 + 0.98 * q)


class Real(Elementwise):
    """An unknown without bounds, p = raw · scale.

    scale: its typical size, in its unit, so that the optimiser meets numbers near one. A search looks evenly within
    twice the scale of the present value.

    >>> Real(-3.0, scale=10.0)()
    tensor(-3., grad_fn=<MulBackward0>)
    """

    lower, upper = -math.inf, math.inf

    def __init__(self, initial: Values, scale: float = 1.0, unit: str = "1") -> None:
        super().__init__(unit)
        if not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"scale is {scale}; give the parameter's typical size, a positive number.")
        self.scale = float(scale)
        self.raw = nn.Parameter(self.to_raw(_as_tensor(initial)))

    def to_natural(self, raw: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return raw * self.scale

    def to_raw(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return value / self.scale

    def quantile(self, q: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self().detach() + 2 * self.scale * (2 * q - 1)


class Simplex(Unknown):
    """Positive fractions that sum to one, p = softmax(V raw), from one raw number fewer.

    V: (K, K − 1), orthonormal columns that each sum to zero, so that no direction of raw leaves p as it is and none
    of the fractions is singled out. A search looks evenly over all fractions.
    Source: Egozcue et al. (2003), Math. Geol. 35, isometric log-ratio.

    >>> Simplex(torch.tensor([0.2, 0.3, 0.5]))()
    tensor([0.2000, 0.3000, 0.5000], grad_fn=<SoftmaxBackward0>)
    """

    basis: Tensor

    def __init__(self, initial: Float[Tensor, "K"]) -> None:
        super().__init__()
        if len(initial) < 2:
            raise ValueError(f"{len(initial)} fraction can only be one; give two or more, or leave it out.")
        self.register_buffer("basis", _contrasts(len(initial)), persistent=False)
        self.raw = nn.Parameter(self.to_raw(initial.clone()))

    def to_natural(self, raw: Float[Tensor, "*B R"]) -> Float[Tensor, "*B K"]:
        return torch.softmax(raw @ self.basis.to(raw.dtype).T, dim=-1)

    def to_raw(self, value: Float[Tensor, "*B K"]) -> Float[Tensor, "*B R"]:
        if not bool((value > 0).all()):
            raise ValueError(f"fractions {value} are not all positive; leave out those that are zero.")
        if not bool(((value.sum(dim=-1) - 1).abs() < 1e-4).all()):
            raise ValueError(f"fractions {value} sum to {value.sum(dim=-1)}, not to one; divide them by their sum.")
        return value.log() @ self.basis.to(value.dtype)

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return torch.logit(value, eps=torch.finfo(value.dtype).eps)

    def bounded(self, numbers: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return torch.sigmoid(numbers)

    def quantile(self, q: Float[Tensor, "*B R"]) -> Float[Tensor, "*B K"]:
        # Each fraction takes its part of what those before it left; Devroye (1986), chapter XI. Not quite all or
        # nothing: of a fraction that is zero there is no logarithm.
        behind = torch.arange(q.shape[-1], 0, -1, device=q.device)
        left = torch.cumprod((0.999 - 0.998 * q) ** (1 / behind), dim=-1)
        edge = torch.ones_like(left[..., :1])
        return torch.cat([edge, left], dim=-1) - torch.cat([left, 0 * edge], dim=-1)


class ZeroMean(Parameter):
    """A field less its mean: for a potential, whose constant nothing determines.

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

    >>> Vector(Positive(0.7), Known(0.0))()
    tensor([0.7000, 0.0000], grad_fn=<StackBackward0>)
    """

    def __init__(self, *components: Parameter) -> None:
        super().__init__(components[0].unit)
        for axis, component in enumerate(components):
            self.add_module(str(axis), component)

    def forward(self) -> Float[Tensor, "N *S"]:
        return torch.stack(torch.broadcast_tensors(*(component() for component in self.children())))


def as_vector(value: Parameter | tuple[Parameter, ...]) -> Parameter:
    """A vector of its components, or what is one already."""
    return Vector(*value) if isinstance(value, tuple) else value


class GaussianSum(Parameter):
    """A field of bumps on the layout's grid, p(x) = base + Σ_i A_i exp(−|x − c_i|²/w²).

    amplitudes: A, of shape (n,), in the field's unit. centres: c, of shape (n, dims), and width: w, a scalar, in the
    layout's unit of length. base: in the field's unit.

    >>> from cotwin.layout import Field, Layout
    >>> layout = Layout.box([Field("u")], grid=(4, 6), extent=[(-1, 1), (0, 3)], boundary="neumann", dt=0.1)
    >>> bumps = GaussianSum(Positive(torch.ones(2)), Real(torch.zeros(2, 2)), Known(1.0), layout, base=0.1)
    >>> bumps().shape
    torch.Size([4, 6])
    """

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
    >>> layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    >>> CoarseField(Positive(torch.full((8,), 0.05)), layout)().shape
    torch.Size([64])
    """

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
            weights = spline_weights(coarse[axis], layout.grid[axis], layout.boundary[axis])
            self.register_buffer(f"weights_{axis}", weights, persistent=False)

    def forward(self) -> Float[Tensor, "*S"]:
        values: Tensor = self.coefficients()
        for axis in range(self.dims):
            weights: Tensor = getattr(self, f"weights_{axis}")
            values = torch.tensordot(values, weights.to(values.dtype), dims=([0], [1]))
        return values

    def unbounded(self, value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return self.coefficients.unbounded(value)

    def bounded(self, numbers: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return self.coefficients.bounded(numbers)


def spline_weights(num_coarse: int, num_fine: int, boundary: Boundary) -> Float[Tensor, "N K"]:
    """Cubic B-spline weights from coarse to fine points of one axis; each row sums to one."""
    offset = 0.0 if boundary == "periodic" else 0.5
    fine = (torch.arange(num_fine, dtype=torch.float64) + offset) * num_coarse / num_fine - offset
    left = fine.floor()
    t = fine - left
    # The four splines that are not zero between two knots.
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = torch.zeros(num_fine, num_coarse, dtype=torch.float64)
    for shift, piece in zip((-1, 0, 1, 2), pieces, strict=True):
        index = (left + shift).long()
        index = index % num_coarse if boundary == "periodic" else index.clamp(0, num_coarse - 1)
        weights.scatter_add_(1, index[:, None], piece[:, None] / 6)
    return weights


def estimates(model: nn.Module) -> dict[str, Tensor]:
    """Name and value, in natural units and on the CPU, of every parameter of a model that is estimated.

    A field is reported as it is on the grid, under its own name, rather than by its coefficients; but a `GaussianSum`
    by its amplitudes, centres and width, which say more.
    """
    found: dict[str, Tensor] = {}
    inside: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, Parameter) or isinstance(module, Known | GaussianSum):
            continue
        if any(name.startswith(f"{outer}.") for outer in inside):
            continue
        inside.append(name)
        if any(True for _ in module.parameters()):
            found[name] = module().detach().cpu().clone()
    return found


def _contrasts(count: int) -> Float[Tensor, "K R"]:
    """Column j, from 1 on: the first j fractions against the next one (Helmert's contrasts), of length one."""
    order = torch.arange(1, count, dtype=torch.float64)
    above = torch.ones(count, count - 1, dtype=torch.float64).triu()
    below = torch.diag(-order)[: count - 1]
    return (above + torch.cat([torch.zeros(1, count - 1, dtype=torch.float64), below])) / (order * (order + 1)).sqrt()


def _as_tensor(value: Values) -> Tensor:
    return torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.get_default_dtype()).clone()
