"""The ends of an axis as a scheme meets them: what passes the outermost faces, and what u is there.

u: values (B, M, *S). What stands at an end broadcasts against a slice of them, (B, M, *F), one place along the axis.
Cells: the end lies half a cell beyond the outermost one. Dirichlet: the ghost is 2 v − u. Neumann: q enters. Robin:
q = h (u_outside − u_end) has to pass the half cell too, so q = h' (u_outside − u), 1/h' = 1/h + Δx/(2κ).
Nodes: the outermost one lies on the end, and its control volume is half as wide. Dirichlet: it holds v. Neumann and
Robin: q, or h (u_outside − u), enters the half volume.
Outflow: no normal derivative. All of second order in space.
Source: LeVeque (2007), Finite Difference Methods for Ordinary and Partial Differential Equations, chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Boundary, Ends, both_ends
from cotwin.parameters.clock import Clock, Stretches


def with_ghosts(cells: Float[Tensor, "*S"], axis: int, ends: Ends) -> Float[Tensor, "*P"]:
    """One ghost cell at both ends of an axis: zero at a Dirichlet end, no normal derivative at others."""
    first, last = cells.narrow(axis, 0, 1), cells.narrow(axis, -1, 1)
    if ends == "periodic":
        return torch.cat([last, cells, first], dim=axis)
    low, high = both_ends(ends)
    return torch.cat([_mirrored(first, low), cells, _mirrored(last, high)], dim=axis)


def _mirrored(outermost: Tensor, kind: Boundary) -> Tensor:
    return -outermost if kind == "dirichlet" else outermost


Ghost = Callable[[Float[Tensor, "B M *F"], Float[Tensor, "B M *F"]], Float[Tensor, "B M *F"]]
"""From the outermost u and the one before it to what is beyond an end."""


class Changing:
    """What changes at an end along a rollout.

    at: what there is in each of some substeps, at I instants, those of the clock's stages: (N, I, B, M, *F).
    """

    def __init__(self, at: Callable[[Stretches], Float[Tensor, "N I B M *F"]], clock: Clock) -> None:
        self.at, self.clock = at, clock
        self._present = clock.follow(self._by_substep)

    def now(self, stage: int | None = None) -> Float[Tensor, "B M *F"]:
        """In the present substep, at a stage; at the present one unless it is said."""
        return self._present()[self.clock.stage if stage is None else stage]

    def _by_substep(self, stretches: Stretches) -> list[tuple[Tensor, ...]]:
        there = self.at(stretches)
        each, count = there.flatten(0, 1).unbind(), there.shape[1]
        return [each[place : place + count] for place in range(0, len(each), count)]


Standing = Tensor | Changing
"""What stands at an end, (B, M, *F)."""


def now(standing: Standing) -> Float[Tensor, "B M *F"]:
    """At the present stage of the present substep."""
    return standing.now() if isinstance(standing, Changing) else standing


def combined(function: Callable[..., Tensor], *standing: Standing) -> Standing:
    """What follows from what stands there, made once, or where that changes for many substeps at once."""
    changing = [one for one in standing if isinstance(one, Changing)]
    if not changing:
        return function(*standing)

    def at(stretches: Stretches) -> Tensor:
        return function(*(one.at(stretches) if isinstance(one, Changing) else one for one in standing))

    return Changing(at, changing[0].clock)


@dataclass(frozen=True)
class End:
    """One end of an axis, and what stands there, as far as it is given.

    value: u at a Dirichlet end. outside: what a Robin end has outside.
    flux: κ ∂u/∂n of a Neumann end, n outward; transfer: h of a Robin end; both times interval/Δx.
    on_node: whether the outermost u lies on the end itself.
    """

    kind: Boundary
    value: Standing | None = None
    flux: Standing | None = None
    transfer: Standing | None = None
    outside: Standing | None = None
    on_node: bool = False

    @property
    def plain(self) -> bool:
        """Whether `with_ghosts` says all there is."""
        return not self.on_node and self.value is None and self.flux is None and self.transfer is None

    @property
    def holds(self) -> bool:
        """Whether the outermost u is what stands here."""
        return self.on_node and self.kind == "dirichlet"

    def ghost(self, first: Float[Tensor, "B M *F"], second: Float[Tensor, "B M *F"]) -> Float[Tensor, "B M *F"]:
        """Beyond an end that holds a value or has no normal derivative; first, second: the outermost u."""
        if self.on_node and self.kind != "dirichlet":
            return second
        return _mirrored(first, self.kind) if self.value is None else 2 * now(self.value) - first

    def entering(self, outermost: Float[Tensor, "B M *F"], kappa: Tensor) -> Float[Tensor, "B M *F"]:
        """κ ∂u/∂n times interval/Δx, n outward: what it adds to a whole cell. kappa: κ interval/Δx²."""
        if self.kind == "dirichlet" and not self.on_node:
            return 2 * kappa * ((0 if self.value is None else now(self.value)) - outermost)
        if self.transfer is not None and self.outside is not None:
            # Of cells two resistances, of the end and of half a cell.
            transfer = now(self.transfer)
            passed = transfer if self.on_node else 2 * kappa * transfer / (2 * kappa + transfer)
            return passed * (now(self.outside) - outermost)
        return torch.zeros_like(outermost) if self.flux is None else now(self.flux).expand_as(outermost)

    def beyond(self, kappa: Tensor) -> Ghost:
        """The ghost with which differences give all that `entering` does. kappa: κ interval/Δx² beside the end."""
        if self.transfer is not None and self.outside is not None:
            return self._exchanging(kappa, self.transfer, self.outside)
        if self.kind == "dirichlet" and not self.on_node:
            return self._valued()
        if self.flux is None:
            return (lambda first, second: second) if self.on_node else (lambda first, second: first)
        beside = _not_zero(kappa) / (2 if self.on_node else 1)
        shift = combined(lambda flux: flux / beside, self.flux)
        if self.on_node:
            return lambda first, second: second + now(shift)
        return lambda first, second: first + now(shift)

    def _valued(self) -> Ghost:
        if self.value is None:
            return lambda first, second: -first
        twice = combined(lambda value: 2 * value, self.value)
        return lambda first, second: now(twice) - first

    def _exchanging(self, kappa: Tensor, transfer: Standing, outside: Standing) -> Ghost:
        beside = _not_zero(kappa)
        pull = combined(lambda h: 2 * h / (beside if self.on_node else 2 * kappa + h), transfer)
        push = combined(torch.mul, pull, outside)
        if self.on_node:
            return lambda first, second: torch.addcmul(second + now(push), now(pull), first, value=-1)
        left = combined(lambda pull: 1 - pull, pull)
        return lambda first, second: torch.addcmul(now(push), now(left), first)

    def at_end(self, outermost: Float[Tensor, "B M *F"], kappa: Tensor) -> Float[Tensor, "B M *F"]:
        """u at the end itself."""
        if self.on_node:
            return outermost
        if self.kind == "dirichlet":
            return torch.zeros_like(outermost) if self.value is None else now(self.value).expand_as(outermost)
        return outermost if self.plain else outermost + self.entering(outermost, kappa) / (2 * kappa)


@dataclass(frozen=True)
class AxisEnds:
    """Both ends of an axis.

    dim: of the axis in states. kinds: of the ends. plain: whether `with_ghosts` says all there is.
    kappa, ghosts: of diffusion with a coefficient that does not depend on u, as `conducting` makes them.
    """

    dim: int
    low: End
    high: End
    kappa: Tensor | None = None
    ghosts: tuple[Ghost, Ghost] | None = None
    # Once, not in every stage of every step.
    kinds: Ends = field(init=False)
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        around = self.low.kind == "periodic"
        object.__setattr__(self, "kinds", "periodic" if around else (self.low.kind, self.high.kind))
        object.__setattr__(self, "plain", self.low.plain and self.high.plain)

    def conducting(self, kappa: Tensor, dims: int) -> AxisEnds:
        """With the ghosts of diffusion, made once. kappa: as for `flux`; dims: of space."""
        if self.plain:
            return self
        # Nodes on the ends are mirrored, and what is on the faces beside them with them.
        below, inside, above = self._on_faces(kappa, dims + 2)
        along = self.dim - dims - 2
        if (self.low.on_node or self.high.on_node) and inside is not kappa:
            below = inside.narrow(along, 0, 1) if self.low.on_node else below
            above = inside.narrow(along, -1, 1) if self.high.on_node else above
            kappa = torch.cat([below, inside, above], dim=along)
        return replace(self, kappa=kappa, ghosts=(self.low.beyond(below), self.high.beyond(above)))

    @property
    def by_ghosts(self) -> bool:
        """Whether diffusion is the differences of a state with ghosts."""
        return self.plain or self.ghosts is not None

    def with_ghosts(self, cells: Float[Tensor, "B M *S"]) -> Float[Tensor, "B M *P"]:
        """One ghost beyond each end: as `conducting` has them, else of ends that have no flux."""
        if self.plain:
            return with_ghosts(cells, self.dim, self.kinds)
        first, second, before, last = (cells.narrow(self.dim, place, 1) for place in (0, 1, -2, -1))
        low, high = self.ghosts or (self.low.ghost, self.high.ghost)
        return torch.cat([low(first, second), cells, high(last, before)], dim=self.dim)

    def flux(self, cells: Float[Tensor, "B M *S"], kappa: Tensor) -> Float[Tensor, "B M *F"]:
        """κ ∂u interval/Δx through every face. kappa: κ interval/Δx² on all faces, or the same everywhere."""
        if self.by_ghosts:
            return self.with_ghosts(cells).diff(dim=self.dim) * (kappa if self.kappa is None else self.kappa)
        below, inside, above = self._on_faces(kappa, cells.dim())
        low = self.low.entering(cells.narrow(self.dim, 0, 1), below)
        high = self.high.entering(cells.narrow(self.dim, -1, 1), above)
        return torch.cat([-low, cells.diff(dim=self.dim) * inside, high], dim=self.dim)

    def twice_on_faces(self, cells: Float[Tensor, "B M *S"], kappa: Tensor) -> Float[Tensor, "B M *F"]:
        """Twice u on every face, inside the sum of what is beside it. kappa: as for `flux`."""
        if self.by_ghosts and not self.low.on_node:
            padded = self.with_ghosts(cells)
        else:
            first, last = cells.narrow(self.dim, 0, 1), cells.narrow(self.dim, -1, 1)
            below, _, above = self._on_faces(kappa, cells.dim())
            low, high = self.low.at_end(first, below), self.high.at_end(last, above)
            padded = torch.cat([2 * low - first, cells, 2 * high - last], dim=self.dim)
        count = padded.shape[self.dim] - 1
        return padded.narrow(self.dim, 0, count) + padded.narrow(self.dim, 1, count)

    def gained(self, flux: Float[Tensor, "B M *F"]) -> Float[Tensor, "B M *S"]:
        """What stays of a flux through every face, by each control volume."""
        gained = flux.diff(dim=self.dim)
        if not (self.low.on_node or self.high.on_node):
            return gained
        first, last = gained.narrow(self.dim, 0, 1), gained.narrow(self.dim, -1, 1)
        inner = gained.narrow(self.dim, 1, gained.shape[self.dim] - 2)
        return torch.cat([2 * first, inner, 2 * last], dim=self.dim)

    def _on_faces(self, kappa: Tensor, dims: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of a coefficient what is on the lowest face, on those inside and on the highest."""
        along = self.dim - dims
        if kappa.dim() < -along or kappa.shape[along] == 1:
            return kappa, kappa, kappa
        return kappa.narrow(along, 0, 1), kappa.narrow(along, 1, kappa.shape[along] - 2), kappa.narrow(along, -1, 1)


