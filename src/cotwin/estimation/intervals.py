"""Laplace's intervals, formed in numbers that have no bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.information import Information
from cotwin.estimation.unknowns import Unknowns
from cotwin.parameters import Elementwise


@dataclass(frozen=True)
class Interval:
    """An estimated parameter in natural units.

    deviation: standard deviation (Laplace's approximation); low, high: ends of the interval at the level asked for.
    All have the parameter's shape, and are on the CPU; a field's are point by point.
    """

    name: str
    unit: str
    value: Tensor
    deviation: Tensor
    low: Tensor
    high: Tensor


def holding(one: Interval, other: Interval) -> Interval:
    """One that holds the other too; the estimate stays."""
    return replace(one, low=torch.fmin(one.low, other.low), high=torch.fmax(one.high, other.high))


def laplace_interval(
    unknowns: Unknowns, name: str, raw: Float[Tensor, " N"], information: Information, quantile: float
) -> Interval:
    """v ± quantile · σ, in the parameter's unbounded numbers u = g(v), and mapped back: never beyond a bound.

    A number of its own: u is its raw number. One that lies on a bound is open there, up to the bound itself; to
    the other side it is v ± quantile · σ_v, since near a bound predictions follow v and not u.
    A value of a field is a mean of several coefficients: u is the raw number of a coefficient of that value (its
    logarithm, where they are positive), and σ_u = σ_v |du/dv|, the delta method.
    """
    parameter = unknowns.parameters[name]

    def value(at: Tensor) -> Tensor:
        return unknowns.value(name, at).double()

    middle = value(raw)
    slope = torch.func.jacfwd(value)(raw).reshape(-1, len(raw))
    deviation = information.deviations(slope).reshape(middle.shape)
    if isinstance(parameter, Elementwise):
        bounds = parameter.lower, parameter.upper
        place = unknowns.place(name)
        own = torch.eye(len(raw), dtype=raw.dtype, device=raw.device)[place]
        reach = torch.zeros_like(raw)
        reach[place] = quantile * information.deviations(own)
        ended = unknowns.on_bound(raw)[place].reshape(middle.shape)
        low, high = (
            torch.where(ended, (middle + sign * quantile * deviation).clamp(*bounds), value(raw + sign * reach))
            for sign in (-1, 1)
        )
    else:
        centre = parameter.unbounded(middle)
        rate = torch.func.jvp(parameter.bounded, (centre,), (torch.ones_like(centre),))[1]
        reach = quantile * deviation / rate
        low, high = parameter.bounded(centre - reach), parameter.bounded(centre + reach)
    return Interval(name, parameter.unit, middle.cpu(), deviation.cpu(), low.cpu(), high.cpu())
