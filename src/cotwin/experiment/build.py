"""From settings and data to models, trainers and the cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

import cotwin.training.alpha
from cotwin.data.room import require_room
from cotwin.data.split import shown
from cotwin.estimation.priors import Prior
from cotwin.experiment import settings as s
from cotwin.experiment.at_sensors import read_after
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.device import find_device
from cotwin.experiment.holes import shows_after
from cotwin.experiment.learner_settings import Batched, LearnerSettings, NetworkSettings, ToldOne
from cotwin.experiment.optimizers import build_descent, build_schedule
from cotwin.experiment.priors import build_priors
from cotwin.experiment.simulators import build_physical
from cotwin.given import Given
from cotwin.layout import Field, Layout
from cotwin.networks.ensemble import Ensemble
from cotwin.networks.positions import WithPositions
from cotwin.networks.surrogate import Surrogate
from cotwin.networks.told import Told, Way
from cotwin.parameters import Condition, Input
from cotwin.physics.obstacle import solid_cells
from cotwin.registry import network
from cotwin.seeds import seed_of, torch_seeded
from cotwin.stepper import Stepper
from cotwin.store.store import Store
from cotwin.training.alpha import Alpha
from cotwin.training.hybrid import HybridTrainer, Kinds, Learner, Role
from cotwin.training.loss import RolloutLoss
from cotwin.training.penalty import Penalty
from cotwin.training.trainer import Trainer
from cotwin.windows import MovedWindows, SlidingWindows, Windows, starts
from cotwin.windows.starts import Starts

GB = 10**9


def build_synthetic(settings: NetworkSettings, data: Dataset, physical: Stepper, seed: int) -> Stepper:
    """The untrained surrogate, normalised by the training data. Raises ValueError for a name that is not given."""
    settings = settled_synthetic(settings, data, physical)
    names = [one.name for one in settings.told or ()]
    told = Told.fitted(data.train.given, names, way_of(settings)) if names else None
    built = build_network(settings, data.layout, seed)
    return Surrogate(built, data.layout, data.statistics, told, settings.conserved or ())


def settled_synthetic(settings: NetworkSettings, data: Dataset, physical: Stepper) -> NetworkSettings:
    """The settings with what the data and the simulator decide filled in."""
    settings, every = told_by(settings, data.train.given), range(data.layout.dims)
    if settings.axes is None:
        alike = physical.symmetries.shifts
        chosen = {True: every, False: (), "auto": [axis for axis in every if axis not in alike]}[settings.positions]
        settings = settings.model_copy(update={"axes": tuple(chosen)})
    if settings.conserved is None:
        kept = physical.conserved if settings.conserve else frozenset()
        if settings.conserve == "auto" and (leaking := sorted(kept - data.keeping)):
            _note_leak(data, [data.layout.channel_names[channel] for channel in leaking])
            kept -= {*leaking}
        settings = settings.model_copy(update={"conserved": tuple(sorted(kept))})
    return settings


def _note_leak(data: Dataset, names: list[str]) -> None:
    note = (
        f"The simulator conserves the mean of {', '.join(names)}. The training data do not show that it stays, so "
        "the surrogate is not held to it."
    )
    if note not in data.notes:
        data.notes.append(note)


def told_by(settings: NetworkSettings, given: Given) -> NetworkSettings:
    """The settings with what the surrogate is told filled in: what is named, or else what differs in the data."""
    if settings.told is not None:
        return settings
    every = {**given.conditions, **{name: course.values for name, course in given.inputs.items()}}
    differing = [name for name, values in every.items() if bool((values != values.flatten()[0]).any())]
    names = differing if settings.given is None else list(settings.given)
    if strange := sorted(set(names) - given.names):
        have = ", ".join(sorted(given.names)) or "nothing"
        raise ValueError(f"synthetic.given: {', '.join(strange)} is not given by the data; they give {have}.")
    told = tuple(
        ToldOne(name=name, course=name in given.inputs, field=every[name].dim() > 1 + (name in given.inputs))
        for name in sorted(names)
    )
    return settings.model_copy(update={"told": told})


def way_of(settings: NetworkSettings) -> Way:
    """How the network gets the numbers that it is told."""
    return settings.conditioning if network.takes(network.find(settings.network), "numbers") else "channels"


def build_told(settings: NetworkSettings) -> Told | None:
    """What a surrogate is told, before its statistics are known."""
    kinds: dict[bool, list[Condition]] = {False: [], True: []}
    for one in settings.told or ():
        kinds[one.field].append((Input if one.course else Condition)(one.name, 1.0))
    return Told(kinds[False], kinds[True], way_of(settings)) if settings.told else None


def build_network(settings: NetworkSettings, layout: Layout, seed: int) -> nn.Module:
    """The network inside the surrogate, which needs no data where the settings are settled."""
    thing, told = network.find(settings.network), build_told(settings)
    given = {setting.name: getattr(settings, setting.name) for setting in network.settings(thing)}
    if told is not None:
        further = (Field(f"given {channel}", static=True) for channel in range(told.channels))
        layout = replace(layout, fields=(*layout.fields, *further))
        given |= {"numbers": told.modulating} if told.modulating else {}

    def one(member: int) -> nn.Module:
        # The first of an ensemble is what stands alone without one.
        own = {"seed": seed_of(seed, member) if member else seed} if network.takes(thing, "seed") else {}

        def build(layout: Layout) -> nn.Module:
            built: nn.Module = thing(layout, **given, **own)
            return built

        return WithPositions(layout, build, settings.axes) if settings.axes else build(layout)

    def whole() -> nn.Module:
        return one(0) if settings.ensemble == 1 else Ensemble([one(member) for member in range(settings.ensemble)])

    # Adam keeps two numbers beside each weight and its gradient.
    require_room(
        (4, _weights(whole)), 4, "the surrogate with its optimiser", "choose a smaller width, depth or kernel"
    )
    return whole()


def _weights(build: Callable[[], nn.Module]) -> int:
    """How many a network has, before any memory is taken; 0 for one that looks at values while it is built."""
    try:
        with torch.device("meta"), torch_seeded(0):
            return sum(parameter.numel() for parameter in build().parameters())
    except (RuntimeError, TypeError):  # what torch raises for values that are not there
        return 0


def build_store(settings: s.Store) -> Store:
    """The store with its budgets. Refuses a cache directory of somebody else at once."""
    memory, disk = settings.memory_budget_gb, settings.disk_budget_gb
    return Store(
        Path(settings.cache_dir),
        memory_budget=None if memory == "auto" else int(memory * GB),
        disk_budget=None if disk == "auto" else int(disk * GB),
        placement=settings.placement,
    )


def build_alpha(settings: s.Alpha, cycles: int) -> Alpha:
    """How much generated data count."""
    match settings:
        case s.FixedAlpha():
            return cotwin.training.alpha.fixed(settings.value)
        case s.LinearAlpha():
            return cotwin.training.alpha.linear(settings.first, settings.last, cycles)
        case s.AutoAlpha():
            return cotwin.training.alpha.auto(settings.cap)


def build_hybrid(
    experiment: s.Experiment, data: Dataset, store: Store, alpha: Alpha, simulator: Stepper | None = None
) -> HybridTrainer:
    """Both models, their trainers and the cycle; nothing is trained yet. The same settings build the same.

    simulator: calibrated already, in the place of the one that the settings say.
    """
    device = find_device(experiment.device)
    _require_frames(data)
    # Layers of models that take no seed draw from torch's own generator.
    with torch_seeded(experiment.seed):
        if simulator is None:
            simulator = build_physical(experiment.physical, data.layout, data.train.states, data.given)
        physical = simulator.to(device)
        synthetic = build_synthetic(experiment.synthetic, data, physical, experiment.seed).to(device)
    if data.train.states.dtype == torch.float64:
        physical, synthetic = physical.double(), synthetic.double()
    priors = build_priors(experiment.known_beforehand, physical)
    # The windows of both go to both.
    needs_given = physical.takes_given or synthetic.takes_given
    moved = _moving(experiment.synthetic, physical, data, experiment.seed)
    return HybridTrainer(
        _learner(experiment, "physical", physical, data, priors, needs_given, physical),
        replace(_learner(experiment, "synthetic", synthetic, data, {}, needs_given, physical), moved=moved),
        store=store,
        alpha=alpha,
        generated_per_real=experiment.hybrid.generated_per_real,
        fresh_starts=experiment.hybrid.fresh_starts,
        order=experiment.hybrid.order,
        seed=experiment.seed,
    )


def _moving(settings: NetworkSettings, physical: Stepper, data: Dataset, seed: int) -> Callable[[Windows], Windows]:
    """Puts windows through the simulator's symmetries; not where fields are given, which would have to move too."""
    symmetries, told = physical.symmetries, settled_synthetic(settings, data, physical).told
    if not settings.augment or not symmetries or any(one.field for one in told or ()):
        return lambda windows: windows
    # Another seed than that of the windows' order, which counts epochs too.
    seed = seed_of(seed, *b"moves")
    return lambda windows: MovedWindows(windows, symmetries, data.layout, seed)


