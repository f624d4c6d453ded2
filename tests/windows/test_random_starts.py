"""Random initial states of simulated starts: what of the real ones they keep, whatever stands at the boundary."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Growth
from torch import Tensor

from cotwin.layout import Boundary, Field, Layout
from cotwin.parameters import Positive
from cotwin.physics import Burgers
from cotwin.windows.starts import rearranged, simulated
from cotwin.windows.starts.random_waves import random_waves
from cotwin.windows.starts.rearranged import rearranged_values
from cotwin.windows.starts.series import Series

ENDS = ["periodic", "neumann", "dirichlet", "robin", "outflow", ("neumann", "dirichlet"), ("dirichlet", "outflow")]
COUNT = 30


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def line(
    boundary: Boundary | tuple[Boundary, Boundary], *fields: Field, nodes: bool = False, points: int = 32
) -> Layout:
    return Layout.box(
        fields or [Field("u")],
        grid=(points,),
        extent=[(0, 2)],
        boundary=(boundary,),
        dt=0.1,
        centring="nodes" if nodes else "cells",
    )


def box(*boundary: Boundary | tuple[Boundary, Boundary], fields: tuple[Field, ...] = (Field("u"),)) -> Layout:
    grid = (8, 6, 5)[: len(boundary)]
    return Layout.box(fields, grid=grid, extent=[(0, 1)] * len(grid), boundary=boundary, dt=0.1)


@pytest.mark.parametrize("nodes", [False, True])
@pytest.mark.parametrize("boundary", ENDS)
def test_a_state_is_the_sum_of_its_waves(boundary: Boundary | tuple[Boundary, Boundary], nodes: bool) -> None:
    layout = Layout.box(
        [Field("u"), Field("v", 2)],
        grid=(9, 6),
        extent=[(0, 1), (0, 2)],
        boundary=(boundary, "periodic"),
        dt=0.1,
        centring=("nodes" if nodes else "cells", "cells"),
    )
    series = Series(layout)
    states = series.to_grid(series.noise(3, seeded()).expand(3, 3, *series.size))
    torch.testing.assert_close(series.to_grid(series.to_waves(states)), states)
    # All states are such sums that are zero at the nodes which an odd wave leaves at zero.
    every = torch.randn(3, 3, 9, 6, generator=seeded(1)).double()
    held = (states == 0).all(dim=0) | (states.abs() < 1e-12).all(dim=0)
    every[:, held] = 0.0
    torch.testing.assert_close(series.to_grid(series.to_waves(every)), every)


@pytest.mark.parametrize(
    ("nodes", "boundary", "wave"),
    [
        (False, "neumann", lambda x: torch.cos(3 * math.pi * x)),
        (True, "neumann", lambda x: torch.cos(3 * math.pi * x)),
        (False, "dirichlet", lambda x: torch.sin(3 * math.pi * x)),
        (True, "dirichlet", lambda x: torch.sin(3 * math.pi * x)),
        (False, ("neumann", "dirichlet"), lambda x: torch.cos(3.5 * math.pi * x)),
        (True, ("dirichlet", "neumann"), lambda x: torch.sin(3.5 * math.pi * x)),
        (False, "periodic", lambda x: torch.sin(6 * math.pi * x)),
    ],
)
def test_a_wave_that_meets_the_boundary_has_one_order(nodes, boundary, wave) -> None:  # type: ignore[no-untyped-def]
    layout = line(boundary, nodes=nodes)
    state = wave(torch.tensor(layout.points(0), dtype=torch.float64) / 2)[None, None]
    orders = Series(layout).to_waves(state).abs()[0, 0]
    assert (orders > 1e-9).nonzero().flatten().tolist() == ([3, 29] if boundary == "periodic" else [3])


@pytest.mark.parametrize("boundary", ENDS)
def test_random_waves_have_the_power_of_real_states_in_each_shell(
    boundary: Boundary | tuple[Boundary, Boundary],
) -> None:
    layout = line(boundary)
    series, orders = Series(layout), torch.arange(33.0)
    waves = torch.randn(4, 1, *series.size, generator=seeded(2)).double() * torch.exp(-(orders[: series.size[0]] / 4))
    initial = series.to_grid(waves).float()
    initial = initial - (initial.mean() if "dirichlet" not in layout.kinds else 0.0)

    def power(states: Tensor) -> Tensor:
        each = series.to_waves(states - (states.mean() if "dirichlet" not in layout.kinds else 0.0)).abs().square()
        return torch.zeros(40).double().index_add_(0, series.shells, each.mean(dim=(0, 1)))[:6]

    shares = [power(states) for states in (random_waves(initial, layout, reach=1.0)(5000, seeded(3)).states, initial)]
    drawn, wanted = (share / share.sum() for share in shares)
    torch.testing.assert_close(drawn, wanted, rtol=0.3, atol=0.03)


@pytest.mark.parametrize("boundary", ["dirichlet", ("neumann", "dirichlet"), ("dirichlet", "neumann")])
def test_ends_hold_what_they_hold(boundary: Boundary | tuple[Boundary, Boundary]) -> None:
    """Nodes on ends at 2 and −1 keep these in each draw, though nothing else is the same."""
    layout = line(boundary, nodes=True)
    place = torch.tensor(layout.points(0))[None, None] / 2
    initial = 2 - 3 * place + torch.randn(3, 1, 1, generator=seeded()) * torch.sin(math.pi * place)
    drawn = random_waves(initial, layout, reach=1.5)(COUNT, seeded()).states
    for end, kind, value in zip((0, -1), layout.sides(0), (2.0, -1.0), strict=True):
        if kind == "dirichlet":
            torch.testing.assert_close(drawn[:, 0, end], torch.full((COUNT,), value))
    assert drawn[:, 0, 16].std() > 0.1


def test_cells_beside_an_end_that_holds_zero_are_nearly_zero() -> None:
    layout = line("dirichlet", points=64)
    place = torch.tensor(layout.points(0))[None, None] / 2
    initial = torch.randn(3, 1, 1, generator=seeded()) * torch.sin(math.pi * place)
    drawn = random_waves(initial, layout, reach=1.0)(COUNT, seeded()).states
    at_end = 1.5 * drawn[..., 0] - 0.5 * drawn[..., 1]
    assert at_end.abs().max() < 0.01 * drawn.abs().max()


def channel_flow(count: int) -> Tensor:
    """Velocities on the faces of 8 × 6 cells, periodic along x, between walls along y."""
    stream = torch.randn(count, 8, 7, generator=seeded(3))
    stream[..., [0, -1]] = 0.0
    return torch.stack([stream.diff(dim=2), (stream - stream.roll(-1, 1))[..., :-1]], dim=1)


def test_velocities_between_walls_stay_free_of_divergence() -> None:
    layout = box("periodic", "dirichlet", fields=(Field("velocity", 2),))

    def divergence(velocity: Tensor) -> Tensor:
        up = torch.cat([velocity[:, 1], torch.zeros(len(velocity), 8, 1)], dim=2)
        return velocity[:, 0].roll(-1, 1) - velocity[:, 0] + up.diff(dim=2)

    initial = channel_flow(3)
    assert divergence(initial).abs().max() < 1e-5
    drawn = random_waves(initial, layout, reach=1.5, staggered={"velocity"})(COUNT, seeded()).states
    assert divergence(drawn).abs().max() < 1e-5 * initial.abs().max() * 10
    assert not drawn[:, 1, :, 0].any()
    assert drawn.std() > 0.3 * initial.std()


def test_a_velocity_across_a_wall_is_none_there_and_the_height_is_level() -> None:
    """As waves reflect: sines of the component across the wall, cosines of all else."""
    fields = (Field("height"), Field("velocity", 2))
    layout = Layout.box(fields, grid=(32, 32), extent=[(0, 1)] * 2, boundary="neumann", dt=0.1)
    x, y = torch.meshgrid(*(torch.tensor(layout.points(axis)) * math.pi for axis in (0, 1)), indexing="ij")
    modes = [x.cos() * y.cos(), x.sin() * (2 * y).cos(), (2 * x).cos() * y.sin()]
    initial = torch.stack(modes)[None] * torch.randn(3, 3, 1, 1, generator=seeded())
    drawn = random_waves(initial, layout, reach=1.0)(COUNT, seeded()).states
    for channel, mode in enumerate(modes):
        share = (drawn[:, channel] * mode).sum(dim=(1, 2)) ** 2 / mode.square().sum()
        torch.testing.assert_close(share, drawn[:, channel].square().sum(dim=(1, 2)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [simulated, rearranged])
@pytest.mark.parametrize("slope", [-0.5, 3.0])
def test_channels_between_walls_are_related_as_real_ones_are(kind, slope: float) -> None:  # type: ignore[no-untyped-def]
    layout = line("neumann", Field("u"), Field("v"))
    v = torch.randn(4, 1, 4, generator=seeded(1)).repeat_interleave(8, dim=2).cumsum(dim=2)
    initial = torch.cat([1 + slope * v, v], dim=1)
    drawn = kind(initial, layout, 0)(50, Growth(1.0, layout=layout), seeded()).every()
    torch.testing.assert_close(drawn[:, 0], 1 + slope * drawn[:, 1], rtol=1e-4, atol=1e-4)
    assert len(drawn.unique(dim=0)) == 50


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 99), st.floats(1, 4))
def test_rearranged_states_have_the_values_of_a_real_one(seed: int, reach: float) -> None:
    layout = line("neumann")
    initial = torch.rand(3, 1, 32, generator=seeded(seed)).square()
    drawn, rows = rearranged_values(initial, layout, reach=reach)(COUNT, seeded(seed))
    for state, row in zip(drawn, rows, strict=True):
        assert torch.isin(state, initial[row]).all()
        if reach == 1:
            torch.testing.assert_close(state.sort().values, initial[row].sort().values)


def test_colonies_are_rearranged_to_others_as_smooth() -> None:
    """What is none but in some places stays so; points beside each other stay alike."""
    layout = line("neumann", points=64)
    place = torch.tensor(layout.points(0))
    initial = torch.stack([torch.exp(-(((place - centre) / 0.1) ** 2)) for centre in (0.5, 1.2)])[:, None]
    drawn = rearranged_values(initial, layout, reach=1.5)(200, seeded()).states
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn < 0.01).float().mean() == pytest.approx(float((initial < 0.01).float().mean()), abs=0.1)
    assert drawn.diff().square().mean() < 0.2 * 2 * drawn.var()


def test_what_belongs_to_its_place_is_not_rearranged() -> None:
    with pytest.raises(ValueError, match="hold theirs"):
        rearranged(torch.randn(2, 1, 32), line("dirichlet"), 0)
    with pytest.raises(ValueError, match="divergence"):
        rearranged(torch.randn(2, 1, 32), line("periodic"), 0, staggered={"u"})


@pytest.mark.parametrize("kind", [simulated, rearranged])
def test_static_fields_are_those_of_a_real_trajectory(kind) -> None:  # type: ignore[no-untyped-def]
    layout = line("neumann", Field("u"), Field("k", static=True))
    initial = torch.randn(3, 2, 32, generator=seeded())
    drawn = kind(initial, layout, 5)(COUNT, Growth(1.0, layout=layout), seeded())
    rows = drawn.places(range(COUNT)).rows
    assert torch.equal(drawn.every()[:, 1], initial[rows, 1])
    assert len(rows.unique()) == 3


@pytest.mark.parametrize("kind", [random_waves, rearranged_values])
def test_solid_cells_keep_what_they_hold_and_count_for_nothing(kind) -> None:  # type: ignore[no-untyped-def]
    layout, solid = line("neumann"), torch.zeros(2, 1, 32, dtype=torch.bool)
    solid[0, :, 5:9] = solid[1, :, 20:22] = True
    initial = torch.rand(2, 1, 32, generator=seeded())
    drawn = [
        kind(torch.where(solid, held, initial), layout, reach=1.5, solid=solid)(COUNT, seeded())
        for held in (-100.0, 100.0)
    ]
    inside = solid[drawn[0].rows]
    assert (drawn[0].states[inside] == -100).all()
    assert (drawn[1].states[inside] == 100).all()
    assert torch.equal(drawn[0].states[~inside], drawn[1].states[~inside])


@pytest.mark.parametrize("kind", [simulated, rearranged])
def test_states_are_the_same_in_any_order_of_reading(kind) -> None:  # type: ignore[no-untyped-def]
    layout = line("neumann")
    initial = torch.randn(2, 1, 32, generator=seeded())
    once, again = (kind(initial, layout, 9)(90, Growth(0.9, layout=layout), seeded(5)) for _ in range(2))
    order = [80, 3, 3, 67, 0, 89]
    assert torch.equal(once.every()[order], torch.cat([again.take([index]) for index in order]))
    assert torch.equal(once.places(order).rows, again.places(range(90)).rows[order])


def test_no_state_is_beyond_what_the_simulator_was_made_for() -> None:
    """Viscous Burgers whose largest speed is just above the real starts', from waves up to three times as large."""
    layout = line("dirichlet")
    initial = torch.sin(math.pi * torch.tensor(layout.points(0)) / 2) * torch.tensor([1.0, -0.8])[:, None, None]
    teacher = Burgers(layout, Positive(0.1), max_speed=1.1)
    drawn = simulated(initial, layout, 5, reach=3.0)(COUNT, teacher, seeded()).every()
    assert teacher.admits(drawn).all()
    assert not teacher.admits(random_waves(initial, layout, reach=3.0)(COUNT, seeded()).states).all()


@pytest.mark.parametrize("reach", [1.0, 1.5, 3.0])
def test_nothing_is_further_from_the_mean_than_told(reach: float) -> None:
    layout = box("neumann", "periodic")
    initial = 5 + torch.randn(3, 1, 8, 6, generator=seeded())
    furthest = (initial - initial.mean()).abs().max()
    drawn = random_waves(initial, layout, reach=reach)(500, seeded()).states
    largest = (drawn - initial.mean()).abs().max() / furthest
    assert largest <= reach * 1.0001
    assert largest > 0.9
