"""What the data determine: covariance, conditioning, and the combination of unknowns that is known least."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation.note import Note
from cotwin.estimation.unknowns import describe

RESOLUTION = 1e-8
"""Singular values below this part of the largest are zero, as far as differences can tell."""
LOOSE = 1.0
"""Standard deviation of a raw number, mostly a logarithm, from which on the data do not determine it."""


class Information(ABC):
    """How well the raw unknowns are known, near the estimate."""

    @property
    @abstractmethod
    def condition(self) -> float:
        """Ratio of the best to the least determined combination of unknowns, in standard deviations."""

    @property
    @abstractmethod
    def weakest(self) -> str:
        """The least identifiable combination, by the names of the unknowns."""

    @abstractmethod
    def deviations(self, slope: Float[Tensor, "K N"]) -> Float[Tensor, " K"]:
        """Standard deviations of quantities with these derivatives to the raw unknowns."""

    @abstractmethod
    def warnings(self, on_bound: Collection[str]) -> list[Note]:
        """What a person should know before using the estimates. on_bound: numbers of which that is told instead."""


@dataclass(frozen=True)
class FullInformation(Information):
    """JᵀJ of whitened residuals to the raw unknowns, by the singular values of J.

    values: singular values, largest first. directions: the combinations of raw numbers that they belong to, as rows.
    labels: names of the raw numbers.

    Raw numbers are logarithms for positive unknowns, so a combination is one of relative changes.
    """

    values: Float[Tensor, " N"]
    directions: Float[Tensor, "N N"]
    labels: list[str]

    @classmethod
    def of(
        cls, jacobian: Float[Tensor, "Q N"], labels: list[str], idle: Float[Tensor, "G N"] | None = None
    ) -> FullInformation:
        """From the Jacobian of residuals with deviation one, rows of priors included.

        idle: directions in which nothing is to be known, since no parameter changes along them.
        """
        # Through R of QR: J may have a million rows, and all that counts here is in N of them.
        triangle = torch.linalg.qr(jacobian, mode="r")[1]
        if idle is not None and len(idle):
            # As well known as the best: neither blind nor the least identifiable.
            triangle = torch.cat([triangle, torch.linalg.matrix_norm(triangle, 2) * idle])
        _, values, directions = torch.linalg.svd(triangle)
        return cls(torch.nn.functional.pad(values, (0, len(directions) - len(values))), directions, labels)

    @property
    def blind(self) -> Bool[Tensor, " N"]:
        """Directions that the data say nothing about."""
        return self.values <= RESOLUTION * self.values[0]

    @property
    def condition(self) -> float:
        """Largest by smallest singular value; infinite where a direction is blind."""
        return float("inf") if bool(self.blind.any()) else float(self.values[0] / self.values[-1])

    @property
    def weakest(self) -> str:
        """The least identifiable combination, by the names of the unknowns."""
        return describe(self.directions[-1], self.labels)

    def covariance(self) -> Float[Tensor, "N N"]:
        """Of the raw numbers; along blind directions as large as can be told."""
        root = self.directions / self.values.clamp(min=RESOLUTION * max(float(self.values[0]), RESOLUTION))[:, None]
        return root.mT @ root

    def reach(self, quantile: float, farthest: float) -> Float[Tensor, "K N"]:
        """Steps to where each raw number is so many deviations off and the others follow; none beyond farthest."""
        covariance = self.covariance()
        spread = self.deviations(torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device))
        steps = quantile * covariance / covariance.diagonal().sqrt()[:, None]
        near: Tensor = steps[spread.isfinite() & (steps.abs().amax(dim=1) < farthest)]
        return near

    def deviations(self, slope: Float[Tensor, "K N"]) -> Float[Tensor, " K"]:
        """Standard deviations of quantities with these derivatives to the raw numbers; infinite if they are blind."""
        along = slope @ self.directions.mT
        spread = (along * torch.where(self.blind, 0.0, 1 / self.values)).square().sum(dim=1).sqrt()
        size = slope.norm(dim=1)
        unseen = ((along * self.blind).abs() > 1e-6 * size[:, None]).any(dim=1)
        return torch.where(unseen, torch.inf, spread)

    def size(self, step: Float[Tensor, " N"]) -> Float[Tensor, ""]:
        """‖J step‖: of a step of the raw numbers, in standard deviations."""
        length: Tensor = torch.linalg.vector_norm(self.values * (self.directions @ step))
        return length

    def warnings(self, on_bound: Collection[str]) -> list[Note]:
        """What a person should know before using the estimates. on_bound: numbers of which that is told instead."""
        told = torch.tensor([label in on_bound for label in self.labels], device=self.values.device)
        unseen = self.directions[self.blind]
        unseen = unseen[(unseen * ~told).norm(dim=1) > (unseen * told).norm(dim=1)]
        said = [
            Note(
                "blind",
                f"the data say nothing about {describe(direction, self.labels)}; fix a parameter of it (Known), give "
                "it a prior, or observe more.",
            )
            for direction in unseen
        ]
        spread = self.deviations(torch.eye(len(self.labels), dtype=self.values.dtype, device=self.values.device))
        pairs = zip(self.labels, spread.tolist(), strict=True)
        loose = [label for label, one in pairs if LOOSE < one < float("inf") and label not in on_bound]
        if loose:
            names = ", ".join(loose[:6]) + (f" and {len(loose) - 6} more" if len(loose) > 6 else "")
            said.append(
                Note(
                    "hardly_determined",
                    f"the data hardly determine {names}: uncertain by more than a factor e. Least known is "
                    f"{self.weakest}.",
                )
            )
        return said
