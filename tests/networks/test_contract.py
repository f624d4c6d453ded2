"""What every network keeps on every layout, bare and inside a surrogate."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cotwin.layout import Field, Layout
from cotwin.networks.convolution import ResidualConvNet
from cotwin.networks.fno import FourierOperator
from cotwin.networks.surrogate import Surrogate
from cotwin.networks.unet import UNet
from cotwin.stepper import rollout

BuildNetwork = Callable[[Layout, int], nn.Module]

NETWORKS: dict[str, BuildNetwork] = {
    "residual": lambda layout, seed: ResidualConvNet(layout, width=8, depth=2, kernel_size=3, seed=seed),
    "dilated": lambda layout, seed: ResidualConvNet(
        layout, width=6, depth=2, kernel_size=5, dilations=(1, 4), seed=seed
    ),
    "unet": lambda layout, seed: UNet(layout, width=4, levels=2, seed=seed),
    "fno": lambda layout, seed: FourierOperator(layout, width=6, depth=2, modes=4, seed=seed),
}
# By how many points the grid may be shifted along periodic axes.
SHIFTS = {"residual": 1, "dilated": 1, "unet": 4, "fno": 1}

U, V, K = Field("u"), Field("v", components=2), Field("k", static=True)
LAYOUTS: dict[str, Layout] = {
    "periodic": Layout.box([U], grid=(64,), extent=[(0, 1)], boundary="periodic", dt=0.1),
    "dirichlet": Layout.box([K, U], grid=(64,), extent=[(0, 1)], boundary="dirichlet", dt=0.1),
    "neumann": Layout.box([U, K], grid=(48,), extent=[(0, 1)], boundary="neumann", dt=0.1),
    "two walls": Layout.box([U], grid=(48,), extent=[(0, 1)], boundary=(("neumann", "dirichlet"),), dt=0.1),
    "nodes": Layout.box([U], grid=(48,), extent=[(0, 1)], boundary="robin", dt=0.1, centring="nodes"),
    "plane": Layout.box([V], grid=(32, 16), extent=[(0, 2), (0, 1)], boundary="periodic", dt=0.1),
    "channel": Layout.box([U, K, V], grid=(16, 24), extent=[(0, 1)] * 2, boundary=("periodic", "dirichlet"), dt=0.1),
    "walls": Layout.box([U], grid=(16, 16), extent=[(0, 1)] * 2, boundary=("dirichlet", "neumann"), dt=0.1),
    "space": Layout.box(
        [U, K], grid=(16, 16, 16), extent=[(0, 1)] * 3, boundary=("periodic", "neumann", "dirichlet"), dt=0.1
    ),
}

pytestmark = [
    pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS),
    pytest.mark.parametrize("name", NETWORKS),
]


def make_states(layout: Layout, *leading: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 + 3 * torch.randn(*leading, *layout.state_shape, generator=generator, dtype=dtype)


def awake(name: str, layout: Layout) -> nn.Module:
    """A network whose last layer does not start near zero: its output is of order one."""
    network = NETWORKS[name](layout, 3)
    with torch.no_grad():
        network.project.convolution.weight.mul_(100)
    return network


def test_shapes_follow_the_layout(name: str, layout: Layout) -> None:
    states = make_states(layout, 3)
    dynamic = layout.static_channels.count(False)
    assert NETWORKS[name](layout, 0)(states).shape == (3, dynamic, *layout.grid)
    assert rollout(Surrogate(NETWORKS[name](layout, 0), layout), states, 2).shape == (3, 3, *layout.state_shape)


def test_shift_along_periodic_axes_commutes(name: str, layout: Layout) -> None:
    periodic = [axis + 2 for axis in range(layout.dims) if layout.is_periodic(axis)]
    network = awake(name, layout).double()
    states = make_states(layout, 2, dtype=torch.float64)
    predicted = network(states)
    for axis in periodic:
        shift = 3 * SHIFTS[name]
        torch.testing.assert_close(network(states.roll(shift, axis)), predicted.roll(shift, axis))


def test_uniform_states_stay_uniform_unless_a_wall_holds_them(name: str, layout: Layout) -> None:
    """A Dirichlet wall must be seen by the network, the other boundaries must not."""
    predicted = awake(name, layout)(torch.ones(1, *layout.state_shape))
    for axis in range(layout.dims):
        for kind, end in zip(layout.sides(axis), predicted.tensor_split(2, axis + 2), strict=True):
            spread = (end.amax(axis + 2) - end.amin(axis + 2)).max()
            assert (spread > 1e-3) if kind == "dirichlet" else (spread < 1e-5 or "dirichlet" in layout.sides(axis))


def test_static_channels_pass_bit_for_bit(name: str, layout: Layout) -> None:
    static = torch.tensor(layout.static_channels)
    surrogate = Surrogate.fitted(awake(name, layout), layout, make_states(layout, 2, 5))
    states = make_states(layout, 3)
    last = rollout(surrogate, states, 3)[:, -1]
    assert torch.equal(last[:, static], states[:, static])
    assert not torch.isclose(last[:, ~static], states[:, ~static]).all()


def test_untrained_surrogate_is_near_persistence(name: str, layout: Layout) -> None:
    """Within a few hundredths of the change that the data make in one step."""
    surrogate = Surrogate.fitted(NETWORKS[name](layout, 0), layout, make_states(layout, 2, 5))
    states = make_states(layout, 3)
    change = (surrogate(states) - states)[:, surrogate.dynamic]
    size = change.square().mean(dim=(0, *range(2, change.dim()))).sqrt()
    assert (size < 0.03 * surrogate.increment_scale).all()


def test_units_of_the_data_are_irrelevant(name: str, layout: Layout) -> None:
    data, states = (make_states(layout, *size, dtype=torch.float64) for size in ((2, 5), (3,)))
    scale, offset = 250.0, -40.0
    network = awake(name, layout).double()
    predicted = Surrogate.fitted(network, layout, data)(states)
    rescaled = Surrogate.fitted(network, layout, scale * data + offset)(scale * states + offset)
    torch.testing.assert_close(rescaled, scale * predicted + offset)


def test_sample_alone_equals_sample_in_batch(name: str, layout: Layout) -> None:
    surrogate = Surrogate(awake(name, layout), layout)
    states = make_states(layout, 5)
    alone = torch.cat([surrogate(sample[None]) for sample in states])
    torch.testing.assert_close(alone, surrogate(states), rtol=1e-5, atol=1e-5)


def test_gradient_reaches_all_parameters(name: str, layout: Layout) -> None:
    """Already in the first step, before the last layer has grown."""
    surrogate = Surrogate(NETWORKS[name](layout, 0), layout)
    rollout(surrogate, make_states(layout, 2), 2).square().sum().backward()
    for parameter in surrogate.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


def test_seed_owns_the_weights(name: str, layout: Layout) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = NETWORKS[name](layout, 7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    again, other = NETWORKS[name](layout, 7).state_dict(), NETWORKS[name](layout, 8).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
