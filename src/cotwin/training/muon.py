"""Muon: momentum whose directions all get the same length."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
FEWEST = 4
"""Rows and columns of a matrix whose directions are worth it."""


def is_matrix(weight: nn.Parameter) -> bool:
    """Whether Muon is for a weight: a matrix, or the kernels of a convolution, with several rows and columns."""
    return weight.dim() >= 2 and not weight.is_complex() and min(len(weight), weight[0].numel()) >= FEWEST


class Muon(torch.optim.Optimizer):
    """W ← W − lr·√max(1, r/c)·orthogonal(G + μM), M ← μM + G, for each weight as a matrix of r rows and c columns.

    orthogonal(U V S) of a singular value decomposition is U V, about: five Newton-Schulz iterations bring singular
    values to 0.7 to 1.2. So directions in which the gradient is small are learned as fast as those in which it is
    large. A convolution's kernels are one matrix, a row for each output. Weights of one shape are moved together:
    torch.optim.Muon takes one matrix after the other, in bfloat16, and no kernels.

    weights: for which `is_matrix` holds. lr: length of a step in each direction. momentum: μ.
    Source: Jordan et al. (2024), Muon: An optimizer for hidden layers in neural networks.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; what the closure gives, which sets the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append((weight, weight.grad))
            for shape, pairs in alike.items():
                gradients = torch.stack([gradient.flatten(1) for _, gradient in pairs])
                # Of all of one shape, with the first of them.
                momentum = self.state[pairs[0][0]].setdefault("momentum", torch.zeros_like(gradients))
                momentum.mul_(group["momentum"]).add_(gradients)
                directions = orthogonal(gradients.add_(momentum, alpha=group["momentum"]))
                length = group["lr"] * math.sqrt(max(1.0, directions.shape[1] / directions.shape[2]))
                for (weight, _), direction in zip(pairs, directions, strict=True):
                    weight.sub_(direction.view(shape), alpha=length)
        return loss


def orthogonal(matrices: Float[Tensor, "K r c"]) -> Float[Tensor, "K r c"]:
    """The nearest matrices whose singular values are all alike, about: theirs are 0.7 to 1.2.

    >>> orthogonal(torch.diag(torch.tensor([100.0, 1.0]))[None]).diagonal(dim1=1, dim2=2).round(decimals=1)
    tensor([[0.7000, 0.7000]])
    """
    a, b, c = COEFFICIENTS
    wide: Tensor = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    wide = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if matrices.shape[1] <= matrices.shape[2] else wide.mT
