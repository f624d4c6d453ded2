"""Normal and log-normal priors of numbers that know nothing of each other."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.priors.prior import (
    Independent,
    require_near,
    require_positive_start,
)
from cotwin.parameters import Values

# Of the shape of `Values`, or a number beside an array; other shapes are refused with the cure.
Spread = float | Float[Tensor, "*D"]


class Gaussian(Independent):
    """A normal density, −log p(v) = ½ ((v − mean) / deviation)² + constant, per unit of v.

    mean, deviation: in the parameter's unit; numbers for all of its values, or an array with one for each.
    Raises ValueError where a deviation is not positive.

    >>> Gaussian(9.8, 0.1).residuals(torch.tensor([9.8, 10.0]))
    tensor([0.0000, 2.0000])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Values, deviation: Spread) -> None:
        super().__init__()
        centre, spread = _of_one_shape(mean, deviation)
        self.register_buffer("mean", centre)
        self.register_buffer("deviation", spread)
        if not bool(self.mean.isfinite().all()):
            raise ValueError(f"mean is {mean}; it must be finite.")
        if not bool(((self.deviation > 0) & self.deviation.isfinite()).all()):
            raise ValueError(f"deviation is {deviation}; it must be positive and finite.")

    def distance(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        """How many standard deviations each number lies above the mean."""
        return (value - self.mean.to(value.dtype)) / self.deviation.to(value.dtype)

    def residuals(self, value: Float[Tensor, "*K"]) -> Float[Tensor, " R"]:
        return self.distance(value).reshape(-1)

    def require_shape(self, name: str, value: Float[Tensor, "*K"]) -> None:
        """Raise ValueError unless the prior is of one number for all, or of an array of the value's shape."""
        if self.mean.shape not in ((), value.shape):
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}, its prior has {tuple(self.mean.shape)}; "
                "give one number for all of it, or an array of its shape."
            )

    def measure(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return value

    def check_start(self, name: str, value: Float[Tensor, "*K"]) -> None:
        self.require_shape(name, value)
        require_near(name, value, self.distance(value))

    def quantile(
        self, q: Float[Tensor, "*P"], lower: float = -math.inf, upper: float = math.inf
    ) -> Float[Tensor, "*P"]:
        if not bool(((q > 0) & (q < 1)).all()):
            raise ValueError("a quantile is asked for at zero or one, where it is infinite; keep q inside (0, 1).")
        bounds = torch.tensor([lower, upper], dtype=torch.float64, device=q.device)
        below, above = (torch.special.ndtr((bound - self.mean) / self.deviation) for bound in bounds)
        values: Tensor = self.mean + self.deviation * torch.special.ndtri(below + q.double() * (above - below))
        if not bool(values.isfinite().all()):
            raise ValueError("the prior has nothing between the parameter's bounds; move its centre or the bounds.")
        return values.to(q.dtype)


class LogNormal(Independent):
    """A normal density of the logarithm, −log p(v) = ½ (log(v / median) / log factor)² + constant.

    The density is per unit of log v, so that the median is also the most probable value.

    median: in the parameter's unit. factor: above one, without unit; 68 % lie between median / factor and
    median · factor. Numbers for all of the parameter's values, or an array with one for each.
    Raises ValueError where a median is not positive, or a factor not above one.

    >>> LogNormal(0.05, 2.0).residuals(torch.tensor([0.05, 0.1, 0.0125]))
    tensor([ 0.,  1., -2.])
    """

    def __init__(self, median: Values, factor: Spread) -> None:
        super().__init__()
        centre, spread = _of_one_shape(median, factor)
        if not bool(((centre > 0) & centre.isfinite()).all()):
            raise ValueError(f"median is {median}; it must be positive and finite.")
        if not bool(((spread > 1) & spread.isfinite()).all()):
            raise ValueError(f"factor is {factor}; it must be above one: 2 means within a half and twice the median.")
        self.logarithm = Gaussian(centre.log(), spread.log())

    def residuals(self, value: Float[Tensor, "*K"]) -> Float[Tensor, " R"]:
        return self.logarithm.residuals(value.log())

    def measure(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return value.log()

    def check_start(self, name: str, value: Float[Tensor, "*K"]) -> None:
        require_positive_start(name, value)
        self.logarithm.require_shape(name, value)
        require_near(name, value, self.logarithm.distance(value.log()))

    def quantile(
        self, q: Float[Tensor, "*P"], lower: float = -math.inf, upper: float = math.inf
    ) -> Float[Tensor, "*P"]:
        low = math.log(lower) if lower > 0 else -math.inf
        high = math.log(upper) if upper > 0 else -math.inf
        return self.logarithm.quantile(q, low, high).exp()


def _of_one_shape(centre: Values, spread: Spread) -> tuple[Float[Tensor, "*K"], Float[Tensor, "*K"]]:
    """Both in double precision, the one that is a number repeated to the shape of the other."""
    one, other = (torch.as_tensor(values, dtype=torch.float64) for values in (centre, spread))
    if one.ndim and other.ndim and one.shape != other.shape:
        raise ValueError(
            f"the centre has shape {tuple(one.shape)} and the spread {tuple(other.shape)}; "
            "give a number, or an array with one for each of the parameter's values."
        )
    return one + torch.zeros_like(other), other + torch.zeros_like(one)
