"""Gaussian random fields with a length scale: what a field looks like of which only its size and scale are known."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.priors.covariance import roots
from cotwin.estimation.priors.prior import (
    Prior,
    require_grid,
    require_near,
    require_positive_start,
)
from cotwin.layout import Layout
from cotwin.parameters import Values
from cotwin.physics.requirements import require_positive


class RandomField(Prior, ABC):
    """A prior of fields that draws them from white noise; `residuals` gives the white noise back."""

    layout: Layout

    @abstractmethod
    def colour(self, white: Float[Tensor, "K"]) -> Float[Tensor, "*S"]:
        """The field, in natural units, of white noise with one number for each grid point."""

    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "B *S"]:
        """Draws from the prior."""
        shape = (count, math.prod(self.layout.grid))
        white = torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)
        fields: Tensor = torch.func.vmap(self.colour)(white.to(torch.get_default_dtype()))
        return fields


class GaussianField(RandomField):
    """A Gaussian random field, −log p(v) = ½ |C^(−1/2) (v − mean) / deviation|² + constant, per unit of v.

    Its correlation is a product over the axes of c(r) = (1 + √3 r/length) exp(−√3 r/length), r the distance along the
    axis (Matérn, ν = 3/2), so that draws have a slope everywhere; around a periodic axis, of the sum over all images.
    At walls it is as elsewhere, whatever the layout's boundary: a field need not vanish there. With length 0 the
    points are independent, and C is the identity.

    mean: in the field's unit, a number or an array on the grid. deviation: of each value, in the same unit.
    length: in the layout's unit of length, or 0.
    C^(1/2) is symmetric, a Kronecker product of one dense matrix for each axis; on n points they take O(n³) to make
    and, in two dimensions, O(n³) to apply. Where periodic, shifted noise gives the shifted field.
    Raises ValueError where deviation is not positive, length is negative, or so long that rounding hides C^(−1/2).
    Source: Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, equation 4.17; Kronecker product as
    in Saatçi (2011), Scalable Inference for Structured Gaussian Process Models, chapter 5.

    >>> from cotwin.layout import Field, Layout
    >>> layout = Layout.box([Field("u")], grid=(64, 32), extent=[(0, 2), (0, 1)], boundary="periodic", dt=0.1)
    >>> prior = GaussianField(layout, mean=0.0, deviation=1.0, length=0.2)
    >>> prior.sample(3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 64, 32])
    """

    mean: Tensor

    def __init__(self, layout: Layout, mean: Values, deviation: float, length: float) -> None:
        super().__init__()
        require_positive(deviation=deviation)
        if not (length >= 0 and math.isfinite(length)):
            raise ValueError(f"length is {length}; it must be positive, or 0 for independent points.")
        self.layout, self.deviation = layout, deviation
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float64))
        if self.mean.shape not in ((), layout.grid):
            raise ValueError(
                f"mean has shape {tuple(self.mean.shape)}; give one number, or an array on the grid {layout.grid}."
            )
        # How much C^(−1/2) magnifies what has no correlation, as rounding errors.
        self.gain = 1.0
        for axis in range(layout.dims):
            root, inverse, gain = roots(layout, axis, length)
            self.register_buffer(f"root_{axis}", root, persistent=False)
            self.register_buffer(f"inverse_{axis}", inverse, persistent=False)
            self.gain *= gain

    def residuals(self, value: Float[Tensor, "*S"]) -> Float[Tensor, " R"]:
        return self._along_axes("inverse", self.distance(value)).reshape(-1)

    def colour(self, white: Float[Tensor, "K"]) -> Float[Tensor, "*S"]:
        field = self._along_axes("root", white.reshape(self.layout.grid))
        return self.mean.to(white.dtype) + self.deviation * field

    def measure(self, value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return value

    def check_start(self, name: str, value: Float[Tensor, "*K"]) -> None:
        require_grid(name, value, self.layout)
        require_near(name, value, self.distance(value))
        self.require_precision(name, value.abs().max().item(), value.dtype)

    def require_precision(self, name: str, size: float, dtype: torch.dtype) -> None:
        """Raise ValueError where rounding values of this size may give residuals of more than one by itself."""
        rounding = self.gain * torch.finfo(dtype).eps / 4 * size / self.deviation
        if rounding > 1:
            raise ValueError(
                f"rounding of {name} in {dtype} alone may make residuals of {rounding:.1g}, which ought to be of "
                "order one; give it in float64, or shorten the length of its prior."
            )

    def distance(self, value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        """How many standard deviations each value lies above the mean."""
        return (value - self.mean.to(value.dtype)) / self.deviation

    def _along_axes(self, kind: str, values: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        for axis in range(self.layout.dims):
            matrix: Tensor = getattr(self, f"{kind}_{axis}")
            # Contracting the first axis and appending its points keeps the axes in order.
            values = torch.tensordot(values, matrix.to(values.dtype), dims=([0], [0]))
        return values


class LogGaussianField(RandomField):
    """A positive field whose logarithm is a `GaussianField` of mean log median and deviation log factor.

    The density is per unit of log v, as in `LogNormal`.

    median: in the field's unit, a number or an array on the grid. factor: above one, without unit; 68 % lie between
    median / factor and median · factor. length: as in `GaussianField`, whose errors it shares.
    Raises ValueError where a median is not positive, or factor not above one.

    >>> from cotwin.layout import Field, Layout
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 1)], boundary="neumann", dt=0.1)
    >>> LogGaussianField(layout, median=0.05, factor=2.0, length=0.0).colour(torch.tensor([0.0, 1.0, -1.0, 0.0]))
    tensor([0.0500, 0.1000, 0.0250, 0.0500])
    """

    def __init__(self, layout: Layout, median: Values, factor: float, length: float) -> None:
        super().__init__()
        centre = torch.as_tensor(median, dtype=torch.float64)
        if not bool(((centre > 0) & centre.isfinite()).all()):
            raise ValueError(f"median is {median}; it must be positive and finite.")
        if not (factor > 1 and math.isfinite(factor)):
            raise ValueError(f"factor is {factor}; it must be above one: 2 means within a half and twice the median.")
        self.layout = layout
        self.logarithm = GaussianField(layout, centre.log(), math.log(factor), length)

    def residuals(self, value: Float[Tensor, "*S"]) -> Float[Tensor, " R"]:
        return self.logarithm.residuals(value.log())

    def colour(self, white: Float[Tensor, "K"]) -> Float[Tensor, "*S"]:
        return self.logarithm.colour(white).exp()

    def measure(self, value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return value.log()

    def check_start(self, name: str, value: Float[Tensor, "*K"]) -> None:
        require_grid(name, value, self.layout)
        require_positive_start(name, value)
        logarithm = value.log()
        require_near(name, value, self.logarithm.distance(logarithm))
        # The rounding of a value, being relative, is of size one in its logarithm, even where that is zero.
        self.logarithm.require_precision(name, max(1.0, logarithm.abs().max().item()), value.dtype)
