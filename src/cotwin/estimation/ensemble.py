"""An ensemble of points with their predictions, and what regression on it says of the problem."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.linear import Linearised, half_square
from cotwin.estimation.problem import LeastSquares

RESOLUTION = 1e-12
"""Of the largest information, below which there is none."""


@dataclass(frozen=True)
class Ensemble:
    """J points of a problem whose starts are exact, and what would be measured at each.

    z: the points. predicted: values of theirs, which do not depend on the level of the noise.
    """

    z: Float[Tensor, "J N"]
    predicted: Float[Tensor, "J M"]

    @classmethod
    def of(cls, problem: LeastSquares, z: Float[Tensor, "J N"]) -> Ensemble:
        """By one rollout for each point."""
        return cls(z, problem.predicted(z))

    @classmethod
    def pooled(cls, parts: list[Ensemble]) -> Ensemble:
        """All members of several."""
        return cls(torch.cat([part.z for part in parts]), torch.cat([part.predicted for part in parts]))

    def seen(self, problem: LeastSquares) -> Regression:
        """With the noise and the priors of a problem."""
        return Regression.of(self.z, problem.weighted(self.predicted), problem.prior_residuals(self.z))

    def linear(self, problem: LeastSquares, z: Float[Tensor, " N"]) -> Linearised:
        """The problem around a point, with the regression's slopes for derivatives.

        Of a number on its bound it has none: how steep predictions are there members do not tell, which lie apart by
        factors of what is left to the bound.
        """
        on_bound = problem.unknowns.on_bound(z[: len(problem.unknowns)])
        slopes = self.seen(problem).slopes() * ~on_bound
        bare, _ = problem.without_closures(z)
        raw, white = bare.parts(z[None])
        prior_by_raw = bare.prior_jacobian(z)[None]
        return Linearised(
            misfit=bare.misfit(z[None]),
            prior=bare.prior_residuals(z[None]),
            white=white,
            by_raw=slopes[None],
            prior_by_raw=prior_by_raw,
            by_white=slopes.new_zeros(1, len(slopes), 0),
            height=slopes.new_zeros(1),
            tilt=torch.zeros_like(raw),
            trajectory=problem.observation.trajectory,
        )


@dataclass(frozen=True)
class Regression:
    """Residuals r of J points as a linear function of them, and how much of that is chance.

    z: the points. misfit: (prediction − value)/σ, where σ² counts what the regression leaves: patterns of values
    along which members scatter weigh less. prior: residuals of priors. departure: root-mean-square of what is left,
    in units of the noise of the values.

    With A = (z − z̄)/√(J − 1) = Q S and R likewise of the misfits, the regression is Qᵀ R, and what it leaves is
    R − Q QᵀR: the program's own noise and steps, or curvature. By chance that leaves v in the regression along each
    of Q, which is taken off: of R's information along a direction, Λ, (Λ − v)₊ is real. Priors have no noise.
    """

    z: Float[Tensor, "J N"]
    misfit: Float[Tensor, "J M"]
    prior: Float[Tensor, "J R"]
    departure: float

    @classmethod
    def of(cls, z: Float[Tensor, "J N"], misfit: Float[Tensor, "J M"], prior: Float[Tensor, "J R"]) -> Regression:
        """Of misfits with deviation one."""
        more = len(z) - 1 - z.shape[1]
        if more < 1:
            return cls(z, misfit, prior, 0.0)
        basis, _ = torch.linalg.qr(_apart(z))
        left = _apart(misfit) - basis @ (basis.mT @ _apart(misfit))
        _, sizes, patterns = torch.linalg.svd(left, full_matrices=False)
        scatter = sizes.square() * (len(z) - 1) / more
        weighted = misfit - ((misfit @ patterns.mT) * (1 - (1 + scatter) ** -0.5)) @ patterns
        return cls(z, weighted, prior, float((scatter.sum() / misfit.shape[1]).sqrt()))

    @property
    def middle(self) -> Float[Tensor, " N"]:
        """z̄."""
        return self.z.mean(dim=0)

    @property
    def costs(self) -> Float[Tensor, " J"]:
        """½ ‖r‖² of each."""
        return half_square(self.misfit, self.prior)

    @property
    def left(self) -> Float[Tensor, " M"]:
        """The mean misfit."""
        return self.misfit.mean(dim=0)

    @cached_property
    def apart(self) -> Float[Tensor, "J N"]:
        """A."""
        return _apart(self.z)

    @cached_property
    def basis(self) -> Float[Tensor, "J N"]:
        """Q."""
        q: Tensor = torch.linalg.qr(self.apart)[0]
        return q

    @cached_property
    def _along(self) -> Float[Tensor, "N M"]:
        return self.basis.mT @ _apart(self.misfit)

    @cached_property
    def _prior_along(self) -> Float[Tensor, "N R"]:
        return self.basis.mT @ _apart(self.prior)

    @cached_property
    def chance(self) -> float:
        """v."""
        more = len(self.z) - 1 - self.z.shape[1]
        if more < 1:
            return 0.0
        return float((_apart(self.misfit) - self.basis @ self._along).square().sum()) / more

    @cached_property
    def _real(self) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, "N N"]]:
        """(Λ − v)₊, which part of Λ that is, and the directions."""
        values, directions = torch.linalg.eigh(self._along @ self._along.mT)
        real = (values - self.chance).clamp(min=0.0)
        return real, real / values.clamp(min=torch.finfo(values.dtype).tiny), directions

    @cached_property
    def _spectrum(self) -> tuple[Float[Tensor, " N"], Float[Tensor, "N N"]]:
        real, _, directions = self._real
        values, vectors = torch.linalg.eigh(
            (directions * real) @ directions.mT + self._prior_along @ self._prior_along.mT
        )
        return torch.where(values > RESOLUTION * values.amax(), values, 0.0), vectors

    @property
    def information(self) -> Float[Tensor, " N"]:
        """Of values and priors, along the columns of `directions`."""
        return self._spectrum[0]

    @property
    def directions(self) -> Float[Tensor, "J N"]:
        """Combinations of the members along which the information is diagonal, orthonormal."""
        return self.basis @ self._spectrum[1]

    @cached_property
    def slope(self) -> Float[Tensor, " N"]:
        """Of the cost along `directions`, shrunk by what of it is chance."""
        _, part, directions = self._real
        of_values = directions @ (part * (directions.mT @ (self._along @ self.left)))
        slope: Tensor = self._spectrum[1].mT @ (of_values + self._prior_along @ self.prior.mean(dim=0))
        return slope

    def moved(self, along: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """z̄ and a step along `directions`."""
        return self.middle + self.apart.mT @ (self.directions @ along)

    def best(self) -> Float[Tensor, " N"]:
        """Where the linear model has its least cost; z̄ along what nothing real is known of."""
        return self.moved(-self._by_information(self.slope))

    @property
    def farthest(self) -> float:
        """How far z̄ is from there, in standard deviations of what is known, along the direction where it is most."""
        return float(self._by_information(self.slope.square()).sqrt().max())

    @property
    def uncertainty(self) -> float:
        """By how much chance moves `best`, in the same deviations, along the direction where it is most."""
        _, part, directions = self._real
        turned = self._spectrum[1].mT @ directions
        scatter = self.chance * self.left.square().mean() * (turned * part).square().sum(dim=1)
        return float(self._by_information(scatter).sqrt().max())

    def slopes(self) -> Float[Tensor, "M N"]:
        """∂r/∂z of the misfits, shrunk so that their information is what is real."""
        _, part, directions = self._real
        shrunk = directions @ (part.sqrt()[:, None] * (directions.mT @ self._along))
        _, triangle = torch.linalg.qr(self.apart)
        slopes: Tensor = torch.linalg.solve_triangular(triangle, shrunk, upper=True).mT
        return slopes

    def _by_information(self, numbers: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        return torch.where(self.information > 0, numbers / self.information, 0.0)


def _apart(rows: Float[Tensor, "J K"]) -> Float[Tensor, "J K"]:
    apart: Tensor = (rows - rows.mean(dim=0)) / (len(rows) - 1) ** 0.5
    return apart
