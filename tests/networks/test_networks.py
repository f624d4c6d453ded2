"""Truths of single networks and of their convolutions."""

import pytest
import torch
from torch import nn

from cotwin.layout import Boundary, Centring, Field, Layout
from cotwin.networks.convolution import ResidualConvNet
from cotwin.networks.fno import FourierOperator, WaveMixing
from cotwin.networks.padding import PaddedConv, from_image, to_image
from cotwin.networks.surrogate import Surrogate
from cotwin.networks.unet import UNet
from cotwin.stepper import rollout


def make_layout(*grid: int, boundary: Boundary = "periodic") -> Layout:
    return Layout.box([Field("u")], grid=grid, extent=[(0, 1)] * len(grid), boundary=boundary, dt=0.1)


@pytest.mark.parametrize(
    ("boundary", "mode"), [("periodic", "circular"), ("neumann", "replicate"), ("dirichlet", "zeros")]
)
@pytest.mark.parametrize("grid", [(24,), (24, 16), (16, 12, 14)])
def test_padded_convolution_is_torchs(grid: tuple[int, ...], boundary: Boundary, mode: str) -> None:
    layout = make_layout(*grid, boundary=boundary)
    padded = PaddedConv(layout, 3, 4, kernel_size=5, dilation=2)
    torchs = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[layout.dims - 1]
    plain = torchs(3, 4, 5, dilation=2, padding=4, padding_mode=mode)
    values = torch.randn(2, 3, *grid, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain.weight.copy_(padded.convolution.weight.view_as(plain.weight))
        plain.bias.copy_(padded.convolution.bias)
        torch.testing.assert_close(from_image(padded(to_image(values)), layout), plain(values))


def test_receptive_field_is_what_the_docstring_says() -> None:
    reach = (3 - 1) * (1 + 4) + 1
    network = ResidualConvNet(make_layout(64), width=4, depth=2, kernel_size=3, dilations=(1, 4))
    state = torch.zeros(1, 1, 64, requires_grad=True)
    network(state)[0, 0, 32].backward()
    touched = state.grad[0, 0].nonzero()[:, 0]
    assert (touched.min(), touched.max()) == (32 - reach, 32 + reach)


@pytest.mark.parametrize(
    "network",
    [
        ResidualConvNet(make_layout(8), width=2, depth=1, kernel_size=3),
        ResidualConvNet(make_layout(4, 4, boundary="neumann"), width=2, depth=1, kernel_size=3),
        UNet(make_layout(6), width=2, levels=1),
        UNet(make_layout(4, 4, boundary="dirichlet"), width=2, levels=1),
        FourierOperator(make_layout(6), width=2, depth=1, modes=2),
        FourierOperator(make_layout(4, 3, boundary="dirichlet"), width=2, depth=1, modes=1),
    ],
    ids=lambda network: f"{type(network).__name__}-{network.layout.dims}d",
)
def test_gradient_agrees_with_finite_differences(network: ResidualConvNet | UNet) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(1, 4, *network.layout.state_shape, generator=generator, dtype=torch.float64)
    surrogate = Surrogate.fitted(network, network.layout, data).double()
    weights = tuple(surrogate.parameters())
    assert torch.autograd.gradcheck(lambda state, *_: surrogate(state), (data[0].requires_grad_(), *weights))


@pytest.mark.parametrize(
    "network",
    [
        ResidualConvNet(make_layout(64), width=16, depth=2),
        UNet(make_layout(64), width=8, levels=2),
        pytest.param(FourierOperator(make_layout(64), width=16, depth=2, modes=6), marks=pytest.mark.slow),
    ],
    ids=lambda network: type(network).__name__,
)
def test_learns_linear_advection(network: nn.Module) -> None:
    """u_t + u_x = 0 moves smooth waves by 6.4 points a step; 200 steps of Adam learn it."""
    generator = torch.Generator().manual_seed(0)
    x, t = torch.arange(64) / 64, 0.1 * torch.arange(12)[:, None]
    amplitude, phase = torch.randn(6, 3, generator=generator), torch.rand(6, 3, generator=generator)
    waves = (
        amplitude[:, k - 1, None, None] * torch.sin(2 * torch.pi * (k * (x - t) + phase[:, k - 1, None, None]))
        for k in (1, 2, 3)
    )
    trajectories = torch.stack(list(waves)).sum(dim=0).unsqueeze(2)
    now, then = trajectories[:, :-1].flatten(0, 1), trajectories[:, 1:].flatten(0, 1)
    persistence = (then - now).square().mean()

    surrogate = Surrogate.fitted(network, network.layout, trajectories)
    optimiser = torch.optim.Adam(surrogate.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 200)
    for _ in range(200):
        rows = torch.randperm(len(now), generator=generator)[:32]
        loss = (surrogate(now[rows]) - then[rows]).square().mean() / persistence
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        error = (surrogate(now) - then).square().mean() / persistence
        assert error.sqrt() < 0.05
        predicted = rollout(surrogate, trajectories[:, 0], 11)
        assert (predicted - trajectories).norm() < 0.3 * trajectories.norm()


def test_unet_names_the_most_levels_the_grid_allows() -> None:
    with pytest.raises(ValueError, match="Use 1 to 5"):
        UNet(make_layout(48, 64), levels=6)
    with pytest.raises(ValueError, match="ResidualConvNet"):
        UNet(make_layout(2), levels=1)


@pytest.mark.parametrize("grid", [(3,), (13,), (97,), (64, 63), (2, 9), (5, 2, 7)], ids=str)
@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_unet_takes_any_grid(grid: tuple[int, ...], boundary: Boundary) -> None:
    """On each, uniform states stay uniform, and every point counts."""
    network = UNet(make_layout(*grid, boundary=boundary), width=2)
    uniform = network(torch.ones(1, 1, *grid))
    torch.testing.assert_close(uniform, uniform.mean().expand_as(uniform))
    state = torch.randn(2, 1, *grid, generator=torch.Generator().manual_seed(0)).requires_grad_()
    predicted = network(state)
    assert predicted.shape == state.shape
    predicted.square().sum().backward()
    assert (state.grad != 0).all()


def test_without_dilations_it_takes_those_that_fit() -> None:
    states = torch.randn(2, 1, 16)
    fitting = ResidualConvNet(make_layout(16), width=4)
    assert torch.equal(fitting(states), ResidualConvNet(make_layout(16), width=4, dilations=(1, 2, 4))(states))


def test_a_kernel_that_wraps_around_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches 16 points"):
        ResidualConvNet(make_layout(16), dilations=(1, 2, 4, 8))
    with pytest.raises(ValueError, match="must be odd"):
        ResidualConvNet(make_layout(16), kernel_size=4)


@pytest.mark.parametrize("centring", ["cells", "nodes"])
@pytest.mark.parametrize("boundary", ["periodic", "neumann", "dirichlet"])
@pytest.mark.parametrize("points", [17, 18])
def test_waves_that_a_grid_resolves_come_back_as_they_are(
    points: int, boundary: Boundary, centring: Centring
) -> None:
    layout = Layout.box(
        [Field("u")], grid=(3, points), extent=[(0, 1), (0, 2)], boundary=boundary, dt=0.1, centring=centring
    )
    mixing = WaveMixing(layout, axis=1, width=2, modes=20).double()
    mixing.real.data[:], mixing.imaginary.data[:] = torch.eye(2), 0.0
    x = torch.tensor(layout.points(1), dtype=torch.float64)
    wave = torch.cos(2 * torch.pi * 3 * x / 2) + 0.5 * torch.cos(2 * torch.pi * x / 2)
    image = torch.randn(2, 2, 3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * wave
    torch.testing.assert_close(mixing(image), image)
    # The mean is no wave.
    torch.testing.assert_close(mixing(image + 3), image)


@pytest.mark.parametrize("boundary", ["periodic", "neumann"])
def test_fourier_operator_sees_the_same_on_a_finer_grid(boundary: Boundary) -> None:
    """With kernels of one point all of it is in waves; the same weights then give the same function."""
    finer = {
        points: FourierOperator(make_layout(points, boundary=boundary), 8, 2, 4, kernel_size=1) for points in (32, 64)
    }
    finer[64].load_state_dict(finer[32].state_dict())

    def predicted(points: int) -> torch.Tensor:
        x = torch.tensor(make_layout(points, boundary=boundary).points(0))
        found: torch.Tensor = finer[points](torch.cos(2 * torch.pi * x).view(1, 1, -1))
        return found

    coarse = predicted(64)[:, :, ::2] if boundary == "periodic" else predicted(64).unflatten(2, (-1, 2)).mean(3)
    torch.testing.assert_close(coarse, predicted(32), rtol=0, atol=2e-3 * float(coarse.detach().abs().max()))


@pytest.mark.parametrize("grid", [(2,), (3,), (13,), (2, 9), (5, 2, 3)], ids=str)
@pytest.mark.parametrize("boundary", ["periodic", "dirichlet"])
def test_fourier_operator_takes_any_grid(grid: tuple[int, ...], boundary: Boundary) -> None:
    state = torch.randn(2, 1, *grid, generator=torch.Generator().manual_seed(0)).requires_grad_()
    predicted = FourierOperator(make_layout(*grid, boundary=boundary), width=2, depth=1)(state)
    predicted.square().sum().backward()
    assert predicted.shape == state.shape
    assert (state.grad != 0).all()
