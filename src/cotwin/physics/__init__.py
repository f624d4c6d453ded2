"""Physical models: differentiable, batched PDE solvers; `phiflow` adapts models written with PhiFlow."""

from cotwin.physics.advection import Advection
from cotwin.physics.advection_diffusion import AdvectionDiffusion
from cotwin.physics.allen_cahn import AllenCahn
from cotwin.physics.burgers import Burgers
from cotwin.physics.closures import Closure, Constant, Logistic, NetworkClosure, Power
from cotwin.physics.conservation_law import ConservationLaw, Law
from cotwin.physics.external import ExternalStepper, one_by_one
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.physics.fisher import Fisher
from cotwin.physics.function import FunctionStepper
from cotwin.physics.gray_scott import GrayScott, SpectralGrayScott
from cotwin.physics.heat import Heat
from cotwin.physics.incompressible import IncompressibleFlow, IncompressibleStepper
from cotwin.physics.initial import random_fourier
from cotwin.physics.initial_flow import random_flow, random_smoke
from cotwin.physics.initial_patches import random_colonies, random_patches
from cotwin.physics.inviscid_burgers import InviscidBurgers
from cotwin.physics.korteweg_de_vries import KortewegDeVries
from cotwin.physics.kuramoto_sivashinsky import KuramotoSivashinsky
from cotwin.physics.navier_stokes import NavierStokes
from cotwin.physics.parabolic import ParabolicStepper
from cotwin.physics.shallow_water import LinearShallowWater, ShallowWater
from cotwin.physics.smoke import Smoke
from cotwin.physics.spectral import SpectralStepper
from cotwin.physics.spectral_burgers import SpectralBurgers

__all__ = [
    "Advection",
    "AdvectionDiffusion",
    "AllenCahn",
    "Burgers",
    "Closure",
    "ConservationLaw",
    "Constant",
    "ExternalStepper",
    "FiniteVolumeStepper",
    "Fisher",
    "FunctionStepper",
    "GrayScott",
    "Heat",
    "IncompressibleFlow",
    "IncompressibleStepper",
    "InviscidBurgers",
    "KortewegDeVries",
    "KuramotoSivashinsky",
    "Law",
    "LinearShallowWater",
    "Logistic",
    "NavierStokes",
    "NetworkClosure",
    "ParabolicStepper",
    "Power",
    "ShallowWater",
    "Smoke",
    "SpectralBurgers",
    "SpectralGrayScott",
    "SpectralStepper",
    "one_by_one",
    "random_colonies",
    "random_flow",
    "random_fourier",
    "random_patches",
    "random_smoke",
]
