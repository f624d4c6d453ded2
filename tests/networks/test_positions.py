"""A network that is told where it is can learn what differs from place to place; one that is not cannot."""

import math

import torch

from cotwin.layout import Field, Layout
from cotwin.networks.convolution import ResidualConvNet
from cotwin.networks.positions import WithPositions, position_channels


def box(*boundaries: str, grid: tuple[int, ...]) -> Layout:
    extent = [(1.0, 3.0)] * len(grid)
    return Layout.box([Field("u")], grid=grid, extent=extent, boundary=boundaries, dt=0.1)  # type: ignore[arg-type]


def test_positions_along_a_periodic_axis_are_the_harmonics_of_its_points() -> None:
    layout = box("periodic", grid=(16,))
    x = torch.tensor(layout.points(0), dtype=torch.float64)
    # Period 2 from the lower end, 1: the coordinate angles are π(x − 1) and its double.
    expected = [torch.sin(math.pi * (x - 1)), torch.cos(math.pi * (x - 1))]
    expected += [torch.sin(2 * math.pi * (x - 1)), torch.cos(2 * math.pi * (x - 1))]
    torch.testing.assert_close(position_channels(layout, [0]), torch.stack(expected).float())


def test_positions_between_walls_run_from_end_to_end_and_axes_do_not_mix() -> None:
    channels = position_channels(box("dirichlet", "neumann", grid=(4, 5)), [0, 1])
    torch.testing.assert_close(channels[0], torch.tensor([-0.75, -0.25, 0.25, 0.75])[:, None].expand(4, 5))
    torch.testing.assert_close(channels[1], torch.tensor([-0.8, -0.4, 0.0, 0.4, 0.8])[None, :].expand(4, 5))


def test_only_with_positions_a_network_learns_what_depends_on_the_place() -> None:
    layout = box("periodic", grid=(32,))
    target = torch.tensor(layout.points(0)).sub(1).mul(math.pi).sin().expand(8, 1, 32)
    state = torch.zeros(8, 1, 32)

    def residual(network: torch.nn.Module) -> float:
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(60):
            optimizer.zero_grad()
            loss = (network(state) - target).square().mean()
            loss.backward()
            optimizer.step()
        return loss.item()

    told = residual(WithPositions(layout, lambda wider: ResidualConvNet(wider, width=8, depth=1)))
    # A constant state gives a constant answer where all places are alike: at best the mean, of error one half.
    untold = residual(ResidualConvNet(layout, width=8, depth=1))
    assert told < 0.01
    assert untold > 0.499
