"""The posterior of an estimate by Markov chains, and what Laplace's normal is worth beside it."""

from cotwin.estimation.posterior.posterior import Posterior
from cotwin.estimation.posterior.sampling import sample

__all__ = ["Posterior", "sample"]
