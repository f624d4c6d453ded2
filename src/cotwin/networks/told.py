"""What a network is told beside the state: numbers and fields from outside, in units of their own spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cotwin.given import Given
from cotwin.parameters import Condition, Input

Way = Literal["modulation", "channels"]


class Told(nn.Module):
    """Conditions and inputs of a surrogate, bound to samples as a simulator's parameters are.

    numbers: of each sample, at this time. fields: on the grid. way: how a network gets the numbers: to scale and
    shift its features by, or as further channels that are the same everywhere.
    spread: of each of numbers and fields, in this order, mean, standard deviation, least and largest value in the
    training data; 0, 1, −∞, ∞ if not given.
    """

    spread: Tensor

    def __init__(
        self,
        numbers: Sequence[Condition],
        fields: Sequence[Condition],
        way: Way = "modulation",
        spread: Float[Tensor, "K 4"] | None = None,
    ) -> None:
        super().__init__()
        self.numbers, self.fields, self.way = nn.ModuleList(numbers), nn.ModuleList(fields), way
        unknown = torch.tensor([0.0, 1.0, -torch.inf, torch.inf]).repeat(len(numbers) + len(fields), 1)
        self.register_buffer("spread", unknown if spread is None else spread.clone())

    @classmethod
    def fitted(cls, given: Given, names: Sequence[str], way: Way = "modulation") -> Told:
        """Of what is given with training trajectories, by these names, with its mean and standard deviation.

        Raises ValueError for a name that is not given.
        """
        given.require(names, 0)
        every = {
            name: given.inputs[name].values if name in given.inputs else given.conditions[name] for name in names
        }
        # A number has the samples' axis, as an input also that of time; a field those of the grid besides.
        is_field = {name: values.dim() > 1 + (name in given.inputs) for name, values in every.items()}
        order = sorted(names, key=lambda name: is_field[name])
        kinds = [
            (Input if name in given.inputs else Condition)(name, float(every[name].abs().max())) for name in order
        ]
        count = sum(not is_field[name] for name in order)
        measured = [
            (one.mean(), one.std(correction=0), one.min(), one.max()) for one in (every[name] for name in order)
        ]
        spread = torch.tensor(measured)
        spread[:, 1] = torch.where(spread[:, 1] > 0, spread[:, 1], 1.0)
        return cls(kinds[:count], kinds[count:], way, spread)

    def strange(self, given: Given) -> list[str]:
        """What of this lies outside the training data, in words."""
        told = []
        for one, (_, _, low, high) in zip((*self.numbers, *self.fields), self.spread.tolist(), strict=True):
            assert isinstance(one, Condition)
            values = one.known(given)
            least, most = float(values.min()), float(values.max())
            if least < low or most > high:
                told.append(f"{one.name} is {least:.4g} to {most:.4g}, in the training data {low:.4g} to {high:.4g}")
        return told

    @property
    def modulating(self) -> int:
        """How many numbers scale and shift features."""
        return len(self.numbers) if self.way == "modulation" else 0

    @property
    def channels(self) -> int:
        """How many channels come beside the state's."""
        return len(self.fields) + (len(self.numbers) if self.way == "channels" else 0)

    def forward(self, state: Float[Tensor, "B C *S"]) -> tuple[Float[Tensor, "B K"] | None, list[Tensor]]:
        """Numbers that modulate, None without any; and channels (B, 1, *S)."""
        count, ones = len(self.numbers), (1,) * (state.dim() - 1)
        rows = [one().to(state).view(-1, *ones) for one in self.numbers]
        means, scales = self.spread[:, 0], self.spread[:, 1]
        numbers = [(row - m) / s for row, m, s in zip(rows, means, scales, strict=False)]
        fields = [
            ((one().to(state) - m) / s).expand_as(state[:, :1])
            for one, m, s in zip(self.fields, means[count:], scales[count:], strict=True)
        ]
        if not numbers:
            return None, fields
        if self.way == "channels":
            return None, [*(number.expand_as(state[:, :1]) for number in numbers), *fields]
        return torch.cat(numbers, dim=1).flatten(1).expand(len(state), count), fields
