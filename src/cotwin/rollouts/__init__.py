"""Ways to roll a stepper out: for many sets of its parameters at once, in little memory, compiled."""

from cotwin.rollouts.batched import at_common_pace, rollout_each, rollout_paired, rollout_sets, rollout_with
from cotwin.rollouts.checkpointed import Checkpointed
from cotwin.rollouts.compiled import Compiled

__all__ = [
    "Checkpointed",
    "Compiled",
    "at_common_pace",
    "rollout_each",
    "rollout_paired",
    "rollout_sets",
    "rollout_with",
]
