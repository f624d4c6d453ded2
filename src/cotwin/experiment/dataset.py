"""The data of an experiment: what trains, what is held out, what is looked at once at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.data.trajectories import Trajectories
from cotwin.experiment.unseen import Unseen
from cotwin.given import Given
from cotwin.layout import Layout
from cotwin.networks.drift import keeps_means
from cotwin.networks.surrogate import Statistics, measure
from cotwin.training.held_out import HeldOut


@dataclass(frozen=True)
class Dataset:
    """Trajectories of one system, split.

    train: where its mask is not True, its states are filled (`holes.fill_holes`), where they can be.
    starts: the training frames that a rollout may start from, (N, T); None for all.
    test: None where none are set aside. truth: parameters that are known, by name, on the layout's grid.
    notes: what a person should know about the split.
    unseen: where rollouts start from states that have to be estimated first; then the starts here are guesses.
    sure: of estimated states, how sure each training value is, in [0, 1]; None where none are.
    """

    train: Trajectories
    validation: HeldOut
    test: HeldOut | None
    truth: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    starts: Bool[Tensor, "N T"] | None = None
    unseen: Unseen | None = None
    sure: Float[Tensor, "N T C *S"] | None = None

    @property
    def given(self) -> list[Given]:
        """What comes from outside with all trajectories, those that train first."""
        held_out = [one.given for one in (self.validation, self.test) if one is not None and one.given is not None]
        return [self.train.given, *held_out]

    @property
    def layout(self) -> Layout:
        """Of all trajectories."""
        return self.train.layout

    @cached_property
    def statistics(self) -> Statistics:
        """Of the training data, for surrogates."""
        return measure(self.layout, self.train.states, self.train.mask if self.sure is None else self.sure > 0)

    @cached_property
    def keeping(self) -> frozenset[int]:
        """Channels whose mean the training data keep, as far as their noise lets one see."""
        train = self.train
        kept = keeps_means(self.layout, train.states, self.statistics, train.mask)
        return frozenset(channel for channel, one in enumerate(kept) if one)

    @property
    def initial(self) -> tuple[Float[Tensor, "M C *S"], Given]:
        """The first state of each training trajectory that a rollout may start from, and what is given with it."""
        if self.starts is None:
            return self.train.states[:, 0], self.train.given
        first, there = self.starts.int().argmax(dim=1), self.starts.any(dim=1)
        given = self.train.given.begun_at(first).rows(there.nonzero().flatten())
        return self.train.states[torch.arange(len(first)), first][there], given

    @property
    def interpolated(self) -> list[HeldOut]:
        """The held-out trajectories with starts that were not wholly observed; they stay with the run."""
        return [one for one in (self.validation, self.test) if one is not None and one.about]

    def steps(self, window: int | Literal["full"], setting: str) -> int:
        """Of a training window. Raises ValueError, naming the setting, where the trajectories are shorter."""
        frames = self.train.num_frames
        steps = frames - 1 if window == "full" else window
        if steps >= frames:
            raise ValueError(
                f"{setting}: {steps} steps need {steps + 1} frames, the training trajectories have {frames}; "
                f"use at most {frames - 1}, or full."
            )
        return steps
