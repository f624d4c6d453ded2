"""What is said of a field that nothing measures, and what hangs on it: a' = b + s, or a' = b and b' = s."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cotwin.estimation import Grid, Measurements, NoisyStarts, estimate
from cotwin.estimation.estimation import Estimation
from cotwin.estimation.evidence import adapted
from cotwin.estimation.levels import with_unsure_levels
from cotwin.layout import Field, Layout
from cotwin.parameters import Known, Real
from cotwin.physics import AdvectionDiffusionReaction

F64 = torch.float64
SAID, SURE, TRUTH = 0.4, 0.2, 0.6
LAYOUT = Layout.box([Field("a"), Field("b")], grid=(4,), extent=[(0, 1)], boundary="periodic", dt=0.5)
TIMES = torch.arange(5, dtype=F64) * 0.5


def beside(u: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    return torch.cat([u[:, 1:] + parameters["s"], torch.zeros_like(u[:, 1:])], dim=1)


def into(u: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    return torch.cat([u[:, 1:], parameters["s"].expand_as(u[:, 1:])], dim=1)


def found(law: object, a: Tensor, deviation: float = 0.05, adapt: bool = False) -> Estimation:
    """s from a alone, in two trajectories; it is said that b is 0.4 ± 0.2 at the start."""
    states = torch.zeros(2, 5, 2, 4, dtype=F64)
    states[:, :, 0] = a[:, None] + 0.001 * torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    mask = torch.zeros_like(states, dtype=torch.bool)
    mask[:, :, 0] = True
    seen = Grid(LAYOUT, 2, 4, mask, first=0)
    guess = torch.tensor([0.0, SAID], dtype=F64)[:, None].expand(2, 2, 4).clone()
    common = torch.tensor([0.0, SURE], dtype=F64)
    starts = NoisyStarts(guess, torch.tensor([0.1, deviation], dtype=F64), 0.3, adapt, common=common)
    stepper = AdvectionDiffusionReaction(LAYOUT, law, (Known(0.0), Known(0.0)), {"s": Real(0.0)})  # type: ignore[arg-type]
    return estimate(stepper.double(), starts, Measurements(seen, seen(states), 0.001), points=1)


def test_what_hangs_on_a_level_that_nothing_tells_is_as_unsure_as_the_level() -> None:
    """b + s alone is seen, and it is 0.6: s is 0.2 beside what is said of b, and no surer."""
    plain = found(beside, TRUTH * TIMES)
    widened = with_unsure_levels(plain)
    (name,) = plain.intervals
    before, after = plain.intervals[name], widened.intervals[name]
    assert float(after.value) == pytest.approx(TRUTH - SAID, abs=0.03)
    assert float(before.low) > 0.1
    assert float(after.deviation) == pytest.approx(float(before.deviation.square() + SURE**2) ** 0.5, rel=0.01)
    assert float(after.low) < 0 < float(after.high)
    assert [note.code for note in widened.warnings if note not in plain.warnings] == ["level_said"]


def test_a_level_that_the_values_tell_widens_nothing() -> None:
    plain = found(into, TRUTH * TIMES + 0.3 * TIMES**2 / 2, deviation=SURE)
    widened = with_unsure_levels(plain)
    (name,) = plain.intervals
    assert abs(float(plain.intervals[name].value) - 0.3) < 4 * float(plain.intervals[name].deviation) < 0.01
    assert float(widened.intervals[name].deviation) == pytest.approx(float(plain.intervals[name].deviation), rel=0.01)
    assert widened.warnings == plain.warnings


def test_a_deviation_that_was_said_does_not_grow() -> None:
    """b is 3, thirteen deviations off: the values ask for a larger one."""
    one = found(into, 3.0 * TIMES, deviation=SURE, adapt=True)
    starts = adapted(one.problem, one.linear)
    assert float(starts.deviation[1]) <= SURE * (1 + 1e-6)
    assert float(starts.deviation[0]) < 0.1
