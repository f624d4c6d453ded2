"""What is known of parameters and fields before any data: prior densities, in natural units.

Give them by the names of `cotwin.parameters.estimates`, {"viscosity": LogNormal(0.05, 2.0)}.
"""

from cotwin.estimation.priors.gaussian import Gaussian, LogNormal
from cotwin.estimation.priors.pooled import Pooled
from cotwin.estimation.priors.prior import Independent, Prior
from cotwin.estimation.priors.random_field import GaussianField, LogGaussianField, RandomField
from cotwin.estimation.priors.smoothness import Smooth, TotalVariation

__all__ = [
    "Gaussian",
    "GaussianField",
    "Independent",
    "LogGaussianField",
    "LogNormal",
    "Pooled",
    "Prior",
    "RandomField",
    "Smooth",
    "TotalVariation",
]
