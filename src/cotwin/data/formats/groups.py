"""Groups of a file that hold the same arrays, run0, run1, …: each is a trajectory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cotwin.data.stored.arrays import REAL, Arrays, Held, Stacked, StoredArray

NUMBERED = re.compile(r"((?:[^/\d]*/)*[^/]*\d[^/]*)/(.+)")
"""A path of which one part has a number, up to that part; and the rest."""
SMALL = 2**16
"""Values of a row that is compared between groups."""


def of_each_group(arrays: Arrays) -> tuple[Arrays, tuple[str, ...]]:
    """With one array for all groups whose names differ in their numbers alone, and a note that says so.

    Rows that are the same in all groups are taken once; other arrays get an axis for trajectories, first. Where some
    of the groups lack an array, or have another shape of it, all stay as they are.
    """
    groups: dict[str, dict[str, StoredArray]] = {}
    alone: dict[str, StoredArray] = {}
    for name, array in arrays.named.items():
        match = NUMBERED.fullmatch(name)
        if match is None:
            alone[name] = array
        else:
            groups.setdefault(match[1], {})[match[2]] = array
    kinds = {re.sub(r"\d+", "#", name) for name in groups}
    every = list(groups.values())
    if len(kinds) != 1 or len(groups) < 2 or any(_shapes(one) != _shapes(every[0]) for one in every):
        return arrays, ()
    order = sorted(groups, key=lambda name: [int(one) for one in re.findall(r"\d+", name)])
    parent = order[0].rpartition("/")[0]
    joined = {f"{parent}/{name}".lstrip("/"): _joined([groups[group][name] for group in order]) for name in every[0]}
    if joined.keys() & alone.keys():
        return arrays, ()
    words = {f"{parent}/{name}".lstrip("/"): arrays.words.get(f"{order[0]}/{name}", {}) for name in every[0]}
    count = f"{len(order)} trajectories, or states where these have no times"
    note = f"{order[0]} to {order[-1]} hold the same arrays: {count}"
    return replace(arrays, named={**alone, **joined}, words={**arrays.words, **words}), (note,)


def _shapes(group: Mapping[str, StoredArray]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (one.shape, one.dtype.kind) for name, one in group.items()}


def _joined(parts: list[StoredArray]) -> StoredArray:
    first = parts[0]
    if first.dtype.kind not in (*REAL, "c"):
        return first
    if first.ndim == 0:
        # A column: a row might be one of times.
        return Held(np.stack([one.values for one in parts])[:, None], first.unit)
    row = first.ndim == 1 and first.shape[0] <= SMALL
    if row and all(np.array_equal(first.values, one.values) for one in parts[1:]):
        return first
    return Stacked(parts)
