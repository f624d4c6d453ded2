"""A trained model rolled out from the states of a file, into a file."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.initial import read_initial
from cotwin.data.room import require_room
from cotwin.data.write import require_new, write_npz
from cotwin.experiment.trained import load_run
from cotwin.networks.surrogate import Surrogate
from cotwin.stepper import rollout
from cotwin.training.hybrid import Role

logger = logging.getLogger(__name__)

STRANGE = 20.0
"""Standard deviations from the mean of the training data, beyond which no state like it was seen: sharp fronts and
noise stay below, other units do not."""


def predict(
    run: Path, role: Role, initial: Path, frame: int, steps: int, out: Path, axes: str | None = None
) -> Float[Tensor, "N T C *S"]:
    """From one frame of every trajectory in `initial`, so many data intervals on; the start is the first state.

    axes: the order of the axes of the fields in `initial`, as for `read_trajectories`.

    A warning names channels that start far outside the data that a surrogate was trained on.

    Raises RunError for a run that cannot be used, ValueError or OSError for files, DivergenceError.
    """
    require_new(out)
    trained = load_run(run)
    start = read_initial(initial, trained.layout, frame, axes).to(trained.precision)
    shape = (len(start), steps + 1, *start.shape[1:])
    require_room(
        shape, start.element_size(), "what is to be predicted", "take fewer steps at a time, each from the last"
    )
    if isinstance(surrogate := trained.model(role), Surrogate):
        _warn_of_strangers(start, surrogate)
    with torch.no_grad():
        states = rollout(trained.model(role), start, steps)
    write_npz(out, states, trained.layout)
    return states


def _warn_of_strangers(start: Float[Tensor, "N C *S"], surrogate: Surrogate) -> None:
    over_grid = (-1, *(1 for _ in surrogate.layout.grid))
    away = (start - surrogate.mean.view(over_grid)).abs() / surrogate.scale.view(over_grid)
    for name, largest in zip(surrogate.layout.channel_names, away.transpose(0, 1).flatten(1).amax(1), strict=True):
        if largest > STRANGE:
            logger.warning(
                "%s starts up to %.3g standard deviations from the mean of the training data: the surrogate has seen "
                "nothing like it. Check its units, or take --model physical.",
                name,
                largest,
            )
