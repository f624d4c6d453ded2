"""What comes from outside: conditions, courses in time, values for groups; through every way to roll out."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cotwin import Field, Known, Layout, Positive, Real, rollout
from cotwin.given import Course, Given
from cotwin.parameters import Condition, Grouped, Input, InTime, Parameter
from cotwin.physics import FunctionStepper
from cotwin.physics.advection import Advection
from cotwin.physics.heat import Heat
from cotwin.rollouts import Checkpointed, Refined, rollout_sets, rollout_with
from cotwin.rollouts.substepped import Substepped, shortened
from cotwin.stepper import Stepper, replaced
from cotwin.windows import SlidingWindows

sys.path.insert(0, str(Path(__file__).parent / "physics"))
from physics_cases import CASES, Case, smooth

LINE = Layout.box([Field("u")], grid=(16,), extent=[(0, 2 * math.pi)], boundary="periodic", dt=0.5)
WAVE = torch.linspace(0, 2 * math.pi, 17, dtype=torch.float64)[:-1]


def ramp(steps: int, per_step: int = 1) -> Course:
    """Two courses, t and 1 + t², known at equal times."""
    time = torch.arange(steps * per_step + 1, dtype=torch.float64) / per_step
    return Course(torch.stack([time, 1 + time**2]), per_step)


def test_a_course_is_linear_between_the_times_at_which_it_is_known() -> None:
    course = ramp(4, per_step=2)
    assert torch.allclose(course.mean(0.75, 0.75), torch.tensor([0.75, (1.25 + 2.0) / 2], dtype=torch.float64))
    whole = sum(course.mean(a / 7, (a + 1) / 7) for a in range(28)) / 28
    trapezoid = torch.trapezoid(course.values, dx=0.5) / 4
    assert torch.allclose(torch.as_tensor(whole), trapezoid, atol=1e-14)
    assert torch.equal(course.later(2).mean(0, 1), course.mean(2, 3))
    several = np.array([[0.75, 0.75], [0.3, 3.9], [4.0, 4.0], [1.0, 1.25]])
    torch.testing.assert_close(course.means(several), torch.stack([course.mean(*one) for one in several.tolist()]))


def scalar_of(stepper: Stepper) -> Parameter | None:
    return next((one for one in stepper.modules() if isinstance(one, Positive) and one.raw.dim() == 0), None)


@pytest.mark.parametrize(
    "case", [case for case in CASES if scalar_of(case.stepper()) is not None], ids=lambda case: case.name
)
def test_each_sample_has_its_own_condition(case: Case) -> None:
    stepper = case.stepper()
    chosen = scalar_of(stepper)
    assert chosen is not None
    start = smooth(stepper.layout)[:2]
    values = float(chosen().detach()) * torch.tensor([0.7, 1.0])
    given = Given.of(2, conditions={"it": values})
    condition = Condition("it", values.max())
    told = replaced(stepper, lambda one: condition if one is chosen else None)
    together = rollout(told, start, 2, given)
    paced = stepper.paced(stepper.pace())
    for row, value in enumerate(values):
        alone = replaced(paced, lambda one, value=value: Known(value) if one is chosen else None)
        assert torch.allclose(together[row], alone.rollout(start[row : row + 1], 2)[0], rtol=1e-10, atol=1e-12)


def shifted(distances: Tensor) -> Tensor:
    return torch.sin(WAVE - distances[..., None])[:, :, None]


def moving_by(speed: Parameter, layout: Layout = LINE) -> Advection:
    return Advection(layout, speed)


def moving(layout: Layout = LINE) -> Advection:
    return moving_by(Input("speed", 20.0), layout)


@pytest.mark.parametrize("per_step", [1, 3])
def test_a_wave_is_carried_as_far_as_the_course_of_the_velocity_says(per_step: int) -> None:
    course = ramp(4, per_step)
    start = torch.sin(WAVE).expand(2, 1, -1)
    given = Given.of(2, inputs={"speed": course})
    far = torch.stack([4 * 0.0 * course.mean(0, 1)] + [LINE.dt * k * course.mean(0, k) for k in range(1, 5)], dim=1)
    plain = rollout(moving(), start, 4, given)
    assert torch.allclose(plain, shifted(far), atol=1e-12)
    fine = moving(LINE.refined(2))
    others: list[Stepper] = [
        Checkpointed(moving(), 2),
        Refined(fine, LINE, 2),
        Substepped(moving(shortened(LINE, 3)), LINE, 3),
        Checkpointed(Substepped(moving(shortened(LINE, 3)), LINE, 3)),
    ]
    for stepper in others:
        assert torch.allclose(rollout(stepper, start, 4, given), plain, atol=1e-12)


def test_windows_of_what_is_given_go_on_where_the_rollout_was() -> None:
    given = Given.of(2, inputs={"speed": ramp(6, 2)})
    states = rollout(moving(), torch.sin(WAVE).expand(2, 1, -1), 6, given)
    part = given.window(torch.tensor([1, 0]), torch.tensor([3, 1]), 2)
    assert part.frame.tolist() == [3, 1]
    middle = torch.stack([states[1, 3:6], states[0, 1:4]])
    assert torch.allclose(rollout(moving(), middle[:, 0], 2, part), middle, atol=1e-12)
    with pytest.raises(ValueError, match="ends after 6 intervals, the rollout takes 7"):
        given.window(torch.tensor([0]), torch.tensor([3]), 4)


def test_a_batch_may_have_no_real_window_of_what_has_holes() -> None:
    windows = SlidingWindows(
        torch.zeros(2, 5, 1, 4), 2, starts=torch.tensor([[True, False, True, True, True]] * 2), given=Given.of(2)
    )
    none = windows.given_with([])
    assert none is not None
    assert len(none) == 0


@pytest.mark.parametrize("name", ["rate", "source"])
def test_a_function_is_given_the_mean_over_each_substep(name: str) -> None:
    def decay(u: Tensor, dt: float, parameters: dict[str, Tensor]) -> Tensor:
        return u * torch.exp(-parameters[name] * dt)

    course = ramp(3, 2)
    stepper = FunctionStepper(LINE, decay, {name: Input("rate", 10.0)}, substeps=4)
    states = rollout(stepper, torch.ones(2, 1, 16, dtype=torch.float64), 3, Given.of(2, inputs={"rate": course}))
    assert torch.allclose(states[:, -1, 0, 0], torch.exp(-1.5 * course.mean(0, 3)), atol=1e-12)


def test_groups_share_their_unknown_and_others_have_the_centre() -> None:
    each = Positive(torch.tensor([0.1, 0.4], dtype=torch.float64))
    stepper = Heat(LINE, Grouped(each, torch.tensor([1, 0, 1, -1])))
    start = torch.sin(WAVE).expand(5, 1, -1)
    states = rollout(stepper, start, 2, Given.of(5))
    for row, value in enumerate([0.4, 0.1, 0.4, 0.2, 0.2]):
        alone = Heat(LINE, Known(torch.tensor(value, dtype=torch.float64))).paced(stepper.pace())
        assert torch.allclose(states[row], alone.rollout(start[:1], 2)[0], atol=1e-12)
    (gradient,) = torch.autograd.grad(states[1].square().sum(), each.raw)
    assert gradient[0] != 0
    assert gradient[1] == 0
    sets = {"diffusivity.each.raw": torch.stack([each.raw.detach(), each.raw.detach() - 0.3])}
    many = rollout_sets(stepper, sets, start.expand(2, -1, -1, -1), 2, Given.of(5))
    one = rollout_with(
        stepper.paced(stepper.pace()),
        {"diffusivity.each.raw": sets["diffusivity.each.raw"][1]},
        start,
        2,
        Given.of(5),
    )
    assert torch.allclose(many[0], states, atol=1e-12)
    assert torch.allclose(many[1], one, atol=1e-12)


def test_an_unknown_course_is_the_same_in_all_trajectories_and_goes_on_from_where_a_sample_starts() -> None:
    values = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    each = Real(values)
    stepper = moving_by(InTime(each, duration=2.0, dt=LINE.dt))
    states = rollout(stepper, torch.sin(WAVE).expand(1, 1, -1), 6, Given.of(1))
    # dt is a half: 1 to 3 over two steps, 3 to 2 over two more, then 2.
    far = torch.tensor([0.0, 0.75, 2.0, 3.375, 4.5, 5.5, 6.5], dtype=torch.float64)
    assert torch.allclose(states[0, :, 0], shifted(far[None])[0, :, 0], atol=1e-12)
    part = Given.of(1).window(torch.tensor([0]), torch.tensor([3]), 2)
    assert torch.allclose(rollout(stepper, states[:, 3], 2, part), states[:, 3:6], atol=1e-12)
    finer = Substepped(moving_by(InTime(each, 2.0, LINE.dt / 2), shortened(LINE, 2)), LINE, 2)
    assert torch.allclose(rollout(finer, states[:, 3], 2, part), states[:, 3:6], atol=1e-12)
    (gradient,) = torch.autograd.grad(states[0, 1].sum() + states[0, 1, 0, 3], each.raw)
    assert gradient[0] != 0
    assert gradient[2] == 0
    with pytest.raises(ValueError, match="a course needs two times or more"):
        InTime(Real(torch.ones(1)), 1.0, 0.1)


def test_what_is_missing_is_said() -> None:
    stepper = Heat(LINE, Condition("nu", 0.1))
    start = torch.zeros(2, 1, 16)
    with pytest.raises(ValueError, match="Heat has to be given nu"):
        rollout(stepper, start, 2)
    with pytest.raises(ValueError, match=r"nu must be given .* what is given is mu"):
        rollout(stepper, start, 2, Given.of(2, conditions={"mu": torch.ones(2)}))
    with pytest.raises(ValueError, match="2 starts, and what is given is of 3"):
        rollout(stepper, start, 2, Given.of(3, conditions={"nu": torch.ones(3)}))
    with pytest.raises(ValueError, match="given for 3 trajectories, there are 2"):
        Given.of(2, conditions={"nu": torch.ones(3)})
    with pytest.raises(ValueError, match="not finite"):
        Given.of(1, conditions={"nu": torch.tensor([math.nan])})


def test_more_than_the_data_had_is_taken_at_a_faster_pace() -> None:
    stepper = Heat(LINE, Condition("nu", 0.1))
    given = Given.of(1, conditions={"nu": torch.tensor([40.0])})
    start = torch.sin(WAVE).float().expand(1, 1, -1)
    alone = Heat(LINE, Known(40.0))
    assert torch.equal(rollout(stepper, start, 3, given), alone.rollout(start, 3))
