"""The data of an experiment: what trains, what is held out, what is looked at once at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cotwin.data.noise import add_noise
from cotwin.data.reference import BurgersReference
from cotwin.data.split import Split, split_in_time, split_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.physical_settings import Physical
from cotwin.experiment.settings import Data, FileData, Simulated, SimulatedBurgers
from cotwin.experiment.simulated import simulate
from cotwin.layout import Field, Layout
from cotwin.seeds import seeded
from cotwin.store.real import read_once
from cotwin.store.store import Store
from cotwin.training.held_out import HeldOut
from cotwin.training.metrics import variances


@dataclass(frozen=True)
class Dataset:
    """Trajectories of one system, split.

    test: None where none are set aside. truth: parameters that are known, by name, on the layout's grid.
    notes: what a person should know about the split.
    """

    train: Trajectories
    validation: HeldOut
    test: HeldOut | None
    truth: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """Of all trajectories."""
        return self.train.layout


def load_dataset(settings: Data, physical: Physical, seed: int, store: Store) -> Dataset:
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
            return _from_file(settings, store)


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
        _held_out(validation, train),
        _held_out(split.test, train),
        truth,
        [
            f"{settings.train} training and {settings.validation} validation trajectories with {settings.noise:.0%} "
            f"noise, {settings.test} clean test trajectories from other initial states."
        ],
    )


def _from_file(settings: FileData, store: Store) -> Dataset:
    trajectories = read_once(
        settings.path,
        store.shelf("real"),
        fields=settings.fields,
        boundary=settings.boundary,
        extent=settings.extent,
        missing=settings.missing,
        axes=settings.axes,
    )
    if len(trajectories) > 1:
        split = split_trajectories(trajectories, settings.validation, settings.test)
        test = None if split.test is None else _held_out(split.test, split.train)
        return Dataset(split.train, _held_out(split.validation, split.train), test, notes=_notes(trajectories, split))
    if settings.test:
        raise ValueError(
            f"{settings.path} holds a single trajectory, so none can be set aside for testing; use data.test=0."
        )
    split = split_in_time(trajectories, settings.held_out_fraction)
    # Rolled out from the first frame, whose state is known best, and scored on the held-out frames alone.
    validation = _held_out(trajectories, split.train, scored_from=split.train.num_frames)
    return Dataset(split.train, validation, None, notes=_notes(trajectories, split))


def _notes(trajectories: Trajectories, split: Split) -> list[str]:
    """What the reader decided, how the data are divided, and what errors leave out."""
    notes = [f"{note[0].upper()}{note[1:]}." for note in (*trajectories.notes, split.note)]
    spread = variances(split.train.states, split.train.mask)
    layout = trajectories.layout
    for name, static, variance in zip(layout.channel_names, layout.static_channels, spread, strict=True):
        if not static and variance == 0:
            notes.append(f"Field {name!r} does not vary beyond rounding; the errors that decide leave it out.")
    return notes


def _held_out(trajectories: Trajectories, train: Trajectories, scored_from: int = 1) -> HeldOut:
    return HeldOut(trajectories.states, trajectories.mask, scored_from, variances(train.states, train.mask))
