"""Random initial states of the spectrum that real ones have."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.layout import Layout
from cotwin.windows.starts.sampling import Initial, InitialStates
from cotwin.windows.starts.series import Series, on_faces, parity

MOST_RAISED = 3.0


def random_waves(
    initial: Float[Tensor, "N C *S"],
    layout: Layout,
    *,
    reach: float,
    staggered: Collection[str] = (),
    solid: Bool[Tensor, "N 1 *S"] | None = None,
) -> Initial:
    """u = m + a Σ_k g_k s_k û_k e_k, s_k = min(3, (S_k / P_k)^½).

    g: independent standard normal numbers, one for each wave, the same in all channels.
    û: coefficients of a real state, drawn by chance, in waves e that meet the boundaries (`Series`).
    P_k: Σ_c |û_kc|² in units of the channels' variances. S_k: P in the mean over all real states and the waves of
    about its length, since few states say little of a single wave. So what a wave has in one channel to what it has
    in another is as in a real state, and with it whatever is linear between channels and the same everywhere.
    m: the real states' mean; of a channel that a dirichlet end holds what stands there, linearly between the ends.
    a: reach^r, r uniform in [−1, 1]; less where a value would be further from m than `reach` times the furthest real.

    Static fields are those of the real state, and so is what solid cells hold, which counts for nothing else.
    """
    series, ones = Series(layout, staggered), [1] * layout.dims
    solid = torch.zeros_like(initial[:, :1], dtype=torch.bool) if solid is None else solid
    static = torch.tensor(layout.static_channels).view(-1, *ones)
    centre = _centre(initial, layout, staggered, solid)
    apart = torch.where(solid, 0.0, initial - centre)
    everywhere = (0, *range(2, initial.dim()))
    furthest = apart.abs().amax(dim=everywhere, keepdim=True)
    # A channel that always starts the same differs from its mean by rounding, which says nothing of sizes.
    rounding = 100 * torch.finfo(initial.dtype).eps * initial.abs().amax(dim=everywhere, keepdim=True)
    varies = (furthest > rounding) & ~static
    waves = series.to_waves(apart) * varies
    variance = torch.where(varies, apart.double().square().mean(dim=everywhere, keepdim=True), 1.0)
    power = (waves.abs().square() / variance).sum(dim=1, keepdim=True)
    # What is there by rounding or noise alone, such as waves with divergence, is not made as large as the rest.
    scale = (_of_shells(power, series.shells) / power.clamp(min=1e-300)).sqrt().clamp(max=MOST_RAISED)
    furthest = torch.where(varies, reach * furthest, torch.inf)

    def draw(count: int, generator: torch.Generator) -> InitialStates:
        rows = torch.randint(len(initial), (count,), generator=generator)
        sizes = reach ** (2 * torch.rand(count, 1, *ones, generator=generator, dtype=torch.float64) - 1)
        fields = (sizes * series.to_grid(series.noise(count, generator) * scale[rows] * waves[rows])).to(initial)
        largest = (fields.abs() / furthest).flatten(1).amax(dim=1).clamp(min=1.0)
        states = centre[rows] + fields / largest.view(-1, 1, *ones)
        return InitialStates(torch.where(static | solid[rows], initial[rows], states), rows)

    return draw


def held(layout: Layout, staggered: Collection[str] = ()) -> Bool[Tensor, "C"]:
    """Of each channel whether an end of the domain holds its value."""
    walls = [axis for axis in range(layout.dims) if not layout.is_periodic(axis)]
    return torch.tensor(
        [any(any(parity(layout, axis, channel, staggered)) for axis in walls) for channel in range(layout.channels)]
    )


def _centre(
    initial: Float[Tensor, "N C *S"], layout: Layout, staggered: Collection[str], solid: Bool[Tensor, "N 1 *S"]
) -> Float[Tensor, "N C *S"]:
    """What stands at ends that hold it, linearly between them, axis after axis; else the mean of the fluid."""
    between = torch.zeros_like(initial)
    for axis in range(layout.dims):
        for channel in range(layout.channels):
            if not layout.is_periodic(axis) and not on_faces(layout, axis, channel, staggered):
                rest = (initial - between)[:, channel]
                between[:, channel] += _lift(rest, layout, axis, parity(layout, axis, channel, staggered))
    everywhere = (0, *range(2, initial.dim()))
    mean = torch.where(solid, 0.0, initial).sum(dim=everywhere, keepdim=True) / (~solid).sum()
    return torch.where(held(layout, staggered).view(-1, *[1] * layout.dims), between, mean)


def _lift(values: Float[Tensor, "N *S"], layout: Layout, axis: int, odd: tuple[bool, bool]) -> Tensor:
    """What stands at the ends of an axis that hold it, linearly between them; of one alone everywhere the same."""
    if not any(odd):
        return torch.zeros_like(values)
    lined = values.movedim(axis + 1, -1)
    length, points = layout.upper[axis] - layout.lower[axis], values.new_tensor(layout.points(axis))
    place = (points - layout.lower[axis]) / length
    share = place if all(odd) else place.new_full(place.shape, float(odd[1]))
    first, last = lined[..., 0], lined[..., -1]
    if not layout.has_nodes(axis):
        first, last = 1.5 * first - 0.5 * lined[..., 1], 1.5 * last - 0.5 * lined[..., -2]
    return (first[..., None] * (1 - share) + last[..., None] * share).movedim(-1, axis + 1)


def _of_shells(power: Float[Tensor, "N 1 *K"], shells: Int[Tensor, "*K"]) -> Float[Tensor, "*K"]:
    """The mean over states and over the waves of a shell, of those that there are."""
    mean, there = power.mean(dim=(0, 1)), (power > 0).any(dim=0)[0].double()
    count = int(shells.max()) + 1
    total, waves = (
        torch.zeros(count, dtype=torch.float64).index_add_(0, shells.flatten(), one.flatten())
        for one in (mean, there)
    )
    return (total / waves.clamp(min=1.0))[shells]
