"""One contract for simulators and networks: a state in, the state one data interval later out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.parameters.numbers import Known
from cotwin.parameters.outside import Flowing, Ones, Outside, flowing
from cotwin.symmetries import Symmetries

Suggestion = Callable[[Callable[..., "Stepper"], Layout, Float[Tensor, "N T C *S"]], object]
"""(a function that makes the stepper with other arguments, the layout, the training states) -> the argument."""


class DivergenceError(ArithmeticError):
    """A rollout left the finite numbers. Whoever can judge may catch it: the trainer rejects its step."""


class ProgramError(RuntimeError):
    """A user's program failed. The message names it, its parameters and what it said."""


@dataclass
class Effort:
    """What a user's program was asked for so far, by a stepper and all copies of it.

    rollouts: of one start each. calls: of the program.
    """

    rollouts: int = 0
    calls: int = 0

    def __deepcopy__(self, memo: dict[int, object]) -> Effort:
        # Copies of the stepper call the same program.
        return self

    def since(self, before: Effort) -> Effort:
        """What came after a state of it."""
        return Effort(self.rollouts - before.rollouts, self.calls - before.calls)


class Stepper(nn.Module, ABC):
    """Advances states of a layout by its dt. A PDE solver or a network.

    `forward` maps (B, C, *S) to (B, C, *S), one data interval later, differentiably, and passes static
    channels through. Samples of a batch never influence each other.
    """

    # Whether two rollouts in sequence are one, to rounding.
    composes = True
    # Whether torch.func.vmap sees through it; where not, sets of parameters are rolled out one by one.
    vmaps = True
    # Whether a rollout takes a set of parameters for each sample: scalars of shape (B, 1, *ones), fields (B, 1, *S),
    # to which unknowns, closures and simulators that say so must broadcast. A subclass does not inherit it.
    batched: ClassVar[bool] = False
    # Whether gradients reach the start of a rollout.
    differentiable = True
    # Whether a rollout follows parameters that change along it; others are rolled out interval by interval then.
    marches = True
    # Vector fields whose component a lies on the face below its cell along axis a; others are at the points.
    staggered: frozenset[str] = frozenset()
    fixed_pace: tuple[int, ...] | None = None
    # How many samples it is bound to; None where it takes any.
    samples: int | None = None
    # Arguments that a configuration may leave open, and what follows from the training data then. The docstring of
    # each function says so, as `cotwin config explain` shows it.
    suggested: ClassVar[Mapping[str, Suggestion]] = MappingProxyType({})

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    @property
    def device(self) -> torch.device:
        """Where its parameters and buffers are; the CPU if it has none."""
        tensor = self._any_tensor()
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype | None:
        """The only precision of states that it takes; None if it computes in that of the state."""
        return None

    @property
    def effort(self) -> Effort | None:
        """What the user's program behind it was asked for; None where there is none, or it is not counted."""
        return None

    @property
    def solver_layout(self) -> Layout:
        """The layout of its field parameters: finer than `layout` where it solves on a finer grid."""
        return self.layout

    @property
    def members(self) -> tuple[Stepper, ...]:
        """What learns by itself, each from its own rollouts; what they predict together is this stepper's."""
        return (self,)

    @property
    def symmetries(self) -> Symmetries:
        """Moves of the grid that commute with it, with its present settings whatever its unknowns are."""
        return Symmetries()

    @property
    def conserved(self) -> frozenset[int]:
        """Channels whose mean over the domain, by control volumes, never changes, whatever its unknowns are."""
        return frozenset()

    def at_data_points(self, value: Float[Tensor, "*F"]) -> Float[Tensor, "*K"]:
        """A field that it keeps on a finer grid, on the grid of `layout`; anything else as it is."""
        return value

    @abstractmethod
    def forward(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        """The state one `layout.dt` later."""

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        """The start and the `num_steps` states after it, T = num_steps + 1.

        Callers use `cotwin.rollout`, which checks. A `RolloutStepper` stays in another representation between steps
        (Fourier coefficients, fields of another library), so that conversion is paid once a rollout.
        """
        states, changes = [state], self.flows
        for step in range(num_steps):
            now = self.over(step, step + 1) if changes else self
            states.append(now(states[-1]))
        return torch.stack(states, dim=1)

    def made_of(self) -> Iterator[nn.Module]:
        """The modules that decide what it promises."""
        return self.children()

    @property
    def needs(self) -> frozenset[str]:
        """Names of what has to be given with the starts."""
        return frozenset(one.name for one in self.modules() if isinstance(one, Outside) and one.name is not None)

    @property
    def takes_given(self) -> bool:
        """Whether samples differ by what is given of them, be it only which trajectory they are of."""
        # Not of all modules: a network has many, and every rollout asks.
        return any(isinstance(one, Outside) for part in self.made_of() for one in part.modules())

    @property
    def flows(self) -> bool:
        """Whether, bound, it changes along a rollout."""
        return any(flowing(part) for part in self.made_of())

    def bound(self, given: Given, ones: Ones) -> Stepper:
        """This stepper for samples of which this is given, its parameters shared; see `Outside.bound`."""
        twin = replaced(self, lambda one: one.bound(given, ones) if isinstance(one, Outside) else None)
        twin.samples = None if twin is self else len(given)
        return twin

    def paced_for(self, given: Given) -> Stepper:
        """This stepper at the pace of the largest values in the data, or in `given` where those are larger."""
        widest = replaced(self, lambda one: one.widened(given) if isinstance(one, Outside) else None)
        return self.paced(widest.pace())

    def at_largest(self) -> Stepper:
        """This stepper with the values of largest size in the data of whatever differs between samples."""
        return replaced(self, lambda one: Known(one().detach()) if isinstance(one, Outside) else None)

    def over(self, begin: float, end: float) -> Stepper:
        """This stepper as it is on the average over a stretch of a rollout, counted in intervals of the data."""
        return replaced(self, lambda one: one.over(begin, end) if isinstance(one, Flowing) else None)

    def later(self, steps: int) -> Stepper:
        """This stepper for a rollout that begins so many intervals later."""
        return replaced(self, lambda one: one.later(steps) if isinstance(one, Flowing) else None)

    def needed_pace(self) -> tuple[int, ...]:
        """Substeps, stages: counts in one interval that follow from the parameters' present values; () if none do.

        Raises DivergenceError where they would be too many for any rollout.
        """
        return ()

    def pace(self) -> tuple[int, ...]:
        """The counts a rollout uses: those given by `paced`, else `needed_pace`."""
        return self.needed_pace() if self.fixed_pace is None else self.fixed_pace

    def paced(self, pace: tuple[int, ...]) -> Stepper:
        """This stepper at a given pace, its parameters shared; it then does not look at their values.

        `torch.func.vmap` over parameters needs that: it cannot count differently for each set.
        """
        twin = copy(self)
        twin.fixed_pace = pace
        return twin

    def remedy(self, before: Float[Tensor, "B C *S"]) -> str:
        """What to try when it diverges, for the message. before: the states from which it did, while still small."""
        return ""

    def admits(self, states: Float[Tensor, "B C *S"]) -> Bool[Tensor, "B"]:
        """Which samples are what it was made for, below a speed or a ceiling. All if it says nothing."""
        return torch.ones(len(states), dtype=torch.bool, device=states.device)

    def largest_stable_step(self, state: Float[Tensor, "B C *S"]) -> float:
        """About the longest substep, up to layout.dt, that is stable at these states with the present parameters.

        layout.dt where nothing that depends on states limits it, and where it is not known.
        """
        return self.layout.dt

    def require_state(self, state: Tensor) -> None:
        """Raise ValueError unless a state has the layout's shape, and the device and precision of the stepper."""
        self.layout.require_state(tuple(state.shape))
        own = self._any_tensor()
        if own is not None and own.device != state.device:
            raise ValueError(
                f"the state is on {state.device}, {type(self).__name__} on {own.device}; move one of them: "
                f"state.to(stepper.device)."
            )
        if self.dtype is not None and state.dtype != self.dtype:
            raise ValueError(
                f"the state is {state.dtype}, {type(self).__name__} computes in {self.dtype}; convert one of them: "
                f"state.to({self.dtype})."
            )

    def _any_tensor(self) -> Tensor | None:
        return next(chain(self.parameters(), self.buffers()), None)


class RolloutStepper(Stepper, ABC):
    """A stepper that is written as its rollout, to stay in another representation between steps."""

    marches = False

    def forward(self, state: Float[Tensor, "B C *S"]) -> Float[Tensor, "B C *S"]:
        return self.rollout(state, 1)[:, 1]

    @abstractmethod
    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]: ...


