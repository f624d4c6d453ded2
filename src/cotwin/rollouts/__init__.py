"""Ways to roll out: for many sets of parameters at once, in little memory, compiled, solved more finely."""

from cotwin.rollouts.batched import (
    at_common_pace,
    is_batched,
    rollout_each,
    rollout_paired,
    rollout_sets,
    rollout_with,
)
from cotwin.rollouts.checkpointed import Checkpointed, checkpointed
from cotwin.rollouts.compiled import Compiled
from cotwin.rollouts.refined import Refined
from cotwin.rollouts.substepped import Substepped
from cotwin.rollouts.wrapper import Wrapper

__all__ = [
    "Checkpointed",
    "Compiled",
    "Refined",
    "Substepped",
    "Wrapper",
    "at_common_pace",
    "checkpointed",
    "is_batched",
    "rollout_each",
    "rollout_paired",
    "rollout_sets",
    "rollout_with",
]
