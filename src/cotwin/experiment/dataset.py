"""The data of an experiment: what trains, what is held out, what is looked at once at the end."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.data.noise import add_noise
from cotwin.data.read import Options, files_of
from cotwin.data.reference import BurgersReference
from cotwin.data.several import together
from cotwin.data.split import Split, split_in_time, split_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.hidden import require_seen, with_hidden
from cotwin.experiment.holes import FEW, begin_whole, fill_holes, shows_all
from cotwin.experiment.known_walls import against_walls
from cotwin.experiment.learner_settings import PhysicalSettings
from cotwin.experiment.measured_starts import correlation_length
from cotwin.experiment.outside import names_given, of_no_group
from cotwin.experiment.settings import Data, FileData, Simulated, SimulatedBurgers
from cotwin.experiment.simulated import simulate
from cotwin.experiment.unseen import Unseen, begun, has_unseen_starts
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
    unseen: where rollouts start from states that have to be estimated first; then the starts here are guesses.
    sure: of estimated states, how sure each training value is, in [0, 1]; None where none are.
    """

    train: Trajectories
    validation: HeldOut
    test: HeldOut | None
    truth: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    starts: Bool[Tensor, "N T"] | None = None
    unseen: Unseen | None = None
    sure: Float[Tensor, "N T C *S"] | None = None

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
        fields=None
        if settings.fields is None
        else tuple(one for one in settings.fields if one not in settings.hidden),
        boundary=settings.boundary,
        extent=settings.extent,
        missing=settings.missing,
        axes=settings.axes,
        precision=settings.precision,
        walls=settings.walls,
        given=tuple(dict.fromkeys((*settings.given, *names_given(physical)))),
        given_at=_given_at(physical),
        points=settings.points,
        dt=settings.dt,
        dt_tolerance=settings.dt_tolerance,
    )
    parts = [read_once(path, store.shelf("real"), **options) for path in files_of(settings.path)]
    trajectories = parts[0] if len(parts) == 1 else together(parts, f"{len(parts)} files")
    walls = getattr(physical, "walls", None)
    if isinstance(walls, WallsSettings):
        said = against_walls(trajectories, walls, settings.walls == "trusted")
        trajectories = replace(trajectories, notes=(*trajectories.notes, *said))
    trajectories = with_hidden(trajectories, settings.hidden, settings.fields)
    split = _split(trajectories, settings, physical)
    require_seen(split.train, settings.hidden)
    if has_unseen_starts(split, settings):
        data = _with_unseen_starts(trajectories, split, settings)
    elif settings.assimilated is None:
        data = _without_holes(trajectories, split, 0.0 if settings.filling == "interpolated" else FEW)
    else:
        raise ValueError("data.assimilated is of no effect: no start has to be estimated. Leave it out.")
    ignored = sorted(trajectories.given.names - set(names_given(physical)))
    if ignored:
        data.notes.append(
            f"The file gives {', '.join(ignored)}, of which the simulator takes no notice. If it is one of its "
            f"parameters, say so: physical.NAME={{given: {ignored[0]}}}."
        )
    strangers = of_no_group(physical, data.given)
    if strangers:
        data.notes.append(
            f"Test trajectories {strangers} are of no group that trains: unknowns that differ have the groups' "
            "common centre there."
        )
    return data


def _split(trajectories: Trajectories, settings: FileData, physical: PhysicalSettings) -> Split:
    """Whole trajectories are held out where there are several, and no unknown has a value of its own in them."""
    if len(trajectories.numbers) > 1:
        split = split_trajectories(trajectories, settings.validation, settings.test)
        strangers = of_no_group(physical, [split.train.given, split.validation.given])
        if not strangers:
            some = f"{len(trajectories.numbers)} trajectories, of which some are"
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


def _with_unseen_starts(trajectories: Trajectories, split: Split, settings: FileData) -> Dataset:
    """The split, with guesses of the states that rollouts start from."""
    validation, test, unseen = begun(split, settings, _variances(split.train))
    hidden = [channel for name in settings.hidden for channel in trajectories.layout.channels_of(name)]
    train, notes = split.train, _notes(trajectories, split, hidden)
    assert train.mask is not None
    notes.append(
        f"{_missing(train.mask, train.layout):.1%} of the training values are missing. Where a rollout starts, they "
        "are what the calibrated simulator gives. They are never scored."
    )
    notes += [one.about for one in (validation, test) if one is not None]
    return Dataset(train, validation, test, notes=notes, unseen=unseen)


