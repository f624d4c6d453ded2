"""What a parameter is, known or estimated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn


class Parameter(nn.Module, ABC):
    """A quantity of a physical model. Calling it gives its value in natural units, differentiably.

    called: its name in what people write and read, if they gave it one; else its place in the model is its name.
    rows: the names of its numbers one by one, where they have any: of which trajectory each is.
    """

    unit: str
    called = ""
    rows: tuple[str, ...] = ()
    # Whether `estimates` gives its parts, which say more than its value.
    by_parts = False

    def __init__(self, unit: str = "1") -> None:
        super().__init__()
        self.unit = unit

    @abstractmethod
    def forward(self) -> Float[Tensor, "*K"]:
        """The value in natural units: a scalar, or an array."""

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        """Its numbers, each mapped to one free of any bound, increasing: what intervals are formed in."""
        return value

    def bounded(self, numbers: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        """The inverse of `unbounded`, differentiably."""
        return numbers

    if TYPE_CHECKING:  # torch declares that calling a module may return anything

        def __call__(self) -> Tensor: ...


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
        """Where a search looks, in natural units, that knows nothing but this parameter.

        q: a point of the unit cube, one number in [0, 1] for each of `raw`. Points spread evenly over the cube are
        spread over all that the parameter can be.
        """


class Elementwise(Unknown, ABC):
    """An unknown of which each number increases with its own raw number, so intervals map to intervals.

    lower, upper: bounds of the numbers, in natural units; infinite where there are none.
    """

    lower: float
    upper: float

    def unbounded(self, value: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self.to_raw(value)

    def bounded(self, numbers: Float[Tensor, "*K"]) -> Float[Tensor, "*K"]:
        return self.to_natural(numbers)


def estimates(model: nn.Module) -> dict[str, Tensor]:
    """Name and value, in natural units and on the CPU, of every parameter of a model that is estimated.

    A field is reported as it is on the grid, under its own name, not by its coefficients; a `GaussianSum` by its
    amplitudes, centres and width.
    """
    return {name: model.get_submodule(path)().detach().cpu().clone() for name, path in estimated(model).items()}


def estimated(model: nn.Module) -> dict[str, str]:
    """The same parameters' names, and their paths as submodules of the model.

    A name is what the parameter is called; the path where it is not called anything, or another is called so.
    """
    found: dict[str, str] = {}
    inside: list[str] = []
    for path, module in model.named_modules():
        if not isinstance(module, Parameter) or module.by_parts or path.startswith(tuple(inside)):
            continue
        inside.append(f"{path}.")
        if any(True for _ in module.parameters()):
            found[path] = module.called
    taken = [*found.values(), *(path for path, called in found.items() if not called)]
    return {called if called and taken.count(called) == 1 else path: path for path, called in found.items()}
