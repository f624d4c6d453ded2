"""How far estimates are from those of the same model without the error of its grid, or of its time steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.intervals import Interval, holding, laplace_interval
from cotwin.estimation.linear import Linearised
from cotwin.estimation.note import Note
from cotwin.estimation.observation import Observation
from cotwin.estimation.observation.instants import CUBIC
from cotwin.parameters import Parameter
from cotwin.rollouts import Substepped
from cotwin.stepper import Stepper

MOST_BYTES = 2**31
"""Of the finer model's states, up to which it is rolled out."""
JACOBIANS = 10
"""An estimate takes at least so many: a third resolution is cheap where one rollout of it takes no longer."""
LEAST_ORDER, USUAL_ORDER, MOST_ORDER = 1.0, 2.0, 16.0
UNSURE = 0.5
"""Of a shift, what is left open of it where it is taken off: of equations with exact solutions, without noise, up to
0.3 was left, and 0.6 once."""
SMALL = 0.25
"""Of the half width of an interval, to which a finer model is to bring the shift."""

JUDGES = 6
"""Points of the polynomials that tell what those through four leave."""

Kind = Literal["grid", "steps", "times", "places"]
FAULTS: Mapping[Kind, str] = {"grid": "the grid is too coarse", "steps": "the time steps are too long"}


class UncheckedError(ValueError):
    """A model could not be compared with itself solved more finely; the message is the reason."""


@dataclass(frozen=True)
class Finer:
    """One way to solve the same model, with the same unknowns, more finely.

    pair: of a factor, the model so many times finer, and the one to hold it against: that of the estimate, but for
        what the finer one needs besides. factor: the least; its powers are taken.
    settings: of a factor, what to set for it; nothing where the model has no such setting.
    data: how many times finer data were solved that were generated; infinite for others.
    most: the largest factor to be set.
    """

    kind: Kind
    pair: Callable[[int], tuple[Stepper, Stepper]]
    factor: int
    settings: Callable[[int], dict[str, int]]
    data: float = math.inf
    most: float = math.inf

    def work(self, factor: int, dims: int) -> int:
        """Times the work of the model of the estimate, where steps are as short as the spacing."""
        return factor ** (dims + 1) if self.kind == "grid" else factor


@dataclass(frozen=True)
class Shift:
    """By how much the unknowns would come out elsewhere without one error of the numerics, to first order.

    raw: of the N raw numbers. by_name: in natural units, in the parameters' shapes, on the CPU.
    order: p of the error, which falls as factor⁻ᵖ. seen: over three resolutions; else taken to be 1, the worst.
    likely: the part of it that there is if the order was not seen and is 2, as that of most schemes.
    largest: of all shifts by the half widths of the intervals. within: whether the estimates are moved by it.
    """

    raw: Float[Tensor, " N"]
    by_name: dict[str, Tensor]
    order: float
    seen: bool
    largest: float
    likely: float = 1.0
    within: bool = False

    @classmethod
    def of(cls, found: Estimation, raw: Float[Tensor, " N"], order: float, seen: bool, likely: float = 1.0) -> Shift:
        """With what a step of the raw numbers means."""
        unknowns = found.problem.unknowns
        here, by_name, largest = found.z[: len(unknowns)], {}, 0.0
        for name, interval in found.intervals.items():
            there = unknowns.value(name, here + raw).detach().cpu().double()
            by_name[name] = there - interval.value
            largest = max(largest, float(_halves(by_name[name], found, name).abs().nan_to_num().max()))
        return cls(raw, by_name, order, seen, largest, likely)

    def taken_off(self, found: Estimation) -> Shift:
        """As estimates are moved by it."""
        order = self.order if self.likely == 1 else USUAL_ORDER
        return replace(Shift.of(found, self.likely * self.raw, order, self.seen), within=True)

    def factor(self, finer: Finer) -> int:
        """By which to solve more finely, so that the shift is a small part of the half width."""
        powers = math.ceil(math.log(self.largest / SMALL, finer.factor) / self.order) if self.seen else 1
        while powers > 1 and finer.factor**powers > min(finer.most, finer.data):
            powers -= 1
        return int(finer.factor ** max(1, powers))


