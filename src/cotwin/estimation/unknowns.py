"""What is estimated of a stepper, as one vector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from cotwin.given import Given
from cotwin.parameters import Elementwise, Grouped, Parameter, estimated
from cotwin.stepper import Stepper

IDLE = 1e-10
"""Part of the largest change of a parameter below which a change is rounding."""
ON_A_BOUND = 1e-3
"""Of the distance between two bounds, how near to one an estimate lies on it."""
VANISHED = 1e-6
"""Of its value at the start, below which, or above whose inverse, a positive number has left all that is likely."""


@dataclass(frozen=True)
class Together:
    """Numbers that are moved at once, for derivatives by differences.

    place: of each number, in which of K moves. felt: whether it has a part in a value, (N, M); (N, 1) if each has in
    all.
    """

    place: Int[Tensor, " N"]
    felt: Bool[Tensor, "N #M"]

    @property
    def moves(self) -> Float[Tensor, "K N"]:
        """Each a one for every number that it moves."""
        count = int(self.place.max()) + 1 if len(self.place) else 0
        each = torch.arange(count, device=self.place.device)[:, None]
        return (self.place == each).double()

    def apart(self, slopes: Float[Tensor, "P K M"]) -> Float[Tensor, "P N M"]:
        """Of each number, from those of the moves."""
        return torch.where(self.felt, slopes.index_select(1, self.place), 0.0)


class Unknowns:
    """The raw parameters of a stepper side by side in vectors z (P, N), and what they mean in natural units.

    names: of the raw parameters, as `stepper.named_parameters()` has them; only what requires a gradient is unknown.
    labels: one for each of the N numbers, for a person: "viscosity", "velocity[1]".
    parameters: what is estimated, by the names that `estimates` gives; paths: where in the stepper.
    middle: of raw numbers with two bounds halfway between these, with one where the search began; nan without any.
    """

    def __init__(self, stepper: Stepper, middle: Float[Tensor, " N"] | None = None) -> None:
        raw = {name: value for name, value in stepper.named_parameters() if value.requires_grad}
        self.stepper = stepper
        self.names = list(raw)
        self.shapes = [tuple(value.shape) for value in raw.values()]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.paths = estimated(stepper)
        self.labels = [
            label
            for name, shape in zip(self.names, self.shapes, strict=True)
            for label in _labels(self._called(name.removesuffix(".raw")), shape, self._rows(name))
        ]
        self.parameters: dict[str, Parameter] = {}
        for name, path in self.paths.items():
            module = stepper.get_submodule(path)
            assert isinstance(module, Parameter)
            self.parameters[name] = module
        self.middle = self._middle() if middle is None else middle

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def closures(self) -> list[str]:
        """Raw parameters that belong to no `Parameter`: weights of a network."""
        inside = tuple(f"{path}." for path in self.paths.values())
        return [name for name in self.names if not name.startswith(inside)]

    def present(self) -> Float[Tensor, " N"]:
        """The stepper's own values, in double precision."""
        own = dict(self.stepper.named_parameters())
        # Beside nothing at all: with a network as the only unknown none may be left.
        nothing = torch.zeros(0, dtype=torch.float64, device=self.stepper.device)
        return torch.cat([nothing, *(own[name].detach().double().flatten() for name in self.names)])

    def split(self, z: Float[Tensor, "*P N"]) -> dict[str, Tensor]:
        """By name and in shape, as `rollout_each` takes them."""
        parts = z.split(self.sizes, dim=-1)
        return {
            name: part.reshape((*z.shape[:-1], *shape))
            for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def together(self, given: Given | None, trajectory: Int[Tensor, " M"]) -> Together:
        """Which numbers may be moved at once: the groups' own, each of which only its trajectories feel.

        given: with each start. trajectory: the start of each value.
        """
        place, felt, moves = list[int](), torch.ones(len(self), 1, dtype=torch.bool, device=trajectory.device), 0
        groups = {path: one for path, one in self.stepper.named_modules() if isinstance(one, Grouped)}
        for name, size in zip(self.names, self.sizes, strict=True):
            grouped = groups.get(name.rpartition(".each.")[0])
            of = None if grouped is None or given is None else grouped.of(given)[trajectory]
            if of is None or bool((of < 0).any()):
                place += range(moves, moves + size)
            else:
                felt = felt.expand(-1, len(trajectory)).clone()
                felt[len(place) : len(place) + size] = of == torch.arange(size, device=of.device)[:, None]
                place += [moves] * size
            moves = place[-1] + 1
        return Together(torch.tensor(place, dtype=torch.long, device=trajectory.device), felt)

    def place(self, name: str) -> slice:
        """Where the numbers of an estimated parameter (all that is inside it) lie in z."""
        inside = [index for index, raw in enumerate(self.names) if raw.startswith(f"{self.paths[name]}.")]
        first = sum(self.sizes[: inside[0]])
        return slice(first, sum(self.sizes[: inside[-1] + 1]))

    def value(self, name: str, z: Float[Tensor, " N"]) -> Float[Tensor, "*K"]:
        """An estimated parameter in natural units, differentiably."""
        path = f"{self.paths[name]}."
        own = {raw: value for raw, value in self.split(z).items() if raw.startswith(path)}
        inside = {raw.removeprefix(path): value for raw, value in own.items()}
        value: Tensor = functional_call(self.parameters[name], inside, ())
        return value

    def ranges(self) -> list[tuple[float, float]]:
        """What each of the N numbers stays between in natural units, or as it is where it has none."""
        lower, upper = self._bounds()
        return list(zip(lower.tolist(), upper.tolist(), strict=True))

    @property
    def bounded(self) -> Bool[Tensor, " N"]:
        """Which raw numbers are logarithms or logits: of what has a bound in natural units."""
        return self.middle.isfinite()

    def ends(self, left: float) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Least and largest raw numbers with so much left to a bound, infinite where there is none.

        Of the way between two bounds, or of the value of `middle` above one.
        """
        far = math.log(1 / left - 1)
        return (self.middle - far).nan_to_num(nan=-torch.inf), torch.where(self._two, self.middle + far, torch.inf)

    def on_bound(self, raw: Float[Tensor, " N"]) -> Bool[Tensor, " N"]:
        """Which numbers lie on a bound."""
        (low, high), (vanished, _) = self.ends(ON_A_BOUND), self.ends(VANISHED)
        return (raw < torch.where(self._two, low, vanished)) | (raw > high)

    def _bounds(self) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """What the numbers stay between in natural units."""
        begin, unbounded = self.present(), (-math.inf, math.inf)
        ends = [(one.lower, one.upper) if isinstance(one, Elementwise) else unbounded for one in self._modules()]
        sizes = torch.tensor(self.sizes, dtype=torch.long, device=begin.device)
        lower, upper = begin.new_tensor(ends).reshape(-1, 2).repeat_interleave(sizes, dim=0).unbind(1)
        return lower, upper

    def _middle(self) -> Float[Tensor, " N"]:
        return torch.where(self._two, 0.0, torch.where(self._bounds()[0].isfinite(), self.present(), torch.nan))

    @cached_property
    def _two(self) -> Bool[Tensor, " N"]:
        """Which numbers have two bounds."""
        lower, upper = self._bounds()
        return (upper - lower).isfinite()

    def naturally(self, z: Float[Tensor, " N"]) -> list[float]:
        """Each of the N numbers in natural units, or as it is where it has none."""
        parts = zip(self._modules(), self.split(z).values(), strict=True)
        return [
            number
            for module, own in parts
            for number in (module.to_natural(own) if isinstance(module, Elementwise) else own).flatten().tolist()
        ]

    def _called(self, place: str) -> str:
        """The name of a place in the stepper, beginning with that of the parameter which it is or lies in."""
        for name, path in self.paths.items():
            if f"{place}.".startswith(f"{path}."):
                return name + place.removeprefix(path)
        return place

    def _rows(self, name: str) -> tuple[str, ...]:
        """Names of a raw parameter's numbers, where they have any."""
        owner = self.stepper.get_submodule(name.rpartition(".")[0])
        return owner.rows if isinstance(owner, Parameter) else ()

    def _modules(self) -> list[nn.Module]:
        """Whose raw numbers each of the names is."""
        return [self.stepper.get_submodule(name.rpartition(".")[0]) for name in self.names]

    def idle(self, z: Float[Tensor, " N"]) -> Float[Tensor, "G N"]:
        """Directions along which no parameter changes, such as the constant that `ZeroMean` takes off again."""
        found = [z.new_zeros(0, len(z))]
        for name, parameter in self.parameters.items():
            if isinstance(parameter, Elementwise):
                continue
            place = self.place(name)
            slope = torch.func.jacfwd(partial(self.value, name))(z).reshape(-1, len(z))[:, place]
            # Through R of QR: of a field on a grid there are many more values than raw numbers.
            _, sizes, directions = torch.linalg.svd(torch.linalg.qr(slope, mode="r")[1])
            sizes = torch.nn.functional.pad(sizes, (0, len(directions) - len(sizes)))
            still = directions[sizes <= IDLE * sizes[0]]
            found.append(torch.nn.functional.pad(still, (place.start, len(z) - place.stop)))
        return torch.cat(found)

    def assign(self, z: Float[Tensor, " N"]) -> None:
        """Give the stepper these values."""
        with torch.no_grad():
            for name, value in self.split(z).items():
                parameter: nn.Parameter = self.stepper.get_parameter(name)
                parameter.copy_(value)


def describe(direction: Float[Tensor, " N"], labels: list[str], most: int = 4) -> str:
    """A combination of unknowns in words, its largest parts first.

    >>> describe(torch.tensor([0.1, -0.7, 0.7]), ["feed", "growth", "capacity"], most=2)
    '0.70 growth − 0.70 capacity'
    """
    order = direction.abs().argsort(descending=True, stable=True)[:most].tolist()
    parts = [(float(direction[i]), labels[i]) for i in order if abs(float(direction[i])) > 0.05]
    sign = -1 if parts and parts[0][0] < 0 else 1
    words = "".join(f" {'−' if sign * part < 0 else '+'} {abs(part):.2f} {label}" for part, label in parts)
    return words.removeprefix(" + ")


def _labels(name: str, shape: tuple[int, ...], rows: tuple[str, ...]) -> list[str]:
    if not shape:
        return [name]
    if rows:
        return [f"{name} of {row}" for row in rows]
    return [
        f"{name}[{', '.join(map(str, index))}]"
        for index in torch.cartesian_prod(*(torch.arange(size) for size in shape)).view(-1, len(shape)).tolist()
    ]
