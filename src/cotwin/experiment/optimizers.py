"""From settings of optimisers to what moves weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from cotwin.experiment.learner_settings import LBFGS, Adam, Batched, LevenbergMarquardt, Muon, Optimizer
from cotwin.stepper import Stepper
from cotwin.training import muon
from cotwin.training.descent import Descent, GradientDescent, Still
from cotwin.training.gauss_newton import GaussNewton
from cotwin.training.trainer import Schedule, constant, cosine


def build_descent(settings: Optimizer, stepper: Stepper) -> Descent:
    """Of all weights that are to be learned; of none where there are none."""
    weights = list(stepper.parameters())
    if not any(weight.requires_grad for weight in weights):
        return Still()
    match settings:
        case Adam():
            return GradientDescent(_adam(weights, settings.lr), clip=settings.clip)
        case Muon():
            matrices = [weight for weight in weights if muon.is_matrix(weight)]
            others = [weight for weight in weights if not muon.is_matrix(weight)]
            optimizers: list[torch.optim.Optimizer] = [muon.Muon(matrices, settings.lr)] if matrices else []
            optimizers += [_adam(others, settings.adam * settings.lr)] if others else []
            return GradientDescent(*optimizers, clip=settings.clip)
        case LBFGS():
            # One iteration a step, so that a step means as much for every optimiser: one move of the parameters.
            lbfgs = torch.optim.LBFGS(
                weights,
                lr=settings.lr,
                max_iter=1,
                max_eval=25,
                history_size=settings.history,
                line_search_fn="strong_wolfe",
            )
            return GradientDescent(lbfgs)
        case LevenbergMarquardt():
            return GaussNewton(stepper)


def build_schedule(settings: Optimizer, total_steps: int) -> Schedule:
    """Factor of the learning rate at each of so many steps."""
    return cosine(total_steps) if isinstance(settings, Batched) and settings.schedule == "cosine" else constant


def _adam(weights: Sequence[nn.Parameter], lr: float) -> torch.optim.Adam:
    # In one kernel: of a small network 0.1 ms a step instead of 0.35. Complex weights and other devices have none.
    fused = all(weight.device.type in ("cpu", "cuda") and not weight.is_complex() for weight in weights)
    return torch.optim.Adam(weights, lr=lr, fused=fused)