def shift(found: Estimation, linear: Linearised, finer: Finer) -> Shift:
    """The shift of the unknowns by one error of the numerics, extrapolated to none.

    One Gauss-Newton step from the estimate z, the starts eliminated: s(f) = −(JᵀJ)⁻¹ Jᵀ (r_f(z) − r(z)), r_f of the
    model f times finer and J of that of the estimate, linearised at z. The error of order p gone, it is
    s(f²) + (s(f²) − s(f))/(fᵖ − 1), with fᵖ = ‖s(f)‖/‖s(f²) − s(f)‖ in standard deviations, p between 1 and 16. Where
    a third resolution is not cheap p = 1, and it is s(f)/(1 − f⁻ᵖ). Data that were generated by a model m times finer
    have its error: of these shifts only 1 − m⁻ᵖ counts.

    For estimates by Jacobians, of up to 300 unknowns. Raises UncheckedError where the finer model's states take over
    2 GiB, and where it diverges; ValueError where its parameters are others.
    """
    assert isinstance(found.information, FullInformation)
    f, dims = finer.factor, found.problem.observation.layout.dims
    once = _step(found, linear, finer, f)
    cheap = finer.work(f * f, dims) <= JACOBIANS * (2 * (len(once) + found.problem.starts.size) + 1)
    try:
        further = _step(found, linear, finer, f * f) - once if cheap else None
    except UncheckedError:
        further = None
    if further is None:
        order, total = LEAST_ORDER, once / (1 - f**-LEAST_ORDER)
    else:
        first, second = (float(found.information.size(one)) for one in (once, further))
        ratio = min(max(first / max(second, 1e-300), f**LEAST_ORDER), f**MOST_ORDER)
        order, total = math.log(ratio, f), once + further + further / (ratio - 1)
    likely = 1.0 if further is not None else (1 - f**-LEAST_ORDER) / (1 - f**-USUAL_ORDER)
    return Shift.of(found, total * (1 - finer.data**-order), order, further is not None, likely)


def interpolated(found: Estimation, linear: Linearised) -> dict[Kind, Shift]:
    """The shifts by interpolating between steps, and between grid points; none where nothing is.

    One Gauss-Newton step, as `shift`: s = −(JᵀJ)⁻¹ Jᵀ (r₆(z) − r(z)), r₆ with polynomials through six points, or
    where there are no more than four one fewer. The error falls as the fourth power of the step or the spacing.
    """
    seen, shifts = found.problem.observation, dict[Kind, Shift]()
    in_time, in_space = _judge(seen.num_steps + 1), _judge(min(seen.layout.grid))
    judged: dict[Kind, Observation] = {"times": seen.through(in_time, CUBIC), "places": seen.through(CUBIC, in_space)}
    for kind, other in judged.items():
        if other is not seen:
            missed = found.problem.seen_by(other).misfit(found.z[None]) - linear.misfit
            shifts[kind] = Shift.of(found, _solved(found, linear, missed), CUBIC, seen=False)
    return shifts


def on_interpolation(found: Estimation, kind: Kind, moved: Shift) -> Iterator[Note]:
    """Which unknowns interpolation moves by more than their intervals' half widths, with the cure; or how little."""
    off = [words for name in found.intervals if (words := _moved(found, name, moved.by_name[name]))]
    where = "in time" if kind == "times" else "in space"
    if not off:
        yield Note(
            "interpolated",
            f"interpolating states {where} moves no estimate by more than {moved.largest:.1g} of its interval's half "
            "width.",
        )
        return
    factor, layout = 2 ** math.ceil(math.log2(moved.largest / SMALL) / moved.order), found.problem.observation.layout
    over, cure = (
        ("over steps that are too long", f"data.dt={layout.dt / factor:.6g}")
        if kind == "times"
        else ("between points too far apart", f"data.grid={[factor * points for points in layout.grid]}")
    )
    yield Note(
        "time_between" if kind == "times" else "place_between",
        f"states are interpolated {where} {over} for these intervals: without that error {', '.join(off)}. Set "
        f"{cure}.",
    )


def _judge(points: int) -> int:
    """Points of the polynomials that tell what those through four leave, of so many."""
    return JUDGES if points > CUBIC else min(CUBIC, points) - 1


