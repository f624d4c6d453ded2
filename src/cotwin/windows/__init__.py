"""Stretches of trajectories, served in batches: what both models train on.

`windows.py` says what windows are; `sliding.py` cuts real ones, `rollout.py` has a teacher make them from the states
of `starts.py`, `stored.py` reads kept ones, `joined.py` weighs both, `moved.py` puts them through symmetries, and
`serving.py` brings batches to the trainer.
"""

from cotwin.windows.joined import JoinedWindows
from cotwin.windows.moved import MovedWindows
from cotwin.windows.rollout import RolloutWindows
from cotwin.windows.sliding import SlidingWindows
from cotwin.windows.start_states import DrawnStates, PickedStates, Places, StartStates, as_start_states
from cotwin.windows.stored import Source, StoredWindows
from cotwin.windows.windows import Batch, Windows, collate, copy_windows

__all__ = [
    "Batch",
    "DrawnStates",
    "JoinedWindows",
    "MovedWindows",
    "PickedStates",
    "Places",
    "RolloutWindows",
    "SlidingWindows",
    "Source",
    "StartStates",
    "StoredWindows",
    "Windows",
    "as_start_states",
    "collate",
    "copy_windows",
]
