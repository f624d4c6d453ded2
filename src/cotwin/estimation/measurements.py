"""What was measured along rollouts, with which noise, and where the rollouts start."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.observation import Observation

Noise = float | tuple[float, ...] | None


@dataclass(frozen=True)
class Measurements:
    """Values y = O(states) + noise, independent and normal.

    observation: O, what is seen of the rollouts.
    values: y, (M,).
    noise: its standard deviation, in the unit of the values: a number, or one for each channel of the layout; None
        where it is not known and has to be estimated, one number for each channel.

    Raises ValueError for values that do not fit the observation or are not finite, and a noise that is not positive.
    """

    observation: Observation
    values: Float[Tensor, " M"]
    noise: Noise = None

    def __post_init__(self) -> None:
        if tuple(self.values.shape) != (self.observation.size,):
            raise ValueError(
                f"values of shape {tuple(self.values.shape)} for an observation of {self.observation.size}; "
                "take them in its order, for recorded states by observation(states)."
            )
        bad = int((~torch.isfinite(self.values)).sum())
        if bad:
            raise ValueError(f"{bad} of {len(self.values)} values are not finite; leave them out of the observation.")
        if self.noise is None:
            return
        levels = (self.noise,) if isinstance(self.noise, int | float) else tuple(self.noise)
        if not all(level > 0 and math.isfinite(level) for level in levels):
            raise ValueError(
                f"noise is {self.noise}; give a positive standard deviation (for clean data what the numerics leave, "
                "say 1e-4 of the values), or None to have it estimated."
            )
        channels = self.observation.layout.channels
        if not isinstance(self.noise, int | float) and len(levels) != channels:
            raise ValueError(f"noise has {len(levels)} levels for {channels} channels; give one for each, or one.")

    def deviation(self) -> Float[Tensor, " C"]:
        """The noise of each channel; ones where it is not known."""
        level = 1.0 if self.noise is None else self.noise
        return torch.as_tensor(level, dtype=torch.float64).expand(self.observation.layout.channels).clone()


@dataclass(frozen=True)
class NoisyStarts:
    """Initial states that are not known exactly: s = guess + deviation · ε, ε white, estimated with the parameters.

    guess: (B, C, *S), for instance the first observed states, filled where nothing was seen.
    deviation: how far s may be from the guess, in the unit of each channel, (C,). The noise of the guess where it was
        measured and is not observed as well; several times the deviation of the field itself where the first frame
        is observed, or the guess was not measured. Less draws the starts to a guess that is no information, and a
        start that is drawn to zero seems to have decayed less: a diffusivity would come out too small.
    """

    guess: Float[Tensor, "B C *S"]
    deviation: Float[Tensor, " C"]

    def __post_init__(self) -> None:
        if self.deviation.shape != self.guess.shape[1:2]:
            raise ValueError(
                f"deviation of shape {tuple(self.deviation.shape)} for {self.guess.shape[1]} channels; one for each."
            )
        if not bool((self.deviation > 0).all() & self.deviation.isfinite().all()):
            raise ValueError(
                f"deviations of the starts are {self.deviation.tolist()}; they must be positive. Starts that are "
                "known exactly are given as a tensor."
            )
