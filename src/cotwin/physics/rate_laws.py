"""Rate laws of reactions by name, R(u, p): functions of concentrations (B, M, *S) and of parameters by name.

One of your own has the same signature, and is named as `package.module:function`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.registry import rate_law

Rate = Callable[[Float[Tensor, "B M *S"], Mapping[str, Tensor]], Float[Tensor, "B M *S"]]


@rate_law("brusselator")
def brusselator(u: Float[Tensor, "B M *S"], parameters: Mapping[str, Tensor]) -> Float[Tensor, "B M *S"]:
    """X' = a − (b + 1) X + X² Y, Y' = b X − X² Y. Source: Prigogine & Lefever (1968), J. Chem. Phys. 48."""
    x, y = u.chunk(2, dim=1)
    formed, turned = x * x * y, parameters["b"] * x
    return torch.cat([parameters["a"] - turned - x + formed, turned - formed], dim=1)


@rate_law("fitzhugh_nagumo")
def fitzhugh_nagumo(u: Float[Tensor, "B M *S"], parameters: Mapping[str, Tensor]) -> Float[Tensor, "B M *S"]:
    """v' = v − v³/3 − w + current, w' = epsilon (v + a − b w). Source: FitzHugh (1961), Biophys. J. 1."""
    v, w = u.chunk(2, dim=1)
    recovery = parameters["epsilon"] * (v + parameters["a"] - parameters["b"] * w)
    return torch.cat([v - v**3 / 3 - w + parameters["current"], recovery], dim=1)


@rate_law("lotka_volterra")
def lotka_volterra(u: Float[Tensor, "B M *S"], parameters: Mapping[str, Tensor]) -> Float[Tensor, "B M *S"]:
    """Prey x' = growth x − predation x y, predators y' = gain x y − death y. Source: Volterra (1926), Nature 118."""
    x, y = u.chunk(2, dim=1)
    met = x * y
    prey = parameters["growth"] * x - parameters["predation"] * met
    return torch.cat([prey, parameters["gain"] * met - parameters["death"] * y], dim=1)
