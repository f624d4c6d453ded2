"""Gray-Scott reaction and diffusion: pseudo-spectral on periodic grids, finite volumes on all."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Walls
from cotwin.physics.channels import side_by_side
from cotwin.physics.exponential import Scheme, SpectralMap, etdrk2
from cotwin.physics.finite_volume import diffusion, diffusion_bound
from cotwin.physics.parabolic import ParabolicStepper
from cotwin.physics.requirements import require_fields, require_scalar_coefficients
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.symmetry import all_of
from cotwin.physics.time_steps import CellMap
from cotwin.registry import Count, Few, simulator
from cotwin.symmetries import Symmetries


@simulator("spectral_gray_scott")
class SpectralGrayScott(SpectralStepper):
    """∂U/∂t = D_U ∇²U − U V² + F (1 − U), ∂V/∂t = D_V ∇²V + U V² − (F + K) V, periodic, 1 to 3 dimensions.

    U, V: concentrations, the first and the second moving field.
    diffusivity_u, diffusivity_v: D_U and D_V in length²/time. feed: F in 1/time. kill: K in 1/time. Scalars, with
    concentrations in units of that of the feed and time in units of the reaction's.
    substeps: steps per layout.dt; all linear terms are exact, V² times the substep should stay below about one.
    Scheme: pseudo-spectral in space (1/2 rule, which is what a product of three needs), ETDRK2 in time, second order
    in dt.
    Source: Gray & Scott (1984), Chem. Eng. Sci. 39; Pearson (1993), Science 261; Cox & Matthews (2002).
    """

    batched = True
    degree = 3

    def __init__(
        self,
        layout: Layout,
        diffusivity_u: Parameter,
        diffusivity_v: Parameter,
        feed: Parameter,
        kill: Parameter,
        substeps: Count = 1,
        scheme: Scheme = etdrk2,
    ) -> None:
        super().__init__(layout, substeps, scheme)
        require_fields(layout, "SpectralGrayScott", {"U": 1, "V": 1})
        require_scalar_coefficients(
            "SpectralGrayScott", diffusivity_u=diffusivity_u, diffusivity_v=diffusivity_v, feed=feed, kill=kill
        )
        self.diffusivity_u, self.diffusivity_v, self.feed, self.kill = diffusivity_u, diffusivity_v, feed, kill

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self)

    def symbol(self) -> Float[Tensor, "*M K"]:
        laplacian, feed = self.laplacian(), self.feed().double()
        u = self.diffusivity_u().double() * laplacian - feed
        v = self.diffusivity_v().double() * laplacian - (feed + self.kill().double())
        return torch.cat(torch.broadcast_tensors(u, v), dim=-self.layout.dims - 1)

    def nonlinearity(self, like: Float[Tensor, "B M *S"]) -> SpectralMap:
        feed = self.feed().to(like.dtype)

        def rate(spectrum: Tensor) -> Tensor:
            u, v = self.to_grid(spectrum).chunk(2, dim=1)
            consumed = u * v * v
            return self.to_spectrum(torch.cat([feed - consumed, consumed], dim=1))

        return rate


@simulator("gray_scott")
class GrayScott(ParabolicStepper):
    """The equations of `SpectralGrayScott` on finite volumes, 1 to 3 dimensions, any boundary on each axis.

    diffusivity_u, diffusivity_v: D_U and D_V in length²/time. feed: F in 1/time. kill: K in 1/time.
    walls: what stands at the ends of the axes (`physics.walls`); without, zero.
    obstacle: the name of a static field, one in solid cells, which nothing passes; zero in others.
    Scheme: second order in space; RKL2, second order in dt, with as many stages as the larger diffusivity needs; V²
    times the substep should stay below about one.
    Source: Gray & Scott (1984), Chem. Eng. Sci. 39; Meyer, Balsara & Aslam (2014), J. Comput. Phys. 257.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        diffusivity_u: Parameter,
        diffusivity_v: Parameter,
        feed: Parameter,
        kill: Parameter,
        substeps: Count = 1,
        stages: Few | None = None,
        walls: Walls | None = None,
        obstacle: str | None = None,
    ) -> None:
        super().__init__(layout, substeps, stages, walls=walls, obstacle=obstacle)
        require_fields(layout, "GrayScott", {"U": 1, "V": 1})
        require_scalar_coefficients(
            "GrayScott", diffusivity_u=diffusivity_u, diffusivity_v=diffusivity_v, feed=feed, kill=kill
        )
        self.diffusivity_u, self.diffusivity_v, self.feed, self.kill = diffusivity_u, diffusivity_v, feed, kill

    @property
    def symmetries(self) -> Symmetries:
        return all_of(self)

    def change(self, like: Float[Tensor, "B M *S"], interval: float) -> CellMap:
        both = side_by_side(self.diffusivity_u(), self.diffusivity_v(), dims=self.layout.dims).to(like.dtype)
        faces = self.closed([both * (interval / dx**2) for dx in self.layout.spacing])
        ends = self.conducting(faces, like, interval)
        feed = interval * self.feed().to(like.dtype)
        removal = feed + interval * self.kill().to(like.dtype)

        def change(cells: Tensor) -> Tensor:
            u, v = cells.chunk(2, dim=1)
            consumed = interval * u * v * v
            reaction = torch.cat([feed - feed * u - consumed, consumed - removal * v], dim=1)
            return reaction.add_(diffusion(cells, faces, ends))

        return change

    def decay(self) -> float:
        largest = torch.maximum(self.diffusivity_u(), self.diffusivity_v())
        return diffusion_bound(largest, self.layout) + float((self.feed() + self.kill()).detach())
