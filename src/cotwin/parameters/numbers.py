"""Parameters that are numbers by themselves.

Bounds are kept by a map, never by a hard clip: that stops the gradient, so a start on the bound would stay there.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.parameters.parameter import Elementwise, Parameter, Unknown

Values = float | Float[Tensor, "*K"]


class Known(Parameter):
    """A constant: part of the model, not estimated.

    >>> Known(9.81, unit="m/s²")()
    tensor(9.8100)
    """

    batched = True
    value: Tensor

    def __init__(self, value: Values, unit: str = "1") -> None:
        super().__init__(unit)
        self.register_buffer("value", _as_tensor(value))

    def forward(self) -> Float[Tensor, "*K"]:
        return self.value


class Positive(Elementwise):
    """A positive unknown p, learned through its logarithm: p = exp(raw).

    A search looks between a tenth and ten times the present value, evenly in the logarithm.

    >>> Positive(0.05, unit="m²/s")()
    tensor(0.0500, grad_fn=<ExpBackward0>)
    """

    batched = True
    lower, upper = 0.0, math.inf

    def __init__(self, initial: Values, unit: str = "1") -> None:
        super().__init__(unit)
        self.raw = nn.Parameter(self.to_raw(_as_tensor(initial)))

    def to_natural(self, raw: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return raw.exp()

    def to_raw(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        if not bool(((value > 0) & value.isfinite()).all()):
            raise ValueError(f"value {value} is not positive and finite; give it bounds (Bounded) if it may be zero.")
        return value.log()

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return value.clamp(min=torch.finfo(value.dtype).tiny).log()

    def quantile(self, q: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self().detach() * 10 ** (2 * q - 1)


class Bounded(Elementwise):
    """An unknown between two bounds, p = lower + (upper − lower) sigmoid(raw).

    A search looks evenly between the bounds, without the outermost hundredth at each, where the gradient is tiny.

    >>> Bounded(0.5, lower=0.0, upper=2.0)()
    tensor(0.5000, grad_fn=<LerpBackward1>)
    """

    batched = True

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

    batched = True
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
        if not bool(value.isfinite().all()):
            raise ValueError(f"value {value} is not finite.")
        return value / self.scale

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return value / self.scale

    def quantile(self, q: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self().detach() + 2 * self.scale * (2 * q - 1)


class Simplex(Unknown):
    """Positive fractions that sum to one, p = softmax(V raw), from one raw number fewer.

    V: (K, K − 1), orthonormal columns that each sum to zero. So every direction of raw changes p, and no fraction is
    special. A search looks evenly over all fractions.
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
        # Each fraction takes its part of what those before it left; Devroye (1986), chapter XI. Never all or nothing:
        # zero has no logarithm.
        behind = torch.arange(q.shape[-1], 0, -1, device=q.device)
        left = torch.cumprod((0.999 - 0.998 * q) ** (1 / behind), dim=-1)
        edge = torch.ones_like(left[..., :1])
        return torch.cat([edge, left], dim=-1) - torch.cat([left, 0 * edge], dim=-1)


def _contrasts(count: int) -> Float[Tensor, "K R"]:
    """Column j, from 1 on: the first j fractions against the next one (Helmert's contrasts), of length one."""
    order = torch.arange(1, count, dtype=torch.float64)
    above = torch.ones(count, count - 1, dtype=torch.float64).triu()
    below = torch.diag(-order)[: count - 1]
    return (above + torch.cat([torch.zeros(1, count - 1, dtype=torch.float64), below])) / (order * (order + 1)).sqrt()


def _as_tensor(value: Values) -> Tensor:
    return torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.get_default_dtype()).clone()
