"""Trajectories of a user's file, converted once and kept on the shelf `real`, whoever reads the file again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from cotwin.data.read import Options, is_self_contained, open_trajectories
from cotwin.data.trajectories import Trajectories
from cotwin.given import Course, Given
from cotwin.layout import Layout
from cotwin.store.shelf import Shelf
from cotwin.store.version import code_version

MOST_BESIDE = 100_000
"""Numbers given with the states that are kept beside them; with more, a file is read each time, and so it is where
states lie beside the frames."""


def read_once(path: str | Path, shelf: Shelf | None, **options: Unpack[Options]) -> Trajectories:
    """What `open_trajectories` gives for the same file and options; from the shelf if that file was read before.

    A file is known by its content, not by its name or date; one that takes content from other files is read each
    time. Raises what `open_trajectories` does.
    """
    if shelf is None or not is_self_contained(path):
        return open_trajectories(path, **options)
    key = _key(path, options)
    found = shelf.load(key)
    if found is not None:
        return _restored(*found, source=str(path))
    trajectories = open_trajectories(path, **options)
    if trajectories.given.size > MOST_BESIDE or trajectories.between is not None:
        return trajectories
    shelf.save(key, tuple(trajectories.states.shape), _rows(trajectories), _meta(trajectories))
    return trajectories


def _key(path: str | Path, options: Options) -> str:
    with Path(path).open("rb") as file:
        content = hashlib.file_digest(file, "sha256")
    content.update(repr((code_version(), sorted(options.items()))).encode())
    return content.hexdigest()[:32]


def _rows(trajectories: Trajectories) -> Iterator[Tensor]:
    """One trajectory after the other; not a number where nothing was observed."""
    for index in range(len(trajectories)):
        states = trajectories.states[index : index + 1]
        if trajectories.mask is not None:
            states = states.masked_fill(~trajectories.mask[index : index + 1], torch.nan)
        yield states


def _meta(trajectories: Trajectories) -> dict[str, Any]:
    return {
        "content": Path(trajectories.source).name,
        "layout": asdict(trajectories.layout),
        "masked": trajectories.mask is not None,
        "notes": list(trajectories.notes),
        "trajectory": trajectories.given.trajectory.tolist(),
        "frame": trajectories.given.frame.tolist(),
        "conditions": {name: values.tolist() for name, values in trajectories.given.conditions.items()},
        "inputs": {
            name: (course.values.tolist(), course.per_step) for name, course in trajectories.given.inputs.items()
        },
    }


def _restored(states: Tensor, meta: dict[str, Any], source: str) -> Trajectories:
    mask = torch.isfinite(states) if meta["masked"] else None
    conditions = {name: torch.tensor(values, dtype=states.dtype) for name, values in meta["conditions"].items()}
    inputs = {
        name: Course(torch.tensor(values, dtype=states.dtype), per_step)
        for name, (values, per_step) in meta["inputs"].items()
    }
    return Trajectories(
        states if mask is None else states.nan_to_num_(nan=0.0),
        Layout.from_dict(meta["layout"]),
        mask,
        source,
        tuple(meta["notes"]),
        Given(torch.tensor(meta["trajectory"]), torch.tensor(meta["frame"]), conditions, inputs),
    )