def _require_frames(data: Dataset) -> None:
    """Raise ValueError where times are so uneven that no state follows another at a step."""
    train = data.train
    if train.between is None or train.mask is None:
        return
    seen = shown(train.mask, train.layout)
    if not bool((seen[:, 1:] & seen[:, :-1]).any()):
        raise ValueError(
            f"times are so uneven that no two states lie at successive steps of {train.layout.dt:.6g}, and training "
            "needs such; choose the step with data.dt, or how far beside one a state may lie with "
            "data.dt_tolerance, or interpolate in time. cotwin estimate uses all states as they are."
        )


def _learner(
    experiment: s.Experiment,
    role: Role,
    stepper: Stepper,
    data: Dataset,
    priors: Mapping[str, Prior],
    needs_given: bool,
    physical: Stepper,
) -> Learner:
    settings: LearnerSettings = getattr(experiment, role)
    train = data.train
    window = data.steps(settings.window, f"{role}.window")
    given, begun = train.given if needs_given else None, data.starts
    # What the simulator filled it does not learn from.
    mask = data.sure if role == "synthetic" and data.sure is not None else train.mask
    # At the sensors themselves: on the grid nothing is measured.
    readings = train.sensors if role == "physical" else None
    if readings is not None and begun is not None:
        begun = begun & read_after(readings, begun, window)
    elif mask is not None and begun is not None:
        begun = begun & shows_after(mask, train.layout, window)
    real = SlidingWindows(train.states, window, mask, settings.stride, begun, given, readings)
    changing = real if readings is None else SlidingWindows(train.states, window, data.sure, 1, begun)
    loss = RolloutLoss.by_persistence(changing, train.layout.static_channels, train.layout)
    optimizer = settings.optimizer
    total = settings.warmup_steps + experiment.hybrid.cycles * settings.steps
    trainer = Trainer(
        stepper,
        loss,
        data.validation,
        descent=build_descent(optimizer, stepper),
        batch_size=settings.batch_size,
        schedule=build_schedule(optimizer, total),
        averaging=isinstance(optimizer, Batched) and optimizer.average,
        penalty=Penalty(priors, real.scored_values(train.layout.static_channels)) if priors else None,
        validate_every=settings.validate_every,
        seed=experiment.seed,
    )
    try:
        begun_from = _starts(experiment, role, real, data, physical)
    except ValueError as error:
        raise ValueError(f"{role}.starts: {error}") from error
    return Learner(trainer, real, settings.steps, settings.warmup_steps, begun_from)


