"""Estimates of a simulator's unknowns from measurements of it, with their uncertainty."""

from cotwin.estimation.bootstrap import Bootstrap, bootstrap
from cotwin.estimation.check import Check, check
from cotwin.estimation.discrepancy import Discrepancy
from cotwin.estimation.ensemble_kalman import EnsembleKalman
from cotwin.estimation.estimate import estimate
from cotwin.estimation.estimation import Estimation
from cotwin.estimation.foreseen import Further
from cotwin.estimation.further import next_measurements
from cotwin.estimation.gradient_search import adam, lbfgs
from cotwin.estimation.intervals import Interval
from cotwin.estimation.levenberg_marquardt import Solution, levenberg_marquardt
from cotwin.estimation.measurements import Measurements, NoisyStarts
from cotwin.estimation.observation import (
    Boxes,
    Grid,
    Joined,
    Observation,
    Points,
    Regions,
    Weighted,
    box_region,
    face_offsets,
)
from cotwin.estimation.posterior import Posterior, sample
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.profile import profile
from cotwin.estimation.stages import Stages

__all__ = [
    "Bootstrap",
    "Boxes",
    "Check",
    "Discrepancy",
    "EnsembleKalman",
    "Estimation",
    "Further",
    "Grid",
    "Interval",
    "Joined",
    "LeastSquares",
    "Measurements",
    "NoisyStarts",
    "Observation",
    "Points",
    "Posterior",
    "Regions",
    "Solution",
    "Stages",
    "Weighted",
    "adam",
    "bootstrap",
    "box_region",
    "check",
    "estimate",
    "face_offsets",
    "lbfgs",
    "levenberg_marquardt",
    "next_measurements",
    "profile",
    "sample",
]
