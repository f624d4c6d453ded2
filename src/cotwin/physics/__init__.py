"""Physical models: differentiable, batched PDE solvers; `phiflow` adapts models written with PhiFlow."""

from cotwin.physics.advection import Advection
from cotwin.physics.burgers import Burgers
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.physics.heat import Heat
from cotwin.physics.initial import random_fourier
from cotwin.physics.refined import Refined
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.spectral_burgers import SpectralBurgers

__all__ = [
    "Advection",
    "Burgers",
    "FiniteVolumeStepper",
    "Heat",
    "Refined",
    "SpectralBurgers",
    "SpectralStepper",
    "random_fourier",
]