def without_errors(found: Estimation, shifts: Sequence[Shift]) -> Estimation:
    """Estimates where they would be without the errors, with intervals as wide as there and wider by half of each.

    Half of a shift covers one whose order was not seen, from the first order on, and what the extrapolation of others
    leaves (`UNSURE`). The simulator keeps its numbers, which fit the data on its own grid, with its own steps.
    They are formed there as at the estimate, so that none reaches beyond a bound.
    """
    assert found.spread is not None
    unknowns, moves = found.problem.unknowns, [one.raw for one in shifts]
    there = found.z[: len(unknowns)] + sum(moves)
    intervals = {}
    for name in found.intervals:
        interval = laplace_interval(unknowns, name, there, found.spread, found.reach)
        for signs in product((-UNSURE, UNSURE), repeat=len(moves)):
            at = there + sum(sign * move for sign, move in zip(signs, moves, strict=True))
            interval = holding(interval, laplace_interval(unknowns, name, at, found.spread, found.reach))
        intervals[name] = interval
    independent = {
        name: _moved_along(unknowns.parameters[name], one, found.intervals[name].value, intervals[name].value)
        for name, one in found.independent.items()
    }
    return replace(found, intervals=intervals, independent=independent)


def _moved_along(parameter: Parameter, one: Interval, here: Tensor, there: Tensor) -> Interval:
    """An interval moved as its value is, in numbers that have no bounds."""
    by = parameter.unbounded(there) - parameter.unbounded(here)
    low, high = (parameter.bounded(parameter.unbounded(end) + by).detach() for end in (one.low, one.high))
    return replace(one, value=there, low=low, high=high)


def on_shift(found: Estimation, moved: Shift, finer: Finer) -> Iterator[Note]:
    """Which unknowns are off by more than their intervals' half widths, with the setting that mends it."""
    off = [words for name in found.intervals if (words := _moved(found, name, moved.by_name[name]))]
    if off:
        settings = finer.settings(moved.factor(finer))
        cure = " ".join(f"physical.{name}={value}" for name, value in settings.items())
        cure = f"Set {cure}." if cure else "Solve it more finely."
        yield Note(
            "grid" if finer.kind == "grid" else "time_step",
            f"{FAULTS[finer.kind]} for these intervals: without that error {', '.join(off)}. {cure}",
        )


def unchecked(reason: object) -> Note:
    """That a model could not be compared with itself solved more finely."""
    return Note("numerics_unchecked", f"whether grid and time steps suit the intervals was not looked at: {reason}")


def _step(found: Estimation, linear: Linearised, finer: Finer, factor: int) -> Float[Tensor, " N"]:
    """How far the raw unknowns go with a model so many times finer."""
    problem, z = found.problem, found.z[None]
    model, reference = finer.pair(factor)
    layout, frames = model.solver_layout, problem.observation.num_steps + 1
    frames *= model.factor if isinstance(model, Substepped) else 1
    size = 8 * len(found.starts) * frames * layout.channels * math.prod(layout.grid)
    if size > MOST_BYTES:
        raise UncheckedError(f"its states would take {size / 2**30:.1f} GiB.")
    here = linear.misfit if reference is found.stepper else problem.on(reference).misfit(z)
    missed = problem.on(model).misfit(z) - here
    if not bool(missed.isfinite().all()):
        raise UncheckedError(f"with {'a finer grid' if finer.kind == 'grid' else 'shorter steps'} it diverges.")
    return _solved(found, linear, missed)


def _solved(found: Estimation, linear: Linearised, missed: Float[Tensor, "1 M"]) -> Float[Tensor, " N"]:
    """How far the raw unknowns go where misfits change by so much."""
    nothing = {name: torch.zeros_like(getattr(linear, name)) for name in ("prior", "white", "tilt")}
    step = replace(linear, misfit=missed, **nothing).solve(torch.zeros_like(found.z[:1, None])[:, 0])
    return found.problem.parts(step)[0][0]


def _halves(moved: Tensor, found: Estimation, name: str) -> Tensor:
    """In half widths of the interval."""
    return moved / ((found.intervals[name].high - found.intervals[name].low) / 2)


def _moved(found: Estimation, name: str, moved: Tensor) -> str:
    """Where an unknown would come out, at the point where that is farthest; empty if within the half width."""
    interval = found.intervals[name]
    beyond = _halves(moved, found, name).abs().flatten()
    if not bool((beyond > 1).any()):
        return ""
    most = int(beyond.nan_to_num(nan=-torch.inf).argmax())
    at = ", ".join(str(int(index)) for index in torch.unravel_index(torch.tensor(most), interval.value.shape))
    value, by = float(interval.value.flatten()[most]), float(moved.flatten()[most])
    spread = abs(by) / float(beyond[most])
    digits = max(3, _exponent(value) - _exponent(spread) + 2)
    return (
        f"{name}{f'[{at}]' if at else ''} would come out at about {value + by:.{digits - 1}g} "
        f"(here {value:.{digits}g} ± {spread:.2g})"
    )


def _exponent(number: float) -> int:
    return math.floor(math.log10(abs(number) or 1.0))
