"""The data of an experiment from files: read, split, and with states that rollouts can start from."""

from __future__ import annotations

from dataclasses import replace

from cotwin.data.files import files_of
from cotwin.data.folds import fold_before_tests, fold_in_time, fold_of_trajectories
from cotwin.data.read import Options
from cotwin.data.several import together
from cotwin.data.split import Split, split_in_time, split_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.experiment.beginnings import with_starts
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.hidden import require_seen, with_hidden
from cotwin.experiment.known_walls import against_walls
from cotwin.experiment.learner_settings import PhysicalSettings
from cotwin.experiment.outside import names_given, of_no_group
from cotwin.experiment.settings import FileData
from cotwin.experiment.wall_settings import WallsSettings
from cotwin.store.real import read_once
from cotwin.store.store import Store


def from_file(settings: FileData, physical: PhysicalSettings, store: Store) -> Dataset:
    """Read and split. physical: the simulator, which may name what the file gives. Raises ValueError or OSError."""
    trajectories = with_hidden(_read(settings, physical, store), settings.hidden, settings.fields)
    split = _split(trajectories, settings, physical)
    require_seen(split.train, settings.hidden)
    data = with_starts(trajectories, split, settings)
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


def options_of(settings: FileData, physical: PhysicalSettings | None) -> Options:
    """With which a file is read. physical: the simulator, which may name what the file gives and what walls hold."""
    hidden, fields = settings.hidden, settings.fields
    return Options(
        format=settings.format,
        names=settings.names,
        fields=None if fields is None else tuple(name for name in fields if name not in hidden),
        boundary=settings.boundary,
        extent=settings.extent,
        missing=settings.missing,
        axes=settings.axes,
        precision=settings.precision,
        walls=settings.walls,
        given=tuple(dict.fromkeys((*settings.given, *(() if physical is None else names_given(physical))))),
        given_at=_walls(physical).given,
        points=settings.points,
        dt=settings.dt,
        dt_tolerance=settings.dt_tolerance,
        grid=settings.grid,
        begin=settings.begin,
    )


def _walls(physical: PhysicalSettings | None) -> WallsSettings:
    found = getattr(physical, "walls", None)
    return found if isinstance(found, WallsSettings) else WallsSettings()


def _read(settings: FileData, physical: PhysicalSettings, store: Store) -> Trajectories:
    options, walls = options_of(settings, physical), _walls(physical)
    files, room = files_of(settings.path), store.room()
    # Of several, the set that they make up is in memory where it fits.
    most = store.most_real if len(files) == 1 else 0
    parts = [read_once(path, store.shelf("real"), room, most, **options) for path in files]
    trajectories = parts[0] if len(parts) == 1 else together(parts, f"{len(parts)} files")
    said = against_walls(trajectories, walls, settings.walls == "trusted")
    return replace(trajectories, notes=(*trajectories.notes, *said))


def _split(trajectories: Trajectories, settings: FileData, physical: PhysicalSettings) -> Split:
    """Whole trajectories are held out where there are several, and no unknown has a value of its own in them."""
    if settings.fold is not None:
        return _fold(trajectories, settings, physical, settings.fold)
    if len(trajectories.numbers) > 1:
        split = split_trajectories(trajectories, settings.validation, settings.test, train=settings.train)
        strangers = of_no_group(physical, [split.train.given, split.validation.given])
        if not strangers:
            some = f"{len(trajectories.numbers)} trajectories, of which some are"
            _nothing_said_in_vain(settings, "held_out_fraction", some, "validation")
            return split
        why = f"trajectories whose unknowns have values of their own, {strangers} among them, so the end of each is"
        _nothing_said_in_vain(settings, "validation", why, "held_out_fraction")
        return split_in_time(trajectories, settings.held_out_fraction, settings.test)
    for name in ("validation", "test", "train"):
        _nothing_said_in_vain(settings, name, "a single trajectory, of which the end is", "held_out_fraction")
    return split_in_time(trajectories, settings.held_out_fraction)


def _fold(trajectories: Trajectories, settings: FileData, physical: PhysicalSettings, fold: int) -> Split:
    """The same with some that test: the last ones in every fold, if a number was given, else a fifth in turn."""
    count, fraction = len(trajectories.numbers), settings.held_out_fraction
    if count > 1:
        if settings.test:
            split = fold_before_tests(trajectories, fold, settings.validation, settings.test, settings.train)
        else:
            test = max(1, count // 5)
            split = fold_of_trajectories(trajectories, fold, settings.validation, test, fraction, settings.train)
        assert split.test is not None
        if not of_no_group(physical, [split.train.given, split.validation.given, split.test.given]):
            return split
    return fold_in_time(trajectories, fold, fraction)


def _nothing_said_in_vain(settings: FileData, name: str, held: str, instead: str) -> None:
    """Raise ValueError for a setting that says nothing of trajectories of this kind."""
    if getattr(settings, name) != FileData.model_fields[name].default:
        raise ValueError(
            f"data.{name} is of no effect: {settings.path} holds {held} held out. Leave it out; data.{instead} says "
            "how much."
        )
