"""Which way of reading a file works, tried on the first of its states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotwin.data.assembling.assemble import assemble
from cotwin.data.formats.known import open_contents
from cotwin.data.inspection.fitting import Fit, fits
from cotwin.data.inspection.guess import Guess, guess
from cotwin.data.inspection.sampling import beginning, require_some
from cotwin.data.stored.arrays import Arrays
from cotwin.data.stored.boundaries import said_by
from cotwin.data.stored.contents import Contents
from cotwin.data.stored.wanted import NOTHING_SAID, Wanted

ENOUGH = 2**21
"""Values of the first states on which settings are tried."""
LAYOUTS_OF_HDF5 = ("well", "pdebench")
"""Formats that are HDF5: where a file is not all that its layout asks for, its arrays may still be read by names."""
TIMES_LAST = ("matlab", "matlab_hdf5")
TIMES_ALONE = ("phiflow",)
"""Formats in which nothing but times may be open."""


@dataclass(frozen=True)
class Way:
    """How a file is read: as which format, and what has to be said of it."""

    format: str
    guess: Guess


def way_to(path: Path, format: str, arrays: Arrays) -> tuple[Way | None, str | None]:
    """The first that finds a field which changes in time, else the first that opens at all; and why not as it is."""
    opens: Way | None = None
    problem: str | None = None
    for way in _ways(format, arrays):
        try:
            with open_contents(path, way.guess.wanted, way.format) as contents:
                require_some(contents)
                if any(not one.static for one in contents.fields) or format in LAYOUTS_OF_HDF5:
                    return way, problem
                opens = opens or way
        except ValueError as error:
            problem = problem or str(error).removeprefix(f"{path}: ")
    return opens, problem


def _ways(format: str, arrays: Arrays) -> Iterator[Way]:
    yield Way(format, Guess(NOTHING_SAID))
    if format in TIMES_ALONE:
        yield Way(format, Guess(Wanted(dt=1.0), asked=("dt",)))
        return
    try:
        guessed = guess(arrays, format in TIMES_LAST)
    except ValueError:  # coordinates that cannot be read; the list says so
        return
    if guessed is not None:
        yield Way("hdf5" if format in LAYOUTS_OF_HDF5 else format, guessed)


def met(path: Path, way: Way, contents: Contents, said: Mapping[str, Any]) -> list[Fit]:
    """What the data meet at the ends of each axis. Raises ValueError where they cannot be read at all."""
    orders = [one.order for one in contents.fields if one.other_orders]
    wanted = way.guess.wanted
    if orders and wanted.axes is None:
        # In two orders of axes they might be read in: here in the usual one.
        with open_contents(path, replace(wanted, axes=orders[0]), way.format) as settled:
            return _met(settled, said)
    return _met(contents, said)


def _met(contents: Contents, said: Mapping[str, Any]) -> list[Fit]:
    open_ends = [said_by(axis) or "outflow" for axis in contents.axes]
    found = assemble(beginning(contents, ENOUGH), **said, boundary=open_ends, missing="mask", walls="trusted")
    return fits(found.states, found.mask, found.layout)


def refusal(contents: Contents, options: Mapping[str, Any]) -> str | None:
    """Why the first states are not read with these options; None if they are."""
    try:
        assemble(beginning(contents, ENOUGH), **options)
    except ValueError as error:
        return str(error).removeprefix(f"{contents.source}: ")
    return None
