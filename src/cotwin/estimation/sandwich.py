"""Intervals where residuals are not independent, from the Jacobian that is there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.information import FullInformation, Information
from cotwin.estimation.linear import Linearised
from cotwin.estimation.note import Note
from cotwin.estimation.observation import Observation
from cotwin.estimation.observation.lattice import Lattice
from cotwin.estimation.spectrum import by_octave, by_wave, cosines

AT_ONCE = 16
"""Columns of a Jacobian that are transformed together."""
BEFOREHAND = 2.0
"""Degrees of freedom that what is supposed of the level of waves counts for."""


@dataclass(frozen=True)
class Widened(Information):
    """Covariance C where residuals are not independent, never below what it is where they are.

    C = H⁻¹ (Jᵀ R J + P) H⁻¹, H = JᵀJ + P, P of the priors and starts. R: the covariance of residuals, diagonal in
    the cosines of their lattice.
    plain: H⁻¹. covariance: C. freedom: Student's degrees, by how many waves carry the estimate, of the number for
    which they are fewest.
    Source: White (1982), Econometrica 50, for the sandwich.
    """

    plain: FullInformation
    covariance: Float[Tensor, "N N"]
    freedom: float

    @classmethod
    def of(cls, plain: FullInformation, linear: Linearised, observation: Observation) -> Widened:
        """Around an estimate. linear: of one set, the misfit in units of the noise. observation: on the CPU."""
        parts = (linear.jacobian(), linear.by_raw_alone(), linear.fitted(), linear.misfit, plain.covariance()[None])
        jacobian, rows, fitted, misfit, inverse = (part[0].cpu() for part in parts)
        normal = jacobian.mT @ jacobian - rows.mT @ rows
        total, squares = torch.zeros_like(inverse[0]), torch.zeros_like(inverse[0])
        for own, lattice in observation.lattices():
            level = levels(lattice, misfit[own], fitted[own])
            waves = cosines(lattice, rows[own].mT.contiguous())
            weighted = (waves * level.sqrt()).flatten(1)
            # What differs between values of one cell is of no wave.
            rest = rows[own].mT @ rows[own] - waves.flatten(1) @ waves.flatten(1).mT
            normal = normal + weighted @ weighted.mT + float(level.mean()) * rest
            carried = (inverse @ weighted).square()
            total, squares = total + carried.sum(dim=1), squares + carried.square().sum(dim=1)
        freedom = float((total.square() / squares.clamp(min=torch.finfo(squares.dtype).tiny)).min())
        return cls(plain, inverse @ normal @ inverse, BEFOREHAND + freedom)

    @property
    def condition(self) -> float:
        return self.plain.condition

    @property
    def weakest(self) -> str:
        return self.plain.weakest

    def deviations(self, slope: Float[Tensor, "K N"]) -> Float[Tensor, " K"]:
        wide = torch.einsum("kn,nm,km->k", slope, self.covariance.to(slope.device), slope).clamp(min=0).sqrt()
        return torch.maximum(self.plain.deviations(slope), wide)

    def warnings(self, on_bound: Collection[str]) -> list[Note]:
        return self.plain.warnings(on_bound)


def levels(lattice: Lattice, misfit: Float[Tensor, " M"], fitted: Float[Tensor, "M K"]) -> Float[Tensor, "*S"]:
    """The variance of each wave: the product of one number for each direction, corrected by the octave.

    fitted: what the fit takes of the values, as `Linearised.fitted`. Each number is as sure as the waves behind it
    are many; as if by two more, it is that of all, and an octave is as the product has it.
    """
    energy = cosines(lattice, misfit).square().sum(dim=0)
    taken = torch.zeros_like(energy)
    for some in fitted.mT.split(AT_ONCE):
        taken = taken + cosines(lattice, some.contiguous()).square().sum(dim=(0, 1))
    left = (float((lattice.count > 0).sum()) / energy.numel() - taken).clamp(min=0)
    mean = float(energy.sum() / left.sum())
    product = torch.full_like(energy, mean)
    for axis in range(energy.dim()):
        others = [other for other in range(energy.dim()) if other != axis]
        held, degrees = (part.sum(dim=others, keepdim=True) if others else part for part in (energy, left))
        product = product * (held + BEFOREHAND * mean) / (degrees + BEFOREHAND) / mean
    white = energy / product
    for axis in range(energy.dim()):
        white, left = by_octave(white, axis), by_octave(left, axis)
    return product * by_wave((white + BEFOREHAND) / (left + BEFOREHAND), lattice.shape[1:])
