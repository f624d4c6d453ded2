"""The initial states of a problem's rollouts: known, or fields whose weights are unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.estimation.measurements import NoisyStarts, start_modes
from cotwin.layout import Layout


@dataclass(frozen=True)
class Starts:
    """s = guess + deviation · Σ_k ε_k mode_k in the channels that move, ε white; s = guess where there are no modes.

    guess: (B, C, *S). moving: the channels. noisy: what is known of ε's field; None where starts are known exactly.
    """

    guess: Float[Tensor, "B C *S"]
    moving: Int[Tensor, " V"]
    noisy: NoisyStarts | None = None
    modes: Float[Tensor, "n *S"] | None = None

    @classmethod
    def of(cls, given: Float[Tensor, "B C *S"] | NoisyStarts, layout: Layout, like: Tensor) -> Starts:
        """Of a layout, where a tensor is, in its precision."""
        moving = [channel for channel, fixed in enumerate(layout.static_channels) if not fixed]
        places = torch.tensor(moving, dtype=torch.long, device=like.device)
        if isinstance(given, NoisyStarts):
            return cls(given.guess.to(like), places).with_prior(given, layout)
        return cls(given.to(like), places)

    def with_prior(self, noisy: NoisyStarts, layout: Layout) -> Starts:
        """With the guess and the field of others."""
        guess = noisy.guess.to(self.guess)
        modes = start_modes(layout, noisy.length, noisy.share).to(guess)
        return replace(self, guess=guess, noisy=noisy, modes=modes)

    @property
    def size(self) -> int:
        """n, numbers in ε of one start."""
        return 0 if self.modes is None else len(self.moving) * len(self.modes)

    def states(self, white: Float[Tensor, "*P B n"]) -> Float[Tensor, "*P B C *S"]:
        """The initial states that ε means."""
        states = self.guess.expand(*white.shape[:-1], *self.guess.shape[1:])
        if self.noisy is None or self.modes is None:
            return states
        weights = white.unflatten(-1, (len(self.moving), len(self.modes)))
        weights = (weights * self.noisy.deviation.to(weights)[self.moving, None]).to(self.guess)
        return states.index_add(white.dim() - 1, self.moving, torch.tensordot(weights, self.modes, dims=1))

    def white(self, states: Float[Tensor, "P B C *S"]) -> Float[Tensor, "P B n"]:
        """ε of nearly these states."""
        assert self.noisy is not None
        assert self.modes is not None
        apart = (states - self.guess).index_select(2, self.moving).flatten(3).double()
        apart = apart / self.noisy.deviation.to(apart)[self.moving, None]
        modes = self.modes.flatten(1).double()
        # They are orthogonal: products of eigenvectors.
        return (apart @ modes.T / modes.square().sum(dim=1)).flatten(2)
