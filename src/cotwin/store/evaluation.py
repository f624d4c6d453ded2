"""Full rollouts of trained models, made once and kept on the shelf `evaluation` for all reports to come."""

from __future__ import annotations

from dataclasses import asdict

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.stepper import Stepper, rollout
from cotwin.store.fingerprint import fingerprint
from cotwin.store.shelf import Shelf
from cotwin.windows import as_start_states


def rollout_once(
    stepper: Stepper, starts: Float[Tensor, "N C *S"], num_steps: int, shelf: Shelf | None
) -> Float[Tensor, "N T C *S"]:
    """`rollout` of a model with frozen weights, in eval mode, on the CPU; from the shelf if it was made before.

    Raises DivergenceError.
    """
    key = "" if shelf is None else fingerprint(stepper, as_start_states(starts), len(starts), num_steps)
    found = None if shelf is None else shelf.load(key)
    if found is not None:
        return found[0]
    with torch.no_grad():
        states = rollout(stepper, starts.to(stepper.device), num_steps).cpu()
    if shelf is not None:
        content = f"{type(stepper).__name__}, {len(starts)} × {num_steps} steps"
        meta = {"content": content, "layout": asdict(stepper.layout)}
        shelf.save(key, tuple(states.shape), states[:, None].unbind(), meta)
    return states