def _starts(experiment: s.Experiment, role: Role, real: SlidingWindows, data: Dataset, physical: Stepper) -> Kinds:
    """Of the kind that is set; for auto of all kinds that the layout and the data allow."""
    settings: LearnerSettings = getattr(experiment, role)
    kinds: dict[str, Callable[[], Starts]] = {
        kind.__name__: partial(_simulated, kind, experiment, settings, real, data, physical)
        for kind in (starts.simulated, starts.rearranged)
    }
    kinds["perturbed"] = lambda: starts.perturbed(real.starts(), data.layout)
    kinds["real"] = lambda: starts.real(real.starts())
    if settings.starts != "auto":
        return {settings.starts: kinds[settings.starts]()}
    built: dict[str, Starts] = {}
    for name, build in kinds.items():
        if name == "real" and "perturbed" in built:
            continue  # shifted states are real ones, and more
        with suppress(ValueError):  # what the layout does not allow
            built[name] = build()
    return built


def _simulated(
    kind: Callable[..., Starts],
    experiment: s.Experiment,
    settings: LearnerSettings,
    real: SlidingWindows,
    data: Dataset,
    physical: Stepper,
) -> Starts:
    initial, given = data.initial
    obstacle = getattr(experiment.physical, "obstacle", None)
    # A staggered flow stops at solid cells by itself, and would get a divergence if it were stopped here.
    solid = None
    if isinstance(obstacle, str) and not physical.staggered:
        solid = solid_cells(initial, obstacle, data.layout)
    return kind(
        initial,
        data.layout,
        data.train.num_frames - 1,
        given if real.given is not None else None,
        real.window_shape[0] - 1,
        reach=settings.reach,
        staggered=physical.staggered,
        solid=solid,
    )
