"""A trained model rolled out from the states of a file, into a file."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.data.initial import read_initial
from cotwin.data.room import require_room
from cotwin.data.write import require_new, write_npz
from cotwin.experiment.trained import load_run
from cotwin.stepper import rollout
from cotwin.training.hybrid import Role


def predict(
    run: Path, role: Role, initial: Path, frame: int, steps: int, out: Path, axes: str | None = None
) -> Float[Tensor, "N T C *S"]:
    """From one frame of every trajectory in `initial`, so many data intervals on; the start is the first state.

    axes: the order of the axes of the fields in `initial`, as for `read_trajectories`.

    Raises RunError for a run that cannot be used, ValueError or OSError for files, DivergenceError.
    """
    require_new(out)
    trained = load_run(run)
    start = read_initial(initial, trained.layout, frame, axes).to(trained.precision)
    shape = (len(start), steps + 1, *start.shape[1:])
    require_room(
        shape, start.element_size(), "what is to be predicted", "take fewer steps at a time, each from the last"
    )
    with torch.no_grad():
        states = rollout(trained.model(role), start, steps)
    write_npz(out, states, trained.layout)
    return states
