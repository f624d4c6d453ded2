"""Ways to roll out: many sets of parameters at once, in little memory, compiled, solved more finely or coarsely."""

from cotwin.rollouts.batched import (
    at_common_pace,
    is_batched,
    rollout_each,
    rollout_paired,
    rollout_sets,
    rollout_with,
)
from cotwin.rollouts.checkpointed import Checkpointed, checkpointed
from cotwin.rollouts.coarsened import Coarsened
from cotwin.rollouts.compiled import Compiled
from cotwin.rollouts.refined import Refined
from cotwin.rollouts.substepped import Substepped
from cotwin.rollouts.wrapper import Wrapper

__all__ = [
    "Checkpointed",
    "Coarsened",
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
