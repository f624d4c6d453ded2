"""How much generated data count: trust is earned on held-out data, and lost there."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import LAYOUT, heat

from cotwin.stepper import rollout
from cotwin.training.alpha import Standing, auto, elsewhere, fixed, linear
from cotwin.training.held_out import HeldOut

ERRORS = st.one_of(st.floats(0, 1e6), st.just(math.inf))


def standing(teacher: float, learner: float, trusted: bool, spread: float = 0.1, parts: int = 8) -> Standing:
    """Errors of about these sizes, whose ratios vary by `spread` from part to part."""
    noise = torch.linspace(-1.5, 1.5, parts)
    return Standing(teacher * (spread * noise).exp(), torch.full((parts,), learner), trusted)


@given(st.floats(0, 100), ERRORS, ERRORS, st.booleans(), st.integers(1, 5))
def test_alpha_lies_between_nothing_and_the_cap(
    cap: float, teacher: float, learner: float, trusted: bool, parts: int
) -> None:
    assert 0 <= auto(cap)(3, Standing(torch.full((parts,), teacher), torch.full((parts,), learner), trusted)) <= cap


@pytest.mark.parametrize("trusted", [True, False])
def test_trust_is_given_where_it_is_earned_and_taken_back(trusted: bool) -> None:
    alpha, most = auto(2.0), 2.0 if trusted else 1.0
    much, some, none = (alpha(0, standing(error, 1.0, trusted)) for error in (0.1, 0.8, 1.5))
    assert 0.95 * most < much < most
    assert 0 < some < much
    assert none == 0
    # The learner has caught up.
    assert alpha(3, standing(0.1, 0.05, trusted)) == 0


def test_doubt_speaks_for_the_simulator_and_against_the_surrogate() -> None:
    alpha = auto(2.0)
    assert alpha(0, standing(0.9, 1.0, trusted=True, spread=0.5)) > 0.5
    sure = auto(9.0)(0, Standing(torch.full((3,), 0.1), torch.full((3,), 0.3), trusted=True))
    assert sure == pytest.approx(8)
    assert alpha(0, standing(0.9, 1.0, trusted=False, spread=0.5)) == 0
    one = torch.tensor([0.5])
    assert alpha(0, Standing(one, 2 * one, trusted=True)) == 2.0
    assert alpha(0, Standing(one, 2 * one, trusted=False)) == 0


def test_a_learner_that_diverges_trusts_a_teacher_that_does_not() -> None:
    well, ill = torch.full((4,), 0.5), torch.full((4,), math.inf)
    for trusted, most in ((True, 2.0), (False, 1.0)):
        assert auto(2.0)(0, Standing(well, ill, trusted)) == most
        assert auto(2.0)(0, Standing(ill, well, trusted)) == 0


@pytest.mark.parametrize("parts", [3, 8, 16])
def test_a_surrogate_that_is_no_better_is_trusted_by_chance_as_often_as_the_level_says(parts: int) -> None:
    generator = torch.Generator().manual_seed(parts)
    logs = 0.3 * torch.randn(2, 2000, parts, generator=generator)
    opened = sum(auto(2.0)(0, Standing(*pair, trusted=False)) > 0 for pair in zip(*logs.exp(), strict=True))
    # One side of 95 %: 50 of 2000 expected, 7 their standard deviation.
    assert 25 <= opened <= 75


def test_few_trajectories_leave_what_holds_elsewhere_unseen() -> None:
    alike = torch.full((8,), 0.1)
    for trajectories, trusted_at in ((1, 1.48), (2, 1.32), (3, 1.0)):
        known = [
            auto(2.0)(0, Standing(alike, factor * trusted_at * alike, trusted=False, spread=elsewhere(trajectories)))
            for factor in (0.98, 1.02)
        ]
        assert known[0] == 0
        assert known[1] > 0
    assert elsewhere(1) == pytest.approx(math.sqrt(2) * elsewhere(2))


def test_schedules_do_not_look_at_errors() -> None:
    better = standing(0.1, 1.0, trusted=True)
    assert fixed(0.7)(5, better) == 0.7
    assert [linear(1.0, 3.0, cycles=3)(cycle, better) for cycle in range(5)] == [1, 2, 3, 3, 3]
    assert linear(1.0, 3.0, cycles=1)(0, better) == 1


def held_out(trajectories: int) -> HeldOut:
    start = torch.randn(trajectories, 1, *LAYOUT.grid, generator=torch.Generator().manual_seed(1))
    return HeldOut(rollout(heat(), start, num_steps=9).detach())


def test_errors_of_parts_are_those_of_trajectories_or_of_stretches_of_few() -> None:
    many, two = held_out(5).measure(heat(0.3)), held_out(2).measure(heat(0.3))
    assert many.of_parts.tolist() == many.nrmse_of_trajectories
    assert len(two.of_parts) == 8
    # Of one trajectory the 9 scored frames are cut into 3, 2, 2 and 2.
    single = held_out(1).measure(heat(0.3))
    weights = torch.tensor([3, 2, 2, 2]) / 9
    assert float((weights * single.of_parts.square()).sum().sqrt()) == pytest.approx(single.nrmse)