def _without_holes(trajectories: Trajectories, split: Split, part: float) -> Dataset:
    """The split, each rollout with a whole state to start from: of a frame that shows at least this part."""
    train, mask, notes = split.train, split.train.mask, _notes(trajectories, split)
    length, starts = 0.0, None
    if mask is not None:
        unknown = torch.where(mask, train.states, torch.nan)
        length = correlation_length(unknown.flatten(0, 1), train.layout)
        starts = shows_all(mask, train.layout, part)
        train = replace(train, states=fill_holes(train.states, mask, train.layout, length))
        missing = _missing(mask, train.layout)
        if missing:
            notes.append(
                f"{missing:.1%} of the training values are missing. They are interpolated in space where a rollout "
                "starts, and never scored."
            )
    variance = _variances(split.train)
    # In time rolled out from the first frame, whose state is known best, and scored on the held-out frames alone.
    validation = _held_out(split.validation, split.borders, variance, length, part)
    test = None if split.test is None else _held_out(split.test, None, variance, length, part)
    notes += [one.about for one in (validation, test) if one is not None and one.about]
    return Dataset(train, validation, test, notes=notes, starts=starts)


def _missing(mask: Bool[Tensor, "N T C *S"], layout: Layout) -> float:
    """Part of the values that are not there of frames that are."""
    seen = mask[:, :, ~torch.tensor(layout.static_channels)].flatten(2)
    there = seen[seen.any(dim=2)]
    return 1 - float(there.double().mean())


def _notes(trajectories: Trajectories, split: Split, hidden: Collection[int] = ()) -> list[str]:
    """What the reader decided, how the data are divided, and what errors leave out."""
    notes = [f"{note[0].upper()}{note[1:]}." for note in (*trajectories.notes, split.note)]
    spread, layout = _variances(split.train), trajectories.layout
    for channel, (name, static) in enumerate(zip(layout.channel_names, layout.static_channels, strict=True)):
        if channel in hidden:
            notes.append(f"Field {name!r} is hidden: no error counts it.")
        elif not static and spread[channel] == 0:
            notes.append(f"Field {name!r} does not vary beyond rounding; the errors that decide leave it out.")
    return notes


def _variances(train: Trajectories) -> Float[Tensor, " C"]:
    """Of each channel, of the states between frames too."""
    if train.between is None:
        return variances(train.states, train.mask)
    exact = train.at_their_times()
    assert exact.between is not None
    mask = torch.ones_like(exact.states, dtype=torch.bool) if exact.mask is None else exact.mask
    states = torch.cat([exact.states.flatten(0, 1), exact.between.states])
    return variances(states[None], torch.cat([mask.flatten(0, 1), exact.between.mask])[None])


def _held_out(
    trajectories: Trajectories,
    borders: Int[Tensor, " N"] | None,
    variance: Float[Tensor, " C"],
    length: float,
    part: float,
) -> HeldOut:
    """Held-out trajectories, or what comes from a frame of each on; length: over which training states are alike."""
    exact, scored_from = trajectories.at_their_times(), 1
    # Trajectories with holes may each start later, by another number of frames.
    alike = borders is not None and bool((borders == borders[0]).all()) and (exact.mask is None or len(exact) == 1)
    if borders is not None and alike and borders[0] > 0:
        scored_from = int(borders[0])
    elif borders is not None:
        exact = _only_from(exact, borders, part)
    if exact.mask is None:
        return HeldOut(exact.states, None, scored_from, variance, given=exact.given, between=exact.between)
    begun, skipped, about = begin_whole(exact, scored_from, length, part)
    return HeldOut(begun.states, begun.mask, scored_from - skipped, variance, about, begun.given, begun.between)


def _only_from(trajectories: Trajectories, borders: Int[Tensor, " N"], part: float) -> Trajectories:
    """With nothing observed before a frame of each trajectory but the first state that can start a rollout."""
    mask = torch.ones_like(trajectories.states, dtype=torch.bool) if trajectories.mask is None else trajectories.mask
    frames = torch.arange(trajectories.num_frames)
    first = shows_all(mask, trajectories.layout, part).int().argmax(dim=1)
    early = (frames < borders[:, None]) & (frames != first[:, None])
    moving = ~torch.tensor(trajectories.layout.static_channels)
    hidden = (early[:, :, None] & moving).view(*early.shape, -1, *[1] * trajectories.layout.dims)
    between = trajectories.between
    if between is not None:
        between = between.some(between.steps > (borders - 1)[between.row])
    return replace(trajectories, mask=mask & ~hidden, between=between)
