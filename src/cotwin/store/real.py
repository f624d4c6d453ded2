"""Trajectories of a user's file, converted once and kept on the shelf `real`, whoever reads the file again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from cotwin.data.read import Options, is_self_contained, open_trajectories
from cotwin.data.room import MEMORY, Room
from cotwin.data.trajectories import Trajectories
from cotwin.given import Course, Given
from cotwin.layout import Layout
from cotwin.pieces import pieces
from cotwin.store.entry_file import Kept
from cotwin.store.hashes import content_hash
from cotwin.store.shelf import Shelf
from cotwin.store.version import code_version

MOST_BESIDE = 100_000
"""Numbers given with the states that are kept beside them; with more, a file is read each time, and so it is where
states lie beside the frames, or off the grid."""


def read_once(
    path: str | Path,
    shelf: Shelf | None,
    room: Room = MEMORY,
    most: float = math.inf,
    **options: Unpack[Options],
) -> Trajectories:
    """What `open_trajectories` gives for the same file and options; from the shelf if that file was read before.

    A file is known by its content, not by its name or date (`content_hash` says how that of a large one is
    remembered); one that takes content from other files is read each time. Raises what `open_trajectories` does.

    room: where the states are put while they are converted. most: bytes of them that are then read into memory; more
    are mapped from the shelf.
    """
    if shelf is None or not is_self_contained(path):
        return open_trajectories(path, room=room, **options)
    key = _key(Path(path), shelf, options)
    found = shelf.load(key, most)
    if found is not None:
        return _restored(found, str(path), room)
    read = open_trajectories(path, room=room, **options)
    if read.given.size > MOST_BESIDE or read.between is not None or read.sensors is not None:
        return read
    shelf.save(
        key,
        tuple(read.states.shape),
        _parts(read.states),
        _meta(read),
        None if read.mask is None else _parts(read.mask),
    )
    found = shelf.load(key, most) if read.in_file else None
    return read if found is None else _restored(found, str(path), room)


def _key(path: Path, shelf: Shelf, options: Options) -> str:
    about = (content_hash(path, shelf.root), code_version(), sorted(options.items()))
    return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


def _parts(states: Tensor) -> Iterator[Tensor]:
    return (piece.of(states) for piece in pieces(states))


def _meta(trajectories: Trajectories) -> dict[str, Any]:
    return {
        "content": Path(trajectories.source).name,
        "layout": asdict(trajectories.layout),
        "notes": list(trajectories.notes),
        "trajectory": trajectories.given.trajectory.tolist(),
        "frame": trajectories.given.frame.tolist(),
        "conditions": {name: values.tolist() for name, values in trajectories.given.conditions.items()},
        "inputs": {
            name: (course.values.tolist(), course.per_step) for name, course in trajectories.given.inputs.items()
        },
    }


def _restored(kept: Kept, source: str, room: Room) -> Trajectories:
    states, meta, mask = kept
    conditions = {name: torch.tensor(values, dtype=states.dtype) for name, values in meta["conditions"].items()}
    inputs = {
        name: Course(torch.tensor(values, dtype=states.dtype), per_step)
        for name, (values, per_step) in meta["inputs"].items()
    }
    given = Given(torch.tensor(meta["trajectory"]), torch.tensor(meta["frame"]), conditions, inputs)
    layout, notes = Layout.from_dict(meta["layout"]), tuple(meta["notes"])
    return Trajectories(states, layout, mask, source, notes, given, room=room)
