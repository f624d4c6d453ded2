"""Cotwin: train a differentiable simulator and a neural surrogate of the same system together.

The names here are what a script needs; each module's docstring tells more.
"""

from cotwin.layout import Field, Layout
from cotwin.parameters import (
    Bounded,
    CoarseField,
    GaussianSum,
    Known,
    Parameter,
    Positive,
    Real,
    Simplex,
    ZeroMean,
    estimates,
)
from cotwin.stepper import DivergenceError, Stepper, rollout
from cotwin.store.store import Store
from cotwin.training import alpha
from cotwin.training.held_out import HeldOut
from cotwin.training.hybrid import HybridTrainer, Learner, PhaseResult
from cotwin.training.loss import RolloutLoss
from cotwin.training.metrics import vrmse
from cotwin.training.trainer import Trainer, TrainingDivergedError, cosine
from cotwin.windows import Batch, JoinedWindows, RolloutWindows, SlidingWindows, Windows, collate, starts

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Bounded",
    "CoarseField",
    "DivergenceError",
    "Field",
    "GaussianSum",
    "HeldOut",
    "HybridTrainer",
    "JoinedWindows",
    "Known",
    "Layout",
    "Learner",
    "Parameter",
    "PhaseResult",
    "Positive",
    "Real",
    "RolloutLoss",
    "RolloutWindows",
    "Simplex",
    "SlidingWindows",
    "Stepper",
    "Store",
    "Trainer",
    "TrainingDivergedError",
    "Windows",
    "ZeroMean",
    "alpha",
    "collate",
    "cosine",
    "estimates",
    "rollout",
    "starts",
    "vrmse",
]
