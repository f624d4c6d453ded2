"""The data of an experiment: what trains, what is held out, what is looked at once at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.noise import add_noise
from cotwin.data.read import Options, files_of
from cotwin.data.reference import BurgersReference
from cotwin.data.split import Split, split_in_time, split_trajectories
from cotwin.data.times import together
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.holes import begin_whole, fill_holes, shows_all
from cotwin.experiment.learner_settings import PhysicalSettings
from cotwin.experiment.measured_starts import correlation_length
from cotwin.experiment.outside import names_given, of_no_group
from cotwin.experiment.settings import Data, FileData, Simulated, SimulatedBurgers
from cotwin.experiment.simulated import simulate
from cotwin.experiment.wall_settings import WallsSettings
from cotwin.given import Given
from cotwin.layout import Field, Layout
from cotwin.seeds import seeded
from cotwin.store.real import read_once
from cotwin.store.store import Store
from cotwin.training.held_out import HeldOut
from cotwin.training.metrics import variances


@dataclass(frozen=True)
class Dataset:
    """Trajectories of one system, split.

    train: where its mask is not True, its states are filled (`holes.fill_holes`), where they can be.
    starts: the training frames that a rollout may start from, (N, T); None for all.
    test: None where none are set aside. truth: parameters that are known, by name, on the layout's grid.
    notes: what a person should know about the split.
    """

    train: Trajectories
    validation: HeldOut
    test: HeldOut | None
    truth: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    starts: Bool[Tensor, "N T"] | None = None

    @property
    def given(self) -> list[Given]:
        """What comes from outside with all trajectories, those that train first."""
        held_out = [one.given for one in (self.validation, self.test) if one is not None and one.given is not None]
        return [self.train.given, *held_out]

    @property
    def layout(self) -> Layout:
        """Of all trajectories."""
        return self.train.layout

    @property
    def initial(self) -> tuple[Float[Tensor, "M C *S"], Given]:
        """The first state of each training trajectory that a rollout may start from, and what is given with it."""
        if self.starts is None:
            return self.train.states[:, 0], self.train.given
        first, there = self.starts.int().argmax(dim=1), self.starts.any(dim=1)
        given = self.train.given.begun_at(first).rows(there.nonzero().flatten())
        return self.train.states[torch.arange(len(first)), first][there], given

    @property
    def interpolated(self) -> list[HeldOut]:
        """The held-out trajectories with starts that were not wholly observed; they stay with the run."""
        return [one for one in (self.validation, self.test) if one is not None and one.about]

    def steps(self, window: int | Literal["full"], setting: str) -> int:
        """Of a training window. Raises ValueError, naming the setting, where the trajectories are shorter."""
        frames = self.train.num_frames
        steps = frames - 1 if window == "full" else window
        if steps >= frames:
            raise ValueError(
                f"{setting}: {steps} steps need {steps + 1} frames, the training trajectories have {frames}; "
                f"use at most {frames - 1}, or full."
            )
        return steps


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
            return _from_file(settings, physical, store)


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


def _from_file(settings: FileData, physical: PhysicalSettings, store: Store) -> Dataset:
    options = Options(
        fields=settings.fields,
        boundary=settings.boundary,
        extent=settings.extent,
        missing=settings.missing,
        axes=settings.axes,
        precision=settings.precision,
        walls=settings.walls,
        given=tuple(dict.fromkeys((*settings.given, *names_given(physical)))),
        given_at=_given_at(physical),
        points=settings.points,
    )
    parts = [read_once(path, store.shelf("real"), **options) for path in files_of(settings.path)]
    trajectories = parts[0] if len(parts) == 1 else together(parts, f"{len(parts)} files")
    data = _without_holes(trajectories, _split(trajectories, settings, physical))
    strangers = of_no_group(physical, data.given)
    if strangers:
        data.notes.append(
            f"Test trajectories {strangers} are of no group that trains: unknowns that differ have the groups' "
            "common centre there."
        )
    return data


def _split(trajectories: Trajectories, settings: FileData, physical: PhysicalSettings) -> Split:
    """Whole trajectories are held out where there are several, and no unknown has a value of its own in them."""
    if len(trajectories) > 1:
        split = split_trajectories(trajectories, settings.validation, settings.test)
        strangers = of_no_group(physical, [split.train.given, split.validation.given])
        if not strangers:
            some = f"{len(trajectories)} trajectories, of which some are"
            _nothing_said_in_vain(settings, "held_out_fraction", some, "validation")
            return split
        why = f"trajectories whose unknowns have values of their own, {strangers} among them, so the end of each is"
        _nothing_said_in_vain(settings, "validation", why, "held_out_fraction")
        return split_in_time(trajectories, settings.held_out_fraction, settings.test)
    for name in ("validation", "test"):
        _nothing_said_in_vain(settings, name, "a single trajectory, of which the end is", "held_out_fraction")
    return split_in_time(trajectories, settings.held_out_fraction)


def _given_at(physical: PhysicalSettings) -> tuple[str, ...]:
    """The ends at which the simulator has a value or a flux."""
    walls = getattr(physical, "walls", None)
    return walls.given if isinstance(walls, WallsSettings) else ()


def _nothing_said_in_vain(settings: FileData, name: str, held: str, instead: str) -> None:
    """Raise ValueError for a setting that says nothing of trajectories of this kind."""
    if getattr(settings, name) != FileData.model_fields[name].default:
        raise ValueError(
            f"data.{name} is of no effect: {settings.path} holds {held} held out. Leave it out; data.{instead} says "
            "how much."
        )


def _without_holes(trajectories: Trajectories, split: Split) -> Dataset:
    """The split, each rollout with a whole state to start from."""
    train, mask, notes = split.train, split.train.mask, _notes(trajectories, split)
    length, starts = 0.0, None
    if mask is not None:
        unknown = torch.where(mask, train.states, torch.nan)
        length = correlation_length(unknown.flatten(0, 1), train.layout)
        starts = shows_all(mask, train.layout)
        train = replace(train, states=fill_holes(train.states, mask, train.layout, length))
        notes.append(
            f"{1 - float(mask.double().mean()):.1%} of the training values are missing. They are interpolated in "
            "space where a rollout starts, and never scored."
        )
    if split.in_time:
        # Rolled out from the first frame, whose state is known best, and scored on the held-out frames alone.
        whole = trajectories.select(slice(0, len(train)))
        validation = _held_out(whole, train, 0, length, scored_from=train.num_frames)
    else:
        validation = _held_out(split.validation, train, len(train), length)
    first = len(trajectories) - (0 if split.test is None else len(split.test))
    test = None if split.test is None else _held_out(split.test, train, first, length)
    notes += [one.about for one in (validation, test) if one is not None and one.about]
    return Dataset(train, validation, test, notes=notes, starts=starts)


def _notes(trajectories: Trajectories, split: Split) -> list[str]:
    """What the reader decided, how the data are divided, and what errors leave out."""
    notes = [f"{note[0].upper()}{note[1:]}." for note in (*trajectories.notes, split.note)]
    spread = variances(split.train.states, split.train.mask)
    layout = trajectories.layout
    for name, static, variance in zip(layout.channel_names, layout.static_channels, spread, strict=True):
        if not static and variance == 0:
            notes.append(f"Field {name!r} does not vary beyond rounding; the errors that decide leave it out.")
    return notes


def _held_out(
    trajectories: Trajectories, train: Trajectories, first: int, length: float, scored_from: int = 1
) -> HeldOut:
    """Held-out trajectories, from their first on in the file; length: over which training states are alike."""
    variance = variances(train.states, train.mask)
    if trajectories.mask is None:
        return HeldOut(trajectories.states, None, scored_from, variance, given=trajectories.given)
    begun, skipped, about = begin_whole(trajectories, first, scored_from, length)
    return HeldOut(begun.states, begun.mask, scored_from - skipped, variance, about, begun.given)
