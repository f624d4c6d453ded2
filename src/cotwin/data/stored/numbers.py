"""Named arrays that are no fields but numbers: of each trajectory, each time, or times of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cotwin.data.stored.arrays import REAL, StoredArray
from cotwin.data.stored.contents import Array

OWN_TIMES = "_t"


@dataclass(frozen=True)
class Numbers:
    """scalars: (N, T) by name. courses: times (J,) and values (N, J) by name. refused: why others are neither.
    hints: of others that may be meant so, how many numbers there would have to be.
    """

    scalars: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    courses: dict[str, tuple[Array, NDArray[np.float64]]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)

    @property
    def taken(self) -> set[str]:
        """All names that mean something here, those of times included."""
        return {*self.scalars, *self.courses, *self.refused, *(f"{name}{OWN_TIMES}" for name in self.courses)}


def numbers_of(arrays: Mapping[str, StoredArray], count: int, num_times: int) -> Numbers:
    """Of arrays that are no fields: [] or [N] or [N, 1] for trajectories, [T] or [1, T] for times, [N, T].

    An array NAME with one NAME_t is known at those times: [J], or [N, J].
    """
    found = Numbers()
    arrays = {name: array for name, array in arrays.items() if array.dtype.kind in REAL}
    for name, array in arrays.items():
        if name.endswith(OWN_TIMES) and name.removesuffix(OWN_TIMES) in arrays:
            continue
        own = arrays.get(f"{name}{OWN_TIMES}")
        if own is not None and own.ndim == 1 and array.shape in (own.shape, (count, *own.shape)):
            rows = np.broadcast_to(np.asarray(array.values, dtype=np.float64), (count, *own.shape))
            found.courses[name] = (own.values, rows)
        elif array.shape == (count,) == (num_times,) and count > 1:
            found.refused[name] = (
                f"array {name!r} of shape {array.shape} is a number for each trajectory or for each time: give it as "
                f"[{count}, 1] or [1, {num_times}]."
            )
        else:
            shape = (count, 1) if array.shape == (count,) else array.shape
            shape = (1, num_times) if array.shape == (num_times,) else shape
            if shape in ((), (count, 1), (1, num_times), (count, num_times)):
                values = np.asarray(array.values, dtype=np.float64).reshape(shape)
                found.scalars[name] = np.broadcast_to(values, (count, num_times)).copy()
            elif array.ndim == 1 or (array.ndim == 2 and (array.shape[0] == count or array.shape[1] == num_times)):
                found.hints[name] = (
                    f" As numbers it would have to be [{count}], [{num_times}] or [{count}, {num_times}], for the "
                    f"trajectories and the times of the states, or have times of its own, {name}{OWN_TIMES}."
                )
    return found
