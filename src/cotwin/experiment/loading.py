"""The data of an experiment, read or simulated, and split."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from cotwin.data.noise import add_noise
from cotwin.data.reference import BurgersReference
from cotwin.data.split import split_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.from_file import from_file
from cotwin.experiment.learner_settings import PhysicalSettings
from cotwin.experiment.settings import Data, FileData, Simulated, SimulatedBurgers
from cotwin.experiment.simulated import simulate
from cotwin.layout import Field, Layout
from cotwin.seeds import seeded
from cotwin.store.store import Store
from cotwin.training.held_out import HeldOut
from cotwin.training.metrics import variances


def load_dataset(settings: Data, physical: PhysicalSettings, seed: int, store: Store) -> Dataset:
    """Read or simulate the trajectories, and split them. Raises ValueError or OSError with the cure.

    physical: the model that simulates where the data are its own. store: keeps what a file was converted to, for the
    next time that it is read.
    """
    match settings:
        case SimulatedBurgers():
            return _simulated_burgers(settings, seed)
        case Simulated():
            clean, truth = simulate(settings, physical, seed)
            return _with_noise(clean, settings, truth, seed)
        case FileData():
            return from_file(settings, physical, store)


def _simulated_burgers(settings: SimulatedBurgers, seed: int) -> Dataset:
    reference = BurgersReference(
        points=settings.points,
        dt=settings.dt,
        num_steps=settings.num_steps,
        mean=settings.viscosity_mean,
        contrast=settings.viscosity_contrast,
        refine=settings.refine,
    )
    layout = Layout.box(
        [Field("u")],
        grid=(settings.points,),
        extent=[(0.0, 2 * math.pi)],
        boundary="periodic",
        dt=settings.dt,
    )
    count = settings.train + settings.validation + settings.test
    states = reference.trajectories(reference.initial(count, np.random.default_rng(seed)))
    clean = Trajectories(torch.from_numpy(states).float().unsqueeze(2), layout, source="simulated Burgers")
    viscosity = torch.from_numpy(reference.viscosity(np.asarray(layout.points(0)))).float()
    return _with_noise(clean, settings, {"viscosity": viscosity}, seed)


def _with_noise(
    clean: Trajectories, settings: SimulatedBurgers | Simulated, truth: dict[str, Tensor], seed: int
) -> Dataset:
    split = split_trajectories(clean, settings.validation, settings.test)
    generator = seeded(seed)
    train = add_noise(split.train, settings.noise, generator)
    validation = add_noise(split.validation, settings.noise, generator)
    assert split.test is not None
    return Dataset(
        train,
        HeldOut(
            validation.states, variance=variances(train.states), given=validation.given, clean=settings.noise == 0
        ),
        HeldOut(split.test.states, variance=variances(train.states), given=split.test.given, clean=True),
        truth,
        [
            f"{settings.train} training and {settings.validation} validation trajectories with {settings.noise:.0%} "
            f"noise, {settings.test} clean test trajectories from other initial states."
        ],
    )
