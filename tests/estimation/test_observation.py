"""Every observation is a linear map of the states that any derivative and vmap see through."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from observation_cases import generator, layout, of_every_kind, random_states, sampled, times_up_to

from cotwin.estimation.observation import Grid, Instants, Joined, Observation, Points, Regions, box_region

KINDS = of_every_kind()


@pytest.fixture(params=KINDS, ids=KINDS.keys())
def seen(request: pytest.FixtureRequest) -> Observation:
    return KINDS[request.param]


def test_the_derivative_is_the_map_itself(seen: Observation) -> None:
    states, tangent = random_states(seen), torch.randn(seen.states_shape, dtype=torch.float64)
    values, change = torch.func.jvp(seen, (states,), (tangent,))
    torch.testing.assert_close(values, seen(states))
    torch.testing.assert_close(change, seen(tangent))
    torch.testing.assert_close(seen(2 * states - tangent), 2 * values - change)


def test_reverse_mode_is_its_adjoint(seen: Observation) -> None:
    states = random_states(seen).requires_grad_()
    weights = torch.randn(seen.size, generator=generator(), dtype=torch.float64)
    (adjoint,) = torch.autograd.grad(seen(states), states, weights)
    torch.testing.assert_close((adjoint * states).sum(), (weights * seen(states)).sum())


def test_vmap_gives_the_stack(seen: Observation) -> None:
    states = random_states(seen, 3)
    torch.testing.assert_close(torch.func.vmap(seen)(states), torch.stack([seen(each) for each in states]))


def test_jacfwd_is_jacrev(seen: Observation) -> None:
    states = random_states(seen)
    profile = torch.randn(2, *seen.states_shape, dtype=torch.float64)

    def values(amplitudes: torch.Tensor) -> torch.Tensor:
        return seen(states + torch.tensordot(amplitudes, profile, dims=1))

    at = torch.zeros(2, dtype=torch.float64)
    forward, reverse = torch.func.jacfwd(values)(at), torch.func.jacrev(values)(at)
    torch.testing.assert_close(forward, reverse)
    torch.testing.assert_close(forward[:, 1], seen(profile[1]))


def test_values_are_in_the_precision_of_the_states(seen: Observation) -> None:
    states = random_states(seen)
    single = seen(states.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), seen(states), rtol=1e-4, atol=1e-5)


def test_each_value_is_of_its_rollout_and_channel_alone(seen: Observation) -> None:
    states = random_states(seen)
    own = torch.zeros_like(states)
    for trajectory in range(2):
        for channel in range(3):
            own[trajectory, :, channel] = states[trajectory, :, channel]
            mine = (seen.trajectory == trajectory) & (seen.channel == channel)
            torch.testing.assert_close(seen(own)[mine], seen(states)[mine])
            assert (seen(own)[~mine] == 0).all()
            own.zero_()
    assert (seen.channel != 1).all()
    assert set(seen.channel.tolist()) <= {0, 2}


def test_a_ramp_in_time_is_the_time(seen: Observation) -> None:
    ramp = torch.arange(seen.num_steps + 1).double() * seen.layout.dt
    states = ramp.view(1, -1, *[1] * (seen.layout.dims + 1)).expand(seen.states_shape)
    area = seen(torch.ones_like(states))
    assert seen.time.dtype == torch.float64
    torch.testing.assert_close(seen(states), seen.time * area)
    assert seen.num_steps == -(-float(seen.time.max()) // seen.layout.dt)


def test_states_of_another_shape_are_refused(seen: Observation) -> None:
    states = random_states(seen)
    with pytest.raises(ValueError, match=rf"rollout\(stepper, starts, num_steps={seen.num_steps}\)"):
        seen(states[:, :-1])
    with pytest.raises(ValueError, match="2 rollouts of"):
        seen(states[:1])


def test_a_grid_without_a_mask_is_all_that_moves() -> None:
    spaces = layout(4, 3)
    states = torch.randn(2, 4, *spaces.state_shape, generator=generator())
    everything = states[:, 1:, [0, 2]].flatten()
    assert torch.equal(Grid(spaces, 2, 3)(states), everything)
    whole = torch.ones(states.shape, dtype=torch.bool)
    masked = Grid(spaces, 2, 3, mask=whole)
    assert torch.equal(masked(states), everything)
    for name in ("trajectory", "time", "channel"):
        assert torch.equal(getattr(Grid(spaces, 2, 3), name), getattr(masked, name))
    assert torch.equal(Grid(spaces, 2, 3, first=0)(states), states[:, :, [0, 2]].flatten())


def test_gaps_in_recorded_states_reach_neither_values_nor_gradients() -> None:
    spaces = layout(4, 3)
    recorded = torch.randn(2, 4, *spaces.state_shape, generator=generator())
    recorded[torch.rand(recorded.shape, generator=generator()) < 0.4] = torch.nan
    mask = recorded.isfinite()
    seen = Grid(spaces, 2, 3, mask=mask)
    leaf = recorded.clone().requires_grad_()
    values = seen(leaf)
    assert torch.equal(values.detach(), recorded[:, 1:, [0, 2]][mask[:, 1:, [0, 2]]])
    values.square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert (leaf.grad[~mask] == 0).all()


def test_a_mask_that_hides_all_is_refused() -> None:
    spaces = layout(4, 3)
    mask = torch.zeros(1, 3, *spaces.state_shape, dtype=torch.bool)
    mask[:, 0], mask[:, :, 1] = True, True  # the start and what is static, neither of which is seen
    with pytest.raises(ValueError, match="all observations are masked; give a mask that is true for at least one"):
        Grid(spaces, 1, 2, mask=mask)
    assert Grid(spaces, 1, 2, mask=mask, first=0).size == 2 * 12


def test_masks_and_steps_that_do_not_fit_are_refused() -> None:
    spaces = layout(4)
    with pytest.raises(ValueError, match=r"give \(B, T, C, \*grid\) = \(1, 3, 3, 4\)"):
        Grid(spaces, 1, 2, mask=torch.ones(1, 2, 3, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="give 0 to 2"):
        Grid(spaces, 1, 2, first=3)
    with pytest.raises(ValueError, match="at least one rollout"):
        Grid(spaces, 0, 2)


def test_between_steps_values_are_of_fourth_order() -> None:
    for steps in (16, 32, 64):
        spaces = replace(layout(4), dt=2.0 / steps)
        states = sampled(spaces, steps, lambda t, x: torch.sin(3 * t + x))
        at = times_up_to(float(steps), 50).sort().values
        mask = torch.ones(50, *spaces.state_shape, dtype=torch.bool)
        seen = Instants(spaces, 1, steps, torch.zeros(50, dtype=torch.long), at, mask)
        x = seen.places()[:, 0]
        error = float((seen(states) - torch.sin(3 * seen.time + x)).abs().max())
        # |(s + 1) s (s − 1) (s − 2)| is at most 1 towards the ends, over 4! times the fourth derivative.
        assert 1e-2 * 81 * spaces.dt**4 < error < 81 / 24 * spaces.dt**4


def test_at_steps_instants_see_what_a_grid_does() -> None:
    spaces = layout(6)
    grid = Grid(spaces, 2, 3, first=0)
    states = random_states(grid)
    at = torch.arange(4.0).repeat(2)
    mask = torch.ones(8, *spaces.state_shape, dtype=torch.bool)
    seen = Instants(spaces, 2, 3, torch.arange(2).repeat_interleave(4), at, mask)
    assert torch.equal(seen(states), grid(states))
    assert torch.equal(seen.values(states.flatten(0, 1)), grid(states))
    assert torch.equal(seen.places(), grid.places())
    assert [one.cell.tolist() for _, one in seen.lattices()] == [one.cell.tolist() for _, one in grid.lattices()]


def test_parts_see_what_they_see_alone() -> None:
    joined = KINDS["joined"]
    assert isinstance(joined, Joined)
    states = random_states(joined)
    parts = [part for part in joined.parts if isinstance(part, Observation)]
    alone = [part(states[:, : part.num_steps + 1]) for part in parts]
    assert torch.equal(joined(states), torch.cat(alone))
    assert torch.equal(joined.time, torch.cat([part.time for part in parts]))
    assert joined.size == sum(part.size for part in parts)
    assert len(set(joined.notes)) == len(joined.notes) > 0


def test_parts_of_different_rollouts_are_refused() -> None:
    times = torch.tensor([0.25])
    one = Points.of_sensors(layout(4), torch.tensor([[2.0]]), times, ["u"])
    with pytest.raises(ValueError, match="build all from the same"):
        Joined(one, Grid(layout(5), 1, 2))
    with pytest.raises(ValueError, match="give all the same num_trajectories"):
        Joined(one, Regions.means(layout(4), box_region(layout(4), [(1, 2)])[None], times, ["u"], num_trajectories=2))
    with pytest.raises(ValueError, match="give one observation or more"):
        Joined()
