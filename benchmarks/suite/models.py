"""Simulators of the suite that Cotwin has not by name; a configuration says `benchmarks.suite.models:NAME`."""

from __future__ import annotations

import torch
from torch import Tensor

from cotwin import GaussianSum, Known, Layout, Parameter
from cotwin.physics import ParabolicStepper
from cotwin.physics.finite_volume import diffusion
from cotwin.physics.time_steps import CellMap


class BumpyHeat(ParabolicStepper):
    """∂u/∂t = κ ∇²u, κ = min(bumps, clip); finite volumes, RKL2. The clip takes no gradient from the unknowns."""

    def __init__(self, layout: Layout, bumps: GaussianSum, clip: float) -> None:
        super().__init__(layout)
        self.bumps, self.clip = bumps, clip

    def change(self, like: Tensor, interval: float) -> CellMap:
        kappa = interval * self.bumps().clamp(max=self.clip).to(like.dtype)
        faces = [like.new_tensor(1 / dx**2) for dx in self.layout.spacing]
        ends = self.ends(like, interval)
        return lambda u: kappa * diffusion(u, faces, ends)

    def decay(self) -> float:
        return self.clip * sum(4 / dx**2 for dx in self.layout.spacing)


class Parts(Parameter):
    """Parameters side by side, each an unknown of its own name, in a shape."""

    by_parts = True

    def __init__(self, shape: tuple[int, ...], **parts: Parameter) -> None:
        super().__init__(next(iter(parts.values())).unit)
        self.shape = shape
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self) -> Tensor:
        return torch.stack([part() for part in self.children()]).view(self.shape)


def bumpy_heat(
    layout: Layout,
    height_1: Parameter,
    x_1: Parameter,
    y_1: Parameter,
    height_2: Parameter,
    x_2: Parameter,
    y_2: Parameter,
    base: float = 0.1,
    clip: float = 2.5,
) -> BumpyHeat:
    """∂u/∂t = κ ∇²u, κ = min(base + Σ_i height_i exp(−|x − c_i|²), clip), two bumps at c_i = (x_i, y_i).

    heights, base, clip: in length²/time.
    """
    heights = Parts((2,), height_1=height_1, height_2=height_2)
    centres = Parts((2, 2), x_1=x_1, y_1=y_1, x_2=x_2, y_2=y_2)
    return BumpyHeat(layout, GaussianSum(heights, centres, Known(1.0), layout, base), clip)
