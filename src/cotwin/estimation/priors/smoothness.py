"""Penalties on how fields change from place to place, whatever their level: quadratic, or of the total variation."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.priors.prior import Prior, require_grid
from cotwin.layout import Layout
from cotwin.physics.requirements import require_positive


class Smooth(Prior):
    """A quadratic penalty on slopes, −log p(v) = ½ ∫ (length |∇v| / change)² dx / length^d + constant.

    change: how much the field typically changes, in its unit, over `length`, in the layout's unit of length; d: the
    number of space dimensions. A cell of that size through which the field changes by that much counts as one
    residual of one. In one dimension this is Brownian motion: of v(x + length) − v(x) the standard deviation is
    `change`. Refining the grid does not alter the penalty of a smooth field.

    The density is per unit of v. The level of the field is left free, and so are its slopes at walls, whatever the
    layout's boundary: that is the state's. Differences between neighbours; they wrap around along periodic axes.
    Raises ValueError where change or length is not positive.

    >>> from cotwin.layout import Field, Layout
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 4)], boundary="neumann", dt=0.1)
    >>> Smooth(layout, change=2.0, length=1.0).residuals(torch.tensor([5.0, 7.0, 7.0, 3.0]))
    tensor([ 1.,  0., -2.,  0.])
    """

    def __init__(self, layout: Layout, change: float, length: float) -> None:
        super().__init__()
        require_positive(change=change, length=length)
        self.layout, self.change, self.length = layout, change, length

    def residuals(self, value: Float[Tensor, "*S"]) -> Float[Tensor, " R"]:
        share = math.prod(self.layout.spacing) / self.length**self.layout.dims
        return (slopes(value, self.layout) * (math.sqrt(share) * self.length / self.change)).reshape(-1)

    def measure(self, value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return value

    def check_start(self, name: str, value: Float[Tensor, "*K"]) -> None:
        require_grid(name, value, self.layout)


class TotalVariation(Prior):
    """A penalty on slopes that allows edges, −log p(v) = ∫ (√(1 + (length |∇v|/change)²) − 1) dx / length^d + const.

    change, length: as in `Smooth`, with which it agrees where slopes are well below ε = change / length. Above, it
    grows in proportion to the slope, so that an edge costs its height and not how steep it is: one unit for a height
    of `change`, along a front of length^(d − 1). Smaller changes over larger lengths come nearer to the pure total
    variation.

    As residuals: with s = |∇v| and w = dx / (length^(d − 1) change), −log p = Σ w q, q = √(s² + ε²) − ε
    = s² / (√(s² + ε²) + ε), hence residuals ∇v √(2 w / (√(s² + ε²) + ε)), which are smooth everywhere, also at s = 0.

    The density is per unit of v; the level and the slopes at walls are free, as in `Smooth`.
    Raises ValueError where change or length is not positive.
    Source: Rudin, Osher & Fatemi (1992), Physica D 60; smoothed as in Vogel (2002), Computational Methods for Inverse
    Problems, chapter 8.

    >>> from cotwin.layout import Field, Layout
    >>> layout = Layout.box([Field("u")], grid=(4,), extent=[(0, 4)], boundary="neumann", dt=0.1)
    >>> variation = TotalVariation(layout, change=0.01, length=1.0)
    >>> gradual, edge = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0.0, 0.0, 3.0, 3.0])
    >>> [round(float(variation.residuals(field).square().sum() / 2)) for field in (gradual, edge)]
    [297, 299]
    """

    def __init__(self, layout: Layout, change: float, length: float) -> None:
        super().__init__()
        require_positive(change=change, length=length)
        self.layout, self.change, self.length = layout, change, length

    def residuals(self, value: Float[Tensor, "*S"]) -> Float[Tensor, " R"]:
        share = math.prod(self.layout.spacing) / self.length**self.layout.dims
        steepness = slopes(value, self.layout) * (self.length / self.change)
        root = (1 + steepness.square().sum(dim=0)).sqrt()
        return (steepness * (2 * share / (root + 1)).sqrt()).reshape(-1)

    def measure(self, value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return value

    def check_start(self, name: str, value: Float[Tensor, "*K"]) -> None:
        require_grid(name, value, self.layout)


def slopes(value: Float[Tensor, "*S"], layout: Layout) -> Float[Tensor, "D *S"]:
    """(v_{i+1} − v_i) / Δx along each axis, at i; zero at the last point before a wall, which has no next one."""
    found = []
    for axis in range(layout.dims):
        last = 0 if layout.is_periodic(axis) else layout.grid[axis] - 1
        found.append(torch.diff(value, dim=axis, append=value.narrow(axis, last, 1)) / layout.spacing[axis])
    return torch.stack(found)