M = TypeVar("M", bound=nn.Module)


def replaced(module: M, replacement: Callable[[nn.Module], nn.Module | None]) -> M:
    """The module with others in place of some inside it; itself where there are none. All else is shared."""
    changes: dict[str, nn.Module] = {}
    for name, child in module.named_children():
        other = replacement(child)
        other = replaced(child, replacement) if other is None else other
        if other is not child:
            changes[name] = other
    if not changes:
        return module
    twin = module.__new__(type(module))  # a third of the time that `copy` takes
    twin.__dict__.update(module.__dict__, _modules={**module._modules, **changes})
    return twin


def takes_samples(module: nn.Module) -> bool:
    """Whether all that a module is made of says that parameters may differ between the samples of a batch."""
    inside = module.made_of() if isinstance(module, Stepper) else module.children()
    return vars(type(module)).get("batched", False) and all(map(takes_samples, inside))


def rolled(
    stepper: Stepper, state: Float[Tensor, "B C *S"], num_steps: int, given: Given | None = None
) -> Float[Tensor, "B T C *S"]:
    """`stepper.rollout` where each sample may be given something of its own. Nothing is checked but that."""
    if not stepper.takes_given:
        return stepper.rollout(state, num_steps)
    if given is None:
        wanted = ", ".join(sorted(stepper.needs)) or "which trajectory each start is of"
        raise ValueError(
            f"{type(stepper).__name__} has to be given {wanted}: rollout(stepper, state, num_steps, given)."
        )
    given = given.to(state.device)
    given.require(stepper.needs, num_steps)
    if len(given) != len(state):
        raise ValueError(f"{len(state)} starts, and what is given is of {len(given)} samples; give one for each.")
    stepper, shared = stepper.paced_for(given), given
    if takes_samples(stepper):
        return _followed(stepper.bound(given, (1,) * (stepper.layout.dims + 1)), state, num_steps)

    def alone(start: Float[Tensor, "C *S"], own: dict[str, Tensor]) -> Float[Tensor, "T C *S"]:
        given = shared.with_tensors({name: value[None] for name, value in own.items()})
        return _followed(stepper.bound(given, ()), start[None], num_steps)[0]

    if stepper.vmaps:
        every: Tensor = torch.func.vmap(alone)(state, given.tensors())
        return every
    rows = ({name: value[row] for name, value in given.tensors().items()} for row in range(len(state)))
    return torch.stack([alone(start, own) for start, own in zip(state, rows, strict=True)])


