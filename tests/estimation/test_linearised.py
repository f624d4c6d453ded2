"""The elimination of the starts against the dense problem that it stands for."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cotwin.estimation.linear import Linearised

F64 = torch.float64


@st.composite
def problems(draw: st.DrawFn) -> Linearised:
    """Random Jacobians of any size, with starts and priors or without."""
    sets, unknowns, prior = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(0, 3))
    starts, numbers = draw(st.integers(1, 3)), draw(st.integers(0, 4))
    values = draw(st.integers(unknowns + 2, 14))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def random(*shape: int) -> Tensor:
        return torch.randn(sets, *shape, generator=generator, dtype=F64)

    return Linearised(
        misfit=random(values),
        prior=random(prior),
        white=random(starts, numbers),
        by_raw=random(values, unknowns),
        prior_by_raw=random(prior, unknowns),
        by_white=random(values, numbers),
        height=random(),
        tilt=random(unknowns),
        trajectory=torch.randint(starts, (values,), generator=generator),
    )


def dense(linear: Linearised) -> tuple[Tensor, Tensor]:
    """J to (θ, all ε) and r of all residuals: misfit, priors, ε."""
    sets, values, unknowns = linear.by_raw.shape
    starts, numbers = linear.white.shape[1:]
    prior = linear.prior.shape[1]
    jacobian = torch.zeros(sets, values + prior + starts * numbers, unknowns + starts * numbers, dtype=F64)
    jacobian[:, :values, :unknowns] = linear.by_raw
    jacobian[:, values : values + prior, :unknowns] = linear.prior_by_raw
    jacobian[:, values + prior :, unknowns:] = torch.eye(starts * numbers, dtype=F64)
    for value, start in enumerate(linear.trajectory.tolist()):
        own = unknowns + start * numbers
        jacobian[:, value, own : own + numbers] = linear.by_white[:, value]
    return jacobian, torch.cat([linear.misfit, linear.prior, linear.white.flatten(1)], dim=1)


@settings(deadline=None)
@given(problems(), st.sampled_from([0.0, 1e-3, 1.0]))
def test_a_step_solves_the_damped_normal_equations_of_all_unknowns(linear: Linearised, damping: float) -> None:
    jacobian, residual = dense(linear)
    normal = jacobian.mT @ jacobian
    damped = normal + damping * torch.diag_embed(normal.diagonal(dim1=1, dim2=2))
    slope = (jacobian.mT @ residual[..., None])[..., 0]
    slope[:, : linear.tilt.shape[1]] += linear.tilt
    expected = -torch.linalg.solve(damped, slope)
    step = linear.solve(torch.full((len(residual),), damping, dtype=F64))
    torch.testing.assert_close(step, expected, rtol=1e-6, atol=1e-8)


@settings(deadline=None)
@given(problems())
def test_costs_before_and_after_a_step_are_those_of_all_residuals(linear: Linearised) -> None:
    jacobian, residual = dense(linear)
    step = torch.ones(len(residual), jacobian.shape[2], dtype=F64)
    torch.testing.assert_close(linear.cost, residual.square().sum(dim=1) / 2 + linear.height)
    after = residual + jacobian.sum(dim=2)
    higher = linear.height + linear.tilt.sum(dim=1)
    torch.testing.assert_close(linear.cost_after(step), after.square().sum(dim=1) / 2 + higher)


@settings(deadline=None)
@given(problems())
def test_the_information_on_parameters_is_the_schur_complement(linear: Linearised) -> None:
    jacobian, unknowns = dense(linear)[0], linear.by_raw.shape[2]
    normal = jacobian.mT @ jacobian
    own, mixed = normal[:, :unknowns, :unknowns], normal[:, :unknowns, unknowns:]
    schur = own - mixed @ torch.linalg.solve(normal[:, unknowns:, unknowns:], mixed.mT)
    reduced = linear.jacobian()
    torch.testing.assert_close(reduced.mT @ reduced, schur)


@settings(deadline=None)
@given(problems())
def test_leverage_is_the_diagonal_of_the_dense_hat_matrix(linear: Linearised) -> None:
    jacobian, values = dense(linear)[0], linear.misfit.shape[1]
    hat = jacobian @ torch.linalg.solve(jacobian.mT @ jacobian, jacobian.mT)
    torch.testing.assert_close(linear.leverage(), hat.diagonal(dim1=1, dim2=2)[:, :values], rtol=1e-6, atol=1e-8)


@settings(deadline=None)
@given(problems())
def test_parameters_that_are_held_do_not_move_and_the_others_as_if_they_were_known(linear: Linearised) -> None:
    free = torch.ones(linear.by_raw.shape[::2], dtype=torch.bool)
    free[:, 0] = False
    step = linear.fixed(free).solve(torch.zeros(len(free), dtype=F64))
    jacobian, residual = dense(linear)
    slope = (jacobian.mT @ residual[..., None])[..., 0]
    slope[:, : linear.tilt.shape[1]] += linear.tilt
    others = -torch.linalg.solve((jacobian.mT @ jacobian)[:, 1:, 1:], slope[:, 1:])
    assert bool((step[:, 0] == 0).all())
    torch.testing.assert_close(step[:, 1:], others, rtol=1e-6, atol=1e-8)


@settings(deadline=None)
@given(problems())
def test_the_determinant_is_that_of_the_dense_starts(linear: Linearised) -> None:
    jacobian, unknowns = dense(linear)[0], linear.by_raw.shape[2]
    starts = jacobian[:, :, unknowns:]
    torch.testing.assert_close(linear.half_log_determinant(), torch.linalg.slogdet(starts.mT @ starts)[1] / 2)
