"""Coefficients that depend on the state, f(u): given forms with parameters, or a small network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.parameters import Parameter
from cotwin.physics.requirements import require_scalar_coefficients

CellFunction = Callable[[Float[Tensor, "*S"]], Float[Tensor, "*S"]]


class Closure(nn.Module, ABC):
    """A coefficient as a function of the state, evaluated cell by cell."""

    @abstractmethod
    def prepare(self, like: Float[Tensor, "*S"]) -> CellFunction:
        """f in the precision of `like`, its parameters evaluated once."""

    def forward(self, u: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        """f(u)."""
        return self.prepare(u)(u)

    @abstractmethod
    def largest(self, ceiling: float) -> float:
        """An upper bound of |f(u)| for u between 0 and `ceiling`, with the present parameters."""


class Constant(Closure):
    """f(u) = p, a scalar."""

    batched = True

    def __init__(self, value: Parameter) -> None:
        super().__init__()
        require_scalar_coefficients("Constant", value=value)
        self.value = value

    def prepare(self, like: Float[Tensor, "*S"]) -> CellFunction:
        value = self.value().to(like.dtype)
        return lambda u: value.expand_as(u)

    def largest(self, ceiling: float) -> float:
        return float(self.value().detach().abs())


class Power(Closure):
    """f(u) = p (u/K)^m for u ≥ 0, and f(0) below: p at the scale K, without slope at zero for m > 1.

    value: p, the coefficient's unit. scale: K, in the unit of u. exponent: m, without unit. Scalars.
    """

    batched = True

    def __init__(self, value: Parameter, scale: Parameter, exponent: Parameter) -> None:
        super().__init__()
        require_scalar_coefficients("Power", value=value, scale=scale, exponent=exponent)
        self.value, self.scale, self.exponent = value, scale, exponent

    def prepare(self, like: Float[Tensor, "*S"]) -> CellFunction:
        value, scale, exponent = (p().to(like.dtype) for p in (self.value, self.scale, self.exponent))
        # The derivative of 0^m to m is 0 · log 0.
        return lambda u: value * (u / scale).clamp(min=torch.finfo(u.dtype).tiny) ** exponent

    def largest(self, ceiling: float) -> float:
        # Tensors: what is beyond all numbers is infinite, where Python's own would raise.
        value, scale, exponent = (p().detach().double() for p in (self.value, self.scale, self.exponent))
        return float(value.abs() * (ceiling / scale).clamp(min=1.0) ** exponent) if exponent >= 0 else float("inf")


class Logistic(Closure):
    """f(u) = r (1 − u/K): growth that ends at the capacity.

    rate: r in 1/time. capacity: K in the unit of u. Scalars.
    """

    batched = True

    def __init__(self, rate: Parameter, capacity: Parameter) -> None:
        super().__init__()
        require_scalar_coefficients("Logistic", rate=rate, capacity=capacity)
        self.rate, self.capacity = rate, capacity

    def prepare(self, like: Float[Tensor, "*S"]) -> CellFunction:
        rate, capacity = self.rate().to(like.dtype), self.capacity().to(like.dtype)
        return lambda u: rate * (1 - u / capacity)

    def largest(self, ceiling: float) -> float:
        rate, capacity = self.rate().detach().double(), self.capacity().detach().double()
        return float(rate.abs() * (1 - ceiling / capacity).abs().clamp(min=1.0))


class NetworkClosure(Closure):
    """f(u) = lower + (upper − lower) σ(n(u/scale)), n a network with one hidden layer; bounded whatever its weights.

    scale: a typical u, in its unit. lower, upper: in the coefficient's unit. At first f lies in the middle.
    """

    def __init__(
        self, lower: float, upper: float, scale: float, width: int = 16, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        if not lower < upper or not scale > 0:
            raise ValueError(f"bounds [{lower}, {upper}] and scale {scale}: lower below upper, the scale positive.")
        self.lower, self.upper, self.scale = lower, upper, scale
        self.bend = nn.Parameter(torch.randn(width, generator=generator))
        self.place = nn.Parameter(torch.randn(width, generator=generator))
        self.height = nn.Parameter(torch.zeros(width))

    def prepare(self, like: Float[Tensor, "*S"]) -> CellFunction:
        bend, place, height = (p.to(like.dtype) for p in (self.bend / self.scale, self.place, self.height))

        def value(u: Tensor) -> Tensor:
            hidden = torch.tanh(torch.addcmul(place, u[..., None], bend))
            # lerp: what is computed otherwise may round to beyond a bound.
            return torch.lerp(u.new_tensor(self.lower), u.new_tensor(self.upper), torch.sigmoid(hidden @ height))

        return value

    def largest(self, ceiling: float) -> float:
        return max(abs(self.lower), abs(self.upper))
