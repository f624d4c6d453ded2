"""Physical models: differentiable, batched PDE solvers; `phiflow` adapts models written with PhiFlow."""

from cotwin.physics.advection import Advection
from cotwin.physics.burgers import Burgers
from cotwin.physics.external import ExternalStepper, one_by_one
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.physics.function import FunctionStepper
from cotwin.physics.heat import Heat
from cotwin.physics.initial import random_fourier
from cotwin.physics.refined import Refined
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.spectral_burgers import SpectralBurgers

__all__ = [
    "Advection",
    "Burgers",
    "ExternalStepper",
    "FiniteVolumeStepper",
    "FunctionStepper",
    "Heat",
    "Refined",
    "SpectralBurgers",
    "SpectralStepper",
    "one_by_one",
    "random_fourier",
]
