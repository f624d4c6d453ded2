"""What is odd in a table of readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cotwin.data.inspection.finding import Finding
from cotwin.data.tables.columns import AXES
from cotwin.data.tables.long_form import LongForm, Numbers, read_long_form

FEWEST = 8
"""Readings at one place that never change, from which on it is called dead; and values, of which one is a spike."""
FAR = 50.0
"""Times the median distance from the median, from which on a value is a spike."""


def check_table(
    path: str | Path, names: Mapping[str, str], fields: Sequence[str] | None, given: Sequence[str]
) -> tuple[list[Finding], str]:
    """What is odd, and at what was looked. Raises ValueError where it cannot be read."""
    found = read_long_form(path, names, fields, given)
    places = np.concatenate([found.lower, found.upper], axis=1)
    findings = [*_twice(found, places), *_dead(found, places), *_spikes(found)]
    return findings, f"{path}: looked at {len(found.at)} readings of {len(found.labels)} trajectories"


def _twice(found: LongForm, places: Numbers) -> Iterator[Finding]:
    of = np.stack([found.trajectory, found.channel, found.time], axis=1)
    _, first, count = np.unique(np.concatenate([of, places], axis=1), axis=0, return_index=True, return_counts=True)
    again = int((count - 1).sum())
    if again:
        where = found.table.where(int(found.at[first[count > 1].min()]))
        yield Finding(
            found.table.source,
            "copies",
            f"{again} readings have the place, time and quantity of another, the first in {where}",
            "leave them out if they are copies; else each counts as a measurement",
        )


def _dead(found: LongForm, places: Numbers) -> Iterator[Finding]:
    of = np.concatenate([found.trajectory[:, None], found.channel[:, None], places], axis=1)
    _, which, count = np.unique(of, axis=0, return_inverse=True, return_counts=True)
    which = which.ravel()
    low, high = np.full(len(count), np.inf), np.full(len(count), -np.inf)
    np.minimum.at(low, which, found.value)
    np.maximum.at(high, which, found.value)
    for place in np.flatnonzero((count >= FEWEST) & (low == high)).tolist():
        one = int(np.flatnonzero(which == place)[0])
        at = ", ".join(f"{axis} = {x:.6g}" for axis, x in zip(AXES, found.lower[one], strict=False))
        yield Finding(
            found.table.source,
            "dead",
            f"{_named(found, one)} is {found.value[one]:.6g} in all {count[place]} readings at {at}, trajectory "
            f"{found.labels[found.trajectory[one]]}",
            "leave the sensor out if it is dead",
        )


def _spikes(found: LongForm) -> Iterator[Finding]:
    for channel in np.unique(found.channel).tolist():
        own = np.flatnonzero(found.channel == channel)
        away = np.abs(found.value[own] - np.median(found.value[own]))
        usual = float(np.median(away))
        far = own[away > FAR * usual]
        if len(own) >= FEWEST and usual > 0 and len(far):
            one = int(far[0])
            yield Finding(
                found.table.source,
                "spikes",
                f"{len(far)} values of {_named(found, one)} lie more than {FAR:g} times as far from the others as is "
                f"usual, the first, {found.value[one]:.6g}, in {found.table.where(int(found.at[one]))}",
                "leave them empty if they are errors",
            )


def _named(found: LongForm, reading: int) -> str:
    names = [
        field.name if field.components == 1 else f"{field.name}_{AXES[component]}"
        for field in found.fields
        for component in range(field.components)
    ]
    return names[int(found.channel[reading])]