def _followed(stepper: Stepper, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
    """The rollout of a stepper that is bound to its samples."""
    if stepper.marches or not stepper.flows:
        return stepper.rollout(state, num_steps)
    states = [state]
    for step in range(num_steps):
        states.append(stepper.over(step, step + 1).rollout(states[-1], 1)[:, 1])
    return torch.stack(states, dim=1)


def rollout(
    stepper: Stepper, state: Float[Tensor, "B C *S"], num_steps: int, given: Given | None = None
) -> Float[Tensor, "B T C *S"]:
    """`stepper.rollout` with its input and output checked; T = num_steps + 1, the start included.

    given: what comes from outside, for a stepper that takes it; another never sees it.

    Raises ValueError if the state does not fit the stepper (`require_state`) or the stepper returns another number
    of states, and `DivergenceError`, naming the first step and the number of samples, if a state is not finite.
    """
    stepper.require_state(state)
    if num_steps < 0:
        raise ValueError(f"num_steps is {num_steps}; a rollout goes forward in time.")
    states = rolled(stepper, state, num_steps, given)
    expected = (len(state), num_steps + 1, *state.shape[1:])
    if tuple(states.shape) != expected:
        # One step too few would broadcast against the truth without a word.
        raise ValueError(
            f"{type(stepper).__name__}.rollout returned {tuple(states.shape)} instead of {expected}; "
            "it returns the start and the num_steps states after it."
        )
    # The sum is finite unless an entry is not (or the states are near overflow): one pass, no mask in memory.
    if not torch.isfinite(states.detach().sum()):
        finite = torch.isfinite(states.detach()).flatten(2).all(dim=2)
        if not finite.all():
            raise DivergenceError(_divergence(stepper, states.detach(), finite))
    return states


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A model in eval mode; afterwards each of its modules as it was, whichever it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _divergence(stepper: Stepper, states: Float[Tensor, "B T C *S"], finite: Bool[Tensor, "B T"]) -> str:
    """When, in how many samples, and what to do."""
    diverged = ~finite.all(dim=1)
    step = int((~finite).any(dim=0).nonzero()[0])
    # The last finite state is already out of all proportion; of each sample the last within ten times its start.
    some = states[diverged][:4]
    sizes = some.abs().flatten(2).amax(dim=2).nan_to_num(nan=torch.inf)
    last = (sizes <= 10 * sizes[:, :1]).long().cumprod(dim=1).sum(dim=1) - 1
    before = some[torch.arange(len(some)), last]
    remedy = stepper.remedy(before) if bool(before.isfinite().all()) else ""
    return (
        f"{type(stepper).__name__} diverged at step {step} of {states.shape[1] - 1}, "
        f"in {int(diverged.sum())} of {len(states)} samples. {remedy}".rstrip()
    )
