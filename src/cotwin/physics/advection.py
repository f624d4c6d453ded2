"""Advection and diffusion with constant coefficients on periodic grids, exact."""

from __future__ import annotations

from jaxtyping import Complex
from torch import Tensor

from cotwin.layout import Layout
from cotwin.parameters import Parameter, Source, as_vector
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.symmetry import moving_channels, shifts
from cotwin.registry import simulator
from cotwin.symmetries import Symmetries


@simulator("advection")
class Advection(SpectralStepper):
    """∂u/∂t + c·∇u = κ ∇²u + f, periodic, 1 to 3 dimensions, any number of channels.

    velocity: c in length/time, one value for each axis; in one dimension a scalar will do.
    diffusivity: κ in length²/time, a scalar; None for none.
    source: f in the unit of u over time, scalar or field on the grid, or a vector of one for each channel.
    Scheme: each Fourier mode is multiplied by exp(−(i c·k + κ|k|²) dt), and what f adds meanwhile is integrated
    exactly; no error in time, and in space none for a start and f without modes above the grid's highest. On an even
    grid the highest mode itself is not shifted, since the grid cannot tell its phase.
    Source: Canuto et al. (2006), Spectral Methods: Fundamentals in Single Domains, section 3.
    """

    batched = True

    def __init__(
        self,
        layout: Layout,
        velocity: Parameter | tuple[Parameter, ...],
        diffusivity: Parameter | None = None,
        source: Source | None = None,
    ) -> None:
        super().__init__(layout, source=source)
        velocity = as_vector(velocity)
        shape = tuple(velocity().shape)
        if shape != (layout.dims,) and not (shape == () and layout.dims == 1):
            raise ValueError(
                f"velocity of shape {shape} needs one value for each of {layout.dims} axes, ({layout.dims},); "
                "a field needs AdvectionDiffusion."
            )
        if diffusivity is not None and diffusivity().ndim != 0:
            raise ValueError(
                f"diffusivity of shape {tuple(diffusivity().shape)} must be a scalar; "
                "a field needs AdvectionDiffusion."
            )
        self.velocity = velocity
        self.diffusivity = diffusivity

    @property
    def symmetries(self) -> Symmetries:
        return shifts(self)

    @property
    def conserved(self) -> frozenset[int]:
        return frozenset(moving_channels(self.layout)) if self.source is None else frozenset()

    def symbol(self) -> Complex[Tensor, "*M K"]:
        velocity: Tensor = self.velocity().double()
        # A scalar, or one for each sample, in one dimension.
        velocity = velocity[None] if velocity.ndim in (0, self.layout.dims + 2) else velocity
        symbol = -velocity[0] * self.derivative(0)
        for axis in range(1, self.layout.dims):
            symbol = symbol - velocity[axis] * self.derivative(axis)
        if self.diffusivity is not None:
            symbol = symbol + self.diffusivity().double() * self.laplacian()
        return symbol
