"""Physical models: differentiable, batched PDE solvers; `phiflow` adapts models written with PhiFlow.

Simulators and samplers of starts are here by their names too, each imported from its file when it is asked for.
"""

from importlib import import_module
from itertools import chain
from typing import Any

from cotwin.physics.closures import Closure, Constant, Logistic, NetworkClosure, Power
from cotwin.physics.conservation_law import ConservationLaw, Law
from cotwin.physics.external import ExternalStepper, one_by_one
from cotwin.physics.finite_volume import FiniteVolumeStepper
from cotwin.physics.function import FunctionStepper
from cotwin.physics.incompressible import IncompressibleStepper
from cotwin.physics.initial import random_fourier
from cotwin.physics.parabolic import ParabolicStepper
from cotwin.physics.spectral import SpectralStepper
from cotwin.registry import sampler, simulator

__all__ = [
    "Closure",
    "ConservationLaw",
    "Constant",
    "ExternalStepper",
    "FiniteVolumeStepper",
    "FunctionStepper",
    "IncompressibleStepper",
    "Law",
    "Logistic",
    "NetworkClosure",
    "ParabolicStepper",
    "Power",
    "SpectralStepper",
    "one_by_one",
    "random_fourier",
]


def __getattr__(name: str) -> Any:
    for home in chain(simulator.own().values(), sampler.own().values()):
        if home.made == name and not home.module.startswith(f"{__name__}.phiflow"):
            return getattr(import_module(home.module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    homes = chain(simulator.own().values(), sampler.own().values())
    return [*globals(), *(home.made for home in homes if not home.module.startswith(f"{__name__}.phiflow"))]
