"""Intervals of fields whose coarse grid may not be able to represent the truth."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import scipy.stats
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.intervals import laplace_interval
from cotwin.estimation.known import MOST_BY_JACOBIAN
from cotwin.estimation.note import Note
from cotwin.estimation.problem import LeastSquares
from cotwin.layout import Layout
from cotwin.parameters import CoarseField, Parameter, Real
from cotwin.stepper import Stepper

BY_CHANCE = 1 / 500
"""How rarely a field that its coarse grid represents is called too coarse."""


class Corrected(Parameter):
    """A field with a finer one added, in the numbers without bounds: p = g⁻¹(g(coarse) + correction).

    The correction starts at zero. It is on a grid several times as fine, whose splines make up those of the coarse
    one; so the coarse field is held.
    """

    def __init__(self, field: CoarseField, layout: Layout, factor: int) -> None:
        super().__init__(field.unit)
        self.field = copy.deepcopy(field).requires_grad_(False)
        coarse = field.coefficients()
        finer = [min(factor * many, points) for many, points in zip(coarse.shape, layout.grid, strict=True)]
        self.correction = CoarseField(Real(coarse.new_zeros(finer)), layout)

    def forward(self) -> Float[Tensor, "*S"]:
        return self.bounded(self.unbounded(self.field()) + self.correction())

    def unbounded(self, value: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return self.field.unbounded(value)

    def bounded(self, numbers: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
        return self.field.bounded(numbers)


@dataclass(frozen=True)
class _Step:
    """A Gauss-Newton step to where finer fields go. gained: by how much it lowers the cost."""

    problem: LeastSquares
    raw: Float[Tensor, " N"]
    information: FullInformation
    gained: float


def with_finer_fields(found: Estimation) -> Estimation:
    """The estimate with intervals that hold those of fields on finer grids, and a note, where those fit better.

    By one Gauss-Newton step of all unknowns from the estimate, the priors the same. A grid twice as fine lowers the
    cost by ½ χ², of as many degrees of freedom as it has further coefficients, where the coarse one represents the
    truth and residuals are independent. Where it lowers it by more, one twice as fine again is tried, up to 300
    unknowns. Without fields, or where nothing speaks against them, the estimate as it is.
    """
    if not isinstance(found.information, FullInformation) or found.problem.unknowns.closures:
        return found
    if found.ensemble is not None:
        # By derivatives, which would be of the program's own noise.
        return found
    best, factor = None, 2
    while (step := _step(found, factor)) is not None:
        fewer, gained = (len(found.problem.unknowns), 0.0) if best is None else (len(best.raw), best.gained)
        better = 2 * (step.gained - gained)
        if not better > 0 or scipy.stats.chi2.sf(better, len(step.raw) - fewer) > BY_CHANCE:
            break
        best, factor = step, 2 * factor
    return found if best is None else _widened(found, best, factor // 2)


def _widened(found: Estimation, step: _Step, factor: int) -> Estimation:
    intervals, farthest = dict(found.intervals), dict[str, float]()
    for name, interval in found.intervals.items():
        there = laplace_interval(step.problem.unknowns, name, step.raw, step.information, found.quantile)
        half = (interval.high - interval.low) / 2
        farthest[name] = float(((there.value - interval.value) / half).abs().nan_to_num().max())
        low, high = torch.fmin(interval.low, there.low), torch.fmax(interval.high, there.high)
        intervals[name] = replace(interval, low=low, high=high)
    most = max(farthest, key=lambda name: farthest[name])
    note = Note(
        "field_too_coarse",
        f"with {_times(factor)} as many coefficients along each axis of a field the fit is better (χ² less by "
        f"{2 * step.gained:.3g} for {len(step.raw) - len(found.problem.unknowns)} more numbers), and {most} lies up "
        f"to {farthest[most]:.2g} half widths elsewhere. The intervals hold those of the finer field. Give the field "
        "a finer grid, with a prior if it needs one.",
    )
    return replace(found, intervals=intervals, warnings=[*found.warnings, note])


def _times(factor: int) -> str:
    return "twice" if factor == 2 else f"{factor} times"


def _step(found: Estimation, factor: int) -> _Step | None:
    """With fields so many times finer; None where there are none, or too many numbers."""
    problem, stepper = found.problem, found.problem.calibrated(found.z)
    for name, field in [(name, one) for name, one in stepper.named_modules() if isinstance(one, CoarseField)]:
        layout = _layout_of(field, stepper)
        if layout is not None and any(value.requires_grad for value in field.parameters()):
            stepper.set_submodule(name, Corrected(field, layout, factor).to(stepper.dtype or torch.float64))
    twin = problem.with_unknowns_of(stepper)
    if not len(problem.unknowns) < len(twin.unknowns) <= MOST_BY_JACOBIAN:
        return None
    z = torch.cat([twin.unknowns.present(), found.z[len(problem.unknowns) :]])
    linear = twin.linearise(z[None])
    step = linear.solve(torch.zeros(1, dtype=z.dtype, device=z.device))
    raw = (z + step[0])[: len(twin.unknowns)]
    information = FullInformation.of(linear.jacobian()[0], twin.unknowns.labels, twin.unknowns.idle(raw))
    return _Step(twin, raw, information, float((linear.cost - linear.cost_after(step))[0]))


def _layout_of(field: CoarseField, stepper: Stepper) -> Layout | None:
    """On whose grid it is."""
    points = tuple(field().shape)
    return next((one for one in (stepper.layout, stepper.solver_layout) if one.grid == points), None)
