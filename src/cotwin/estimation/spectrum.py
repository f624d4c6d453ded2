"""Whether residuals are independent: how much of them is in slow waves, in time and along each axis.

Of independent residuals each cosine of a lattice holds the same. Neighbours that are alike, blocks that are, and a
smooth misfit far below the noise all show in waves that are long.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import scipy.fft
import scipy.special
import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation.lattice import Lattice

Counts = tuple[int, ...]


@dataclass(frozen=True)
class Spectrum:
    """What octaves of waves hold, along each direction of a lattice: cosines 0; 1; 2 and 3; 4 to 7; …

    energy: (…, o₁, o₂, …), of the squares of the values. expected: (o₁, o₂, …), of values of deviation one.
    """

    lattice: Lattice
    energy: Float[Tensor, "*K *O"]
    expected: Float[Tensor, "*O"]

    @classmethod
    def of(cls, lattice: Lattice, values: Float[Tensor, "*K M"]) -> Spectrum:
        """On the CPU."""
        dims = range(-len(lattice.shape) + 1, 0)
        energy = cosines(lattice, values).square().sum(dim=-len(lattice.shape))
        expected = (lattice.count > 0).double().view(lattice.shape).sum(dim=0)
        for axis, size in zip(dims, lattice.shape[1:], strict=True):
            energy = by_octave(energy, axis)
            share = _shares(size)
            expected = (expected.movedim(axis, -1) @ share.mT).movedim(-1, axis)
        return cls(lattice, energy, expected)


@dataclass(frozen=True)
class Look:
    """Waves below some number along each direction, all of them where that is the lattice's.

    excess: what they hold beyond `expected`, in squares of the noise. chance: that independent residuals hold it.
    """

    lattice: Lattice
    below: Counts
    excess: float
    expected: float
    chance: float

    def __str__(self) -> str:
        along = zip(self.lattice.directions, self.lattice.shape[1:], self.below, strict=True)
        return " and ".join(
            f"{name} over {_reach(size, count)} points" for name, size, count in along if count < size
        )


def looks(lattice: Lattice, residuals: Float[Tensor, " M"]) -> Iterator[Look]:
    """At all boxes of long waves, 1, 2, 4, … along each direction or all, but for all along each.

    residuals: of deviation one, on the CPU.
    Their squares in a box are distributed as χ² of as many degrees of freedom as it has waves, where residuals are
    independent and normal and the lattice is full. A lattice with empty cells, and unknowns that were fitted, make
    larger ones rarer. Where the residuals' deviation differs from value to value, χ² is of fewer degrees, by the mean
    of the fourth powers: 3 for normal ones.
    """
    spectrum = Spectrum.of(lattice, residuals[None])
    energy, expected = spectrum.energy[0], spectrum.expected
    held = lattice.filled(residuals)
    full = int((lattice.count > 0).sum())
    uneven = max(1.0, full * float(held.pow(4).sum()) / (3 * float(held.square().sum()) ** 2))
    for axis in range(energy.dim()):
        energy, expected = energy.cumsum(axis), expected.cumsum(axis)
    octaves = [_octave_ends(size) for size in lattice.shape[1:]]
    for place in itertools.product(*(range(len(ends)) for ends in octaves)):
        below = tuple(ends[index] for ends, index in zip(octaves, place, strict=True))
        if below == lattice.shape[1:]:
            continue
        found, mean = float(energy[place]), float(expected[place])
        yield Look(lattice, below, found - mean, mean, float(scipy.special.chdtrc(mean / uneven, found / uneven)))


def cosines(lattice: Lattice, values: Float[Tensor, "*K M"]) -> Float[Tensor, "*K G *S"]:
    """What each wave holds of the values: orthonormal cosines along each direction, on the CPU."""
    cells = lattice.filled(values).unflatten(-1, lattice.shape)
    axes = tuple(range(-len(lattice.shape) + 1, 0))
    return torch.from_numpy(scipy.fft.dctn(cells.numpy(), axes=axes, norm="ortho")) if axes else cells


def _reach(size: int, count: int) -> str:
    """How long waves below a number are, by the points of half of the last of them.

    >>> _reach(40, 4), _reach(40, 1)
    ('10 or more of 40', 'all 40')
    """
    return f"all {size}" if count == 1 else f"{math.ceil(size / count)} or more of {size}"


def by_wave(octaves: Float[Tensor, "*O"], sizes: Counts) -> Float[Tensor, "*S"]:
    """What each wave has of numbers for octaves."""
    for axis, size in enumerate(sizes):
        octaves = octaves.repeat_interleave(torch.tensor([0, *_octave_ends(size)]).diff(), dim=axis)
    return octaves


def _octave_ends(size: int) -> list[int]:
    """1, 2, 4, … and the size."""
    return [2**octave for octave in range((size - 1).bit_length())] + [size]


def by_octave(energy: Tensor, axis: int) -> Tensor:
    """Sums over the waves of each octave along an axis."""
    below = energy.cumsum(axis).index_select(axis, torch.tensor(_octave_ends(energy.shape[axis])) - 1)
    return torch.diff(below, dim=axis, prepend=torch.zeros_like(below.narrow(axis, 0, 1)))


def _shares(size: int) -> Float[Tensor, "o n"]:
    """Of each cell's square, what each octave holds in the mean: Σ_k cos², as sums of a geometric series."""
    ends = torch.tensor(_octave_ends(size), dtype=torch.float64)[:, None]
    half = math.pi * (torch.arange(size, dtype=torch.float64) + 0.5) / size
    turning = (ends * half).sin() * ((ends - 1) * half).cos() / half.sin()
    below = (ends - 1 + turning) / size
    return torch.diff(below, dim=0, prepend=torch.zeros_like(below[:1]))
