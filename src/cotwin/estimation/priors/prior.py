"""What every prior can do, and the checks they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from jaxtyping import Bool, Float
from torch import Tensor, nn

from cotwin.layout import Layout

FARTHEST = 6.0
"""Standard deviations from the mean beyond which a start is refused: of a thousand million draws two lie there."""


class Prior(nn.Module, ABC):
    """What is known of one parameter before any data, −log p(value) = ½ |residuals(value)|² + constant."""

    @abstractmethod
    def residuals(self, value: Float[Tensor, "*K"]) -> Float[Tensor, " R"]:
        """Numbers without unit; smooth in the value, which is in natural units, and of its dtype."""

    @abstractmethod
    def measure(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        """What the density is per unit of: the value itself, or its logarithm."""

    @abstractmethod
    def check_start(self, name: str, value: Float[Tensor, "*K"]) -> None:
        """Raise ValueError where this prior does not fit the value that the parameter `name` starts from."""


class Independent(Prior, ABC):
    """A prior of each number by itself."""

    @abstractmethod
    def quantile(
        self, q: Float[Tensor, "*P"], lower: float = -math.inf, upper: float = math.inf
    ) -> Float[Tensor, "*P"]:
        """The values, in natural units, below which the share q of the prior between two bounds lies.

        q: between zero and one; where the prior has several numbers, its last axes are theirs. lower, upper: the
        bounds of the parameter, in natural units.
        Raises ValueError where q is zero or one, to which no value belongs, or the prior has nothing between the
        bounds.
        """


def require_grid(name: str, value: Float[Tensor, "*K"], layout: Layout) -> None:
    """Raise ValueError unless the value is a field on the layout's grid."""
    if tuple(value.shape) != layout.grid:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}, its prior is for a field on the grid {layout.grid}; "
            "build both from the same Layout, or give a single number a Gaussian or LogNormal prior."
        )


def require_near(name: str, value: Float[Tensor, "*K"], distance: Float[Tensor, "*K"]) -> None:
    """Raise ValueError where the distance from the prior's centre, in standard deviations, is beyond `FARTHEST`."""
    far: Bool[Tensor, "*K"] = ~(distance.abs() <= FARTHEST)
    if bool(far.any()):
        raise ValueError(
            f"{name} starts at {value[far][0].item():g}, {distance[far][0].abs().item():.1f} standard deviations "
            "from the centre of its prior; start nearer to it, or widen the prior."
        )


def require_positive_start(name: str, value: Float[Tensor, "*K"]) -> None:
    """Raise ValueError unless all of the value is positive."""
    if not bool((value > 0).all()):
        raise ValueError(
            f"{name} starts at {value.min().item():g}, its prior is for positive values; "
            "make it a Positive parameter, or give it a Gaussian prior."
        )