def plain_ends(boundary: Sequence[Ends]) -> list[AxisEnds]:
    """Cells with nothing given at the ends: zero at Dirichlet ones, no normal derivative at others."""
    pairs = enumerate(map(both_ends, boundary), start=2)
    return [AxisEnds(dim, End(lower), End(upper)) for dim, (lower, upper) in pairs]


class Held:
    """Nodes on Dirichlet ends: they have what stands there, whatever else changes.

    ends: what stands there, where it changes at two instants, of which the second is the end of the substep.
    free: one where u may change, zero where it is held.
    """

    def __init__(self, ends: Sequence[AxisEnds], like: Float[Tensor, "B M *S"]) -> None:
        self.free, self.value = torch.ones_like(like[:1, :1]), torch.zeros_like(like)
        self.places: list[tuple[int, int]] = []
        self.changing: list[tuple[Tensor, Changing]] = []
        for dim, place, value in _held(ends):
            rest = torch.ones_like(self.free)
            rest.select(dim, place).zero_()
            self.places.append((dim, place))
            self.free = self.free * rest
            self.value = self.value * rest
            self.changing = [(there * rest, one) for there, one in self.changing]
            if isinstance(value, Changing):
                self.changing.append((1 - rest, value))
            elif value is not None:
                self.value = self.value + (1 - rest) * value

    def __call__(self, cells: Float[Tensor, "B M *S"], instant: int = 0) -> Float[Tensor, "B M *S"]:
        """Cells with what is held at an instant."""
        held = torch.addcmul(self.value, cells, self.free)
        for there, value in self.changing:
            held = torch.addcmul(held, there, value.now(instant))
        return held

    def still(self, change: Float[Tensor, "B M *S"], share: float = 1.0) -> Float[Tensor, "B M *S"]:
        """A change over a part of the substep, in new memory, with that of what is held."""
        for dim, place in self.places:
            change.select(dim, place).zero_()
        for there, value in self.changing:
            change = torch.addcmul(change, there, value.now(1) - value.now(0), value=share)
        return change


def _held(ends: Sequence[AxisEnds]) -> Iterator[tuple[int, int, Standing | None]]:
    """Where nodes are held, and what they have; None for zero."""
    for axis in ends:
        for end, place in ((axis.low, 0), (axis.high, -1)):
            if end.holds:
                yield axis.dim, place, end.value


def _not_zero(kappa: Tensor) -> Tensor:
    """Where nothing is conducted the ghost says nothing, but has to be a number."""
    return torch.where(kappa == 0, torch.ones_like(kappa), kappa)
