"""From settings and data to models, trainers and the cycle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

import cotwin.training.alpha
import cotwin.windows.starts
from cotwin.data.room import require_room
from cotwin.estimation.priors import Prior
from cotwin.experiment import settings as s
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.device import find_device
from cotwin.experiment.learner_settings import (
    LBFGS,
    Adam,
    LearnerSettings,
    LevenbergMarquardt,
    NetworkSettings,
    Optimizer,
)
from cotwin.experiment.prior_settings import build_priors
from cotwin.experiment.simulators import build_physical
from cotwin.layout import Layout
from cotwin.networks.positions import WithPositions
from cotwin.networks.surrogate import Surrogate
from cotwin.registry import network
from cotwin.stepper import Stepper
from cotwin.store.store import Store
from cotwin.training.alpha import Alpha
from cotwin.training.descent import Descent, GradientDescent, Still
from cotwin.training.gauss_newton import GaussNewton
from cotwin.training.hybrid import HybridTrainer, Learner
from cotwin.training.loss import RolloutLoss
from cotwin.training.penalty import Penalty
from cotwin.training.trainer import Trainer, constant, cosine
from cotwin.windows import SlidingWindows
from cotwin.windows.starts import Starts

GB = 10**9


def build_synthetic(settings: NetworkSettings, data: Dataset, seed: int) -> Stepper:
    """The untrained surrogate, normalised by the training data."""
    built = build_network(settings, data.layout, seed)
    return Surrogate.fitted(built, data.layout, data.train.states, mask=data.train.mask)


def build_network(settings: NetworkSettings, layout: Layout, seed: int) -> nn.Module:
    """The network inside the surrogate, which needs no data."""
    thing = network.find(settings.network)
    given = {setting.name: getattr(settings, setting.name) for setting in network.settings(thing)}
    if network.takes(thing, "seed"):
        given["seed"] = seed

    def build(layout: Layout) -> nn.Module:
        built: nn.Module = thing(layout, **given)
        return built

    def whole() -> nn.Module:
        return WithPositions(layout, build) if settings.positions else build(layout)

    if settings.network in network.own():
        # On torch's device without memory: counted before any is taken.
        with torch.device("meta"):
            weights = sum(parameter.numel() for parameter in whole().parameters())
        # Adam keeps two numbers beside each weight and its gradient.
        require_room((4, weights), 4, "the surrogate with its optimiser", "choose a smaller width, depth or kernel")
    return whole()


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


def build_hybrid(experiment: s.Experiment, data: Dataset, store: Store, alpha: Alpha) -> HybridTrainer:
    """Both models, their trainers and the cycle; nothing is trained yet. The same settings build the same."""
    device = find_device(experiment.device)
    cycles = experiment.hybrid.cycles
    physical = build_physical(experiment.physical, data.layout, data.train.states).to(device)
    synthetic = build_synthetic(experiment.synthetic, data, experiment.seed).to(device)
    if data.train.states.dtype == torch.float64:
        physical, synthetic = physical.double(), synthetic.double()
    priors = build_priors(experiment.known_beforehand, physical)
    priors = {name: prior.to(device) for name, prior in priors.items()}
    return HybridTrainer(
        _learner(experiment.physical, physical, data, cycles, experiment.seed, priors),
        _learner(experiment.synthetic, synthetic, data, cycles, experiment.seed, {}),
        store=store,
        alpha=alpha,
        generated_per_real=experiment.hybrid.generated_per_real,
        fresh_starts=experiment.hybrid.fresh_starts,
        order=experiment.hybrid.order,
        seed=experiment.seed,
    )


def _learner(
    settings: LearnerSettings, stepper: Stepper, data: Dataset, cycles: int, seed: int, priors: Mapping[str, Prior]
) -> Learner:
    train = data.train
    window = train.num_frames - 1 if settings.window == "full" else settings.window
    if window >= train.num_frames:
        raise ValueError(
            f"window: {window} steps need {window + 1} frames, the training trajectories have {train.num_frames}; "
            f"use at most {train.num_frames - 1}, or window=full."
        )
    real = SlidingWindows(train.states, window, train.mask, settings.stride, data.starts)
    loss = RolloutLoss.by_persistence(real, train.layout.static_channels)
    optimizer = settings.optimizer
    total = settings.warmup_steps + cycles * settings.steps
    trainer = Trainer(
        stepper,
        loss,
        data.validation,
        descent=_descent(optimizer, stepper),
        batch_size=settings.batch_size,
        schedule=cosine(total) if optimizer.schedule == "cosine" else constant,
        penalty=Penalty(priors, real.scored_values(train.layout.static_channels)) if priors else None,
        validate_every=settings.validate_every,
        seed=seed,
    )
    return Learner(trainer, real, settings.steps, settings.warmup_steps, _starts(settings, real, data))


def _descent(settings: Optimizer, stepper: Stepper) -> Descent:
    if not any(parameter.requires_grad for parameter in stepper.parameters()):
        return Still()
    match settings:
        case Adam():
            return GradientDescent(torch.optim.Adam(stepper.parameters(), lr=settings.lr), clip=settings.clip)
        case LBFGS():
            # One iteration a step, so that a step means as much for every optimiser: one move of the parameters.
            lbfgs = torch.optim.LBFGS(
                stepper.parameters(),
                lr=settings.lr,
                max_iter=1,
                max_eval=25,
                history_size=settings.history,
                line_search_fn="strong_wolfe",
            )
            return GradientDescent(lbfgs)
        case LevenbergMarquardt():
            return GaussNewton(stepper)


def _starts(settings: LearnerSettings, real: SlidingWindows, data: Dataset) -> Starts:
    match settings.starts:
        case "real":
            return cotwin.windows.starts.real(real.starts())
        case "perturbed":
            return cotwin.windows.starts.perturbed(real.starts(), data.layout)
        case "simulated":
            return cotwin.windows.starts.simulated(data.initial, data.layout, data.train.num_frames - 1)
