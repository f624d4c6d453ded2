"""Full rollouts of trained models, made once and kept on the shelf `evaluation` for all reports to come."""

from __future__ import annotations

from dataclasses import asdict

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.rollouts.wrapper import Wrapper
from cotwin.stepper import Stepper, rollout
from cotwin.store.fingerprint import fingerprint
from cotwin.store.shelf import Shelf


class Remembered(Wrapper):
    """A trained model whose rollouts are made once: from the shelf if they were made before, even by another process.

    inner: the model, whose weights do not change any more; it is put in eval mode. Gradients end
    here. `cotwin.rollout` raises DivergenceError as for the model itself.
    """

    batched = True

    def __init__(self, inner: Stepper, shelf: Shelf) -> None:
        super().__init__(inner.eval())
        self.vmaps = False
        self.shelf = shelf
        self.eval()

    def rollout(self, state: Float[Tensor, "B C *S"], num_steps: int) -> Float[Tensor, "B T C *S"]:
        key = fingerprint(self.inner, state.cpu(), num_steps)
        found = self.shelf.load(key)
        if found is not None:
            return found[0].to(state)
        with torch.no_grad():
            states = rollout(self.inner, state, num_steps)
        content = f"{type(self.inner).__name__}, {len(state)} × {num_steps} steps"
        meta = {"content": content, "layout": asdict(self.layout)}
        self.shelf.save(key, tuple(states.shape), states.cpu()[:, None].unbind(), meta)
        return states
