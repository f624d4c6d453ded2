"""Named arrays of a file, of any format that has no more to say than names, shapes and types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cotwin.data.stored.contents import Array

REAL = "fiub"
"""Kinds of types that hold real numbers."""


class StoredArray(ABC):
    """Shape and type are known; values are read when they are asked for, all of them or a part.

    Raises ValueError, naming file and array, where they are damaged, not there, or more than the free memory holds.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    unit: str = "1"

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def values(self) -> Array:
        """All of it."""
        return self[()]

    @abstractmethod
    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        """A part: an index or a slice for each of its first axes."""


class Held(StoredArray):
    """An array that is in memory, or mapped into it."""

    def __init__(self, array: Array, unit: str = "1") -> None:
        self.array, self.shape, self.dtype, self.unit = array, array.shape, array.dtype, unit

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        return np.asarray(self.array[index])


class Part(StoredArray):
    """The real or the imaginary part of a complex array."""

    def __init__(self, whole: StoredArray, part: Callable[[Array], Array]) -> None:
        self.whole, self.part, self.shape, self.unit = whole, part, whole.shape, whole.unit
        self.dtype = np.empty(0, whole.dtype).real.dtype

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        return self.part(self.whole[index])


class Stacked(StoredArray):
    """Arrays of one shape, one for each trajectory."""

    def __init__(self, parts: Sequence[StoredArray]) -> None:
        shapes: Mapping[tuple[int, ...], None] = dict.fromkeys(one.shape for one in parts)
        if len(shapes) > 1:
            raise ValueError(f"the groups' data have the shapes {', '.join(map(str, shapes))}; read them apart.")
        self.parts, self.dtype = parts, np.result_type(*(one.dtype for one in parts))
        self.shape, self.unit = (len(parts), *parts[0].shape), parts[0].unit

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        if index and not isinstance(index[0], slice):
            return self.parts[index[0]][index[1:]]
        chosen = self.parts[index[0]] if index and isinstance(index[0], slice) else self.parts
        return np.stack([one[index[1:]] for one in chosen])


class Squeezed(StoredArray):
    """An array without its axes of length one."""

    def __init__(self, whole: StoredArray) -> None:
        self.whole, self.dtype, self.unit = whole, whole.dtype, whole.unit
        self.shape = tuple(size for size in whole.shape if size != 1)

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        given = iter(index)
        return self.whole[tuple(0 if size == 1 else next(given, slice(None)) for size in self.whole.shape)]


@dataclass(frozen=True)
class Arrays:
    """All arrays of a file by their names, before it is decided what they mean.

    unreadable: why others cannot be read. words: what else the file says, of each array by its name, of itself by "".
    """

    named: Mapping[str, StoredArray]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
