"""What draws starts, and what draws the initial states of the rollouts that some of them lie on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.stepper import Stepper
from cotwin.windows.start_states import StartStates

Starts = Callable[[int, Stepper, torch.Generator], StartStates]
"""(how many, the teacher, randomness) -> states (M, C, *S), drawn now or as they are asked for."""


class InitialStates(NamedTuple):
    """Random initial states, and of each the real trajectory whose static fields it has, and what is given there."""

    states: Float[Tensor, "K C *S"]
    rows: Int[Tensor, " K"]


Initial = Callable[[int, torch.Generator], InitialStates]
"""(how many, randomness) -> random initial states."""
