"""Random smooth initial states."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.physics.channels import put_moving
from cotwin.registry import sampler


def random_fourier(
    layout: Layout,
    count: int,
    generator: torch.Generator,
    *,
    modes: int = 4,
    amplitude: float = 1.0,
    zero_mean: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "B C *S"]:
    """Smooth random states u(x) = Σ_k w(k) g_k e_k(x) that meet the boundaries, with independent standard normal g_k.

    e_k: products over the axes of 1, √2 cos(2π k x/length) and √2 sin(2π k x/length) along a periodic axis, of 1 and
    √2 cos(π k x/length) along a Neumann axis, of √2 sin(π k x/length) along a Dirichlet axis; with k + 1/2 where
    the upper end is of the other kind. robin and outflow count as Neumann. k goes up to `modes`.
    w(k): proportional to exp(−2|k|²/modes²), so the spectrum decays smoothly and is small at the highest mode.
    amplitude: root mean square of each channel, in the mean over samples, in the field's unit.
    zero_mean: whether the constant is left out.

    The draws do not depend on the grid, so the same seed gives the same functions at any resolution. No
    place and no component is preferred. Static channels are zero; fill them with what is given.

    >>> from cotwin.layout import Field
    >>> layout = Layout.box([Field("u")], grid=(64,), extent=[(0, 1)], boundary="periodic", dt=0.1)
    >>> random_fourier(layout, 3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 1, 64])
    """
    if not 1 <= modes < min(layout.grid) / 2:
        raise ValueError(f"modes is {modes}; a grid of {layout.grid} resolves 1 to {(min(layout.grid) - 1) // 2}.")
    device = generator.device
    bases = [_basis(layout, axis, modes, device) for axis in range(layout.dims)]
    squares = [frequencies**2 for frequencies, _ in bases]
    weights = torch.exp(-2 * sum(torch.meshgrid(*squares, indexing="ij"), start=torch.zeros(())) / modes**2)
    if zero_mean and "dirichlet" not in layout.kinds:
        weights.view(-1)[0] = 0.0
    weights = weights * (amplitude / weights.square().sum().sqrt())
    moving = layout.static_channels.count(False)
    values = weights * torch.randn(
        count, moving, *weights.shape, generator=generator, dtype=torch.float64, device=device
    )
    for _, basis in bases:
        # Contracting the first remaining axis and appending its points keeps the axes in order.
        values = torch.tensordot(values, basis, dims=([2], [1]))
    fields = values.to(dtype)
    blank = fields.new_zeros(count, *layout.state_shape)
    return put_moving(fields[:, None], blank, layout)[:, 0]


def _basis(
    layout: Layout, axis: int, modes: int, device: torch.device
) -> tuple[Float[Tensor, "K"], Float[Tensor, "N K"]]:
    """Orders k of the functions along one axis, and their values at its points."""
    # What exchanges or leaves has a slope that the states decide; without one they begin.
    low, high = (kind if kind in ("periodic", "dirichlet") else "neumann" for kind in layout.sides(axis))
    length = layout.upper[axis] - layout.lower[axis]
    positions = torch.tensor(layout.points(axis), dtype=torch.float64, device=device)
    places = ((positions - layout.lower[axis]) / length)[:, None]
    orders = torch.arange(modes + 1, dtype=torch.float64, device=device)
    if low != high:
        orders = orders[1:] - 0.5
        wave = torch.sin if low == "dirichlet" else torch.cos
        return orders, math.sqrt(2) * wave(math.pi * orders * places)
    if low == "dirichlet":
        return orders[1:], math.sqrt(2) * torch.sin(math.pi * orders[1:] * places)
    if low == "neumann":
        frequencies, angles = orders, math.pi * orders * places
        basis = math.sqrt(2) * torch.cos(angles)
    else:
        counted = torch.arange(2 * modes + 1, device=device, dtype=torch.float64)
        frequencies = ((counted + 1) / 2).floor()  # 0, 1, 1, 2, 2, …: the constant, then a cosine and a sine each
        angles = 2 * math.pi * frequencies * places
        basis = math.sqrt(2) * torch.where(counted % 2 == 1, angles.cos(), angles.sin())
    basis[:, 0] = 1.0
    return frequencies, basis


@sampler("smooth")
def random_smooth(
    layout: Layout,
    count: int,
    generator: torch.Generator,
    *,
    modes: int,
    means: tuple[float, ...],
    amplitudes: tuple[float, ...],
) -> Float[Tensor, "B C *S"]:
    """Every field by itself, random waves around its mean: `random_fourier`, with a mean and a size a channel."""
    ones = [-1, *[1] * layout.dims]
    mean, amplitude = (torch.tensor(values).view(ones) for values in (means, amplitudes))
    return mean + amplitude * random_fourier(layout, count, generator, modes=modes)
