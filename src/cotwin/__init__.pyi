from cotwin.data.read import open_trajectories as open_trajectories
from cotwin.data.trajectories import Trajectories as Trajectories
from cotwin.data.writing.write import write_trajectories as write_trajectories
from cotwin.experiment.trained import TrainedRun as TrainedRun, load_run as load_run
from cotwin.layout import Field as Field, Layout as Layout
from cotwin.parameters import (
    Bounded as Bounded,
    CoarseField as CoarseField,
    GaussianSum as GaussianSum,
    Known as Known,
    Parameter as Parameter,
    PointSources as PointSources,
    Positive as Positive,
    Real as Real,
    Simplex as Simplex,
    SpreadSources as SpreadSources,
    Vector as Vector,
    ZeroMean as ZeroMean,
    estimates as estimates,
)
from cotwin.stepper import DivergenceError as DivergenceError, Stepper as Stepper, rollout as rollout
from cotwin.store.store import Store as Store
from cotwin.training import alpha as alpha
from cotwin.training.descent import GradientDescent as GradientDescent
from cotwin.training.held_out import HeldOut as HeldOut
from cotwin.training.hybrid import HybridTrainer as HybridTrainer, Learner as Learner, PhaseResult as PhaseResult
from cotwin.training.loss import RolloutLoss as RolloutLoss
from cotwin.training.metrics import vrmse as vrmse
from cotwin.training.safe_steps import TrainingDivergedError as TrainingDivergedError
from cotwin.training.trainer import Trainer as Trainer, cosine as cosine
from cotwin.windows import (
    Batch as Batch,
    JoinedWindows as JoinedWindows,
    RolloutWindows as RolloutWindows,
    SlidingWindows as SlidingWindows,
    Windows as Windows,
    collate as collate,
    starts as starts,
)

__version__: str
