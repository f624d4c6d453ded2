"""Scenes that PhiFlow wrote: a folder for each simulation, in it a file for each field and frame.

Source: `phi.field.write` and `phi.Scene` of PhiFlow 3. Its pickled parts, the extrapolation among them, stay unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cotwin.data.formats.archive import Member, open_archive
from cotwin.data.stored.arrays import Arrays, StoredArray
from cotwin.data.stored.contents import Array, Axis, Contents, StoredField, setting
from cotwin.data.stored.wanted import Wanted

FRAME = re.compile(r"(.+)_(\d{6,})\.npz")
MOST_DESCRIBED = 1_000_000
"""Bytes of a description."""


def is_scene(path: Path) -> bool:
    """Whether a folder is a scene, or holds scenes."""
    return path.is_dir() and any(_files(one) for one in _scenes(path)[:1])


@contextmanager
def open_phiflow(path: str | Path, wanted: Wanted) -> Iterator[Contents]:
    """What scenes hold, each a trajectory; fields are read only when asked, a file for each frame."""
    path = Path(path)
    scenes = _scenes(path)
    every = [_files(scene) for scene in scenes]
    first = every[0]
    frames = max((sorted(own) for own in first.values()), key=lambda own: len(own))
    for scene, files in zip(scenes, every, strict=True):
        if {name: sorted(own) for name, own in files.items()} != {name: sorted(own) for name, own in first.items()}:
            raise ValueError(f"{scene} and {scenes[0]} have other fields or frames; read them apart.")
    odd = [name for name, own in first.items() if len(own) > 1 and sorted(own) != frames]
    if odd:
        raise ValueError(f"{path}: {', '.join(odd)} is not there in all frames; read it apart.")
    grids = {name: _Grid.of(own[min(own)]) for name, own in first.items()}
    axes = {grid.axes: grid for grid in grids.values()}
    if len(axes) > 1:
        raise ValueError(f"{path}: its fields lie on different grids; name some of one with {setting('fields')}.")
    (grid,) = axes.values()
    dt = _step(scenes[0]) if wanted.dt is None else wanted.dt
    if dt is None:
        raise ValueError(f"{path}: the time between frames is not known; give it as {setting('dt')}.")
    staggered = [name for name, one in grids.items() if one.staggered]
    faces = f"{', '.join(staggered)} lies on faces: a component at index i is on the face below cell i"
    yield Contents(
        source=str(path),
        format="PhiFlow",
        axes=tuple(
            Axis("xyz"[i], lower + (np.arange(size) + 0.5) * (upper - lower) / size, points="cells")
            for i, (_, size, lower, upper) in enumerate(grid.axes)
        ),
        times=dt * np.array(frames, dtype=np.float64)[None],
        num_trajectories=len(scenes),
        fields=tuple(_field(name, one, [files[name] for files in every]) for name, one in grids.items()),
        notes=(faces,) if staggered else (),
    )


@dataclass(frozen=True)
class _Grid:
    """axes: name, cells, and the ends of each. components: of the vector; 1 of a scalar.
    order: of the axes of an array, by their names, "vector" among them.
    """

    axes: tuple[tuple[str, int, float, float], ...]
    components: int
    order: tuple[str, ...]
    staggered: bool
    dtype: str

    @classmethod
    def of(cls, file: Path) -> _Grid:
        """From one file. Raises ValueError for one that is no grid of one, two or three axes."""
        with open_archive(file) as (members, _):
            data, kinds = _member(file, members, "data"), _words(file, members, "dim_types")
            order = _words(file, members, "dim_names")
            staggered = _words(file, members, "field_type") == ["StaggeredGrid"]
            spatial = [name for name, kind in zip(order, kinds, strict=True) if kind == "spatial"]
            other = [name for name in order if name not in (*spatial, "vector")]
            if other or not 1 <= len(spatial) <= 3 or len(order) != data.ndim:
                raise ValueError(f"{file}: has the axes {order}; a scene is read with space and 'vector' alone.")
            named = _words(file, members, "bounds_item_names")
            spatial = named if sorted(named) == sorted(spatial) else spatial
            ends = [np.broadcast_to(_member(file, members, one).values, len(spatial)) for one in ("lower", "upper")]
            sizes = [data.shape[order.index(name)] - staggered for name in spatial]
            axes = tuple(zip(spatial, sizes, *(list(map(float, end)) for end in ends), strict=True))
            components = data.shape[order.index("vector")] if "vector" in order else 1
            return cls(axes, components, tuple(order), staggered, str(data.dtype))

    def read(self, file: Path) -> Array:
        """(components, *grid) of one frame; of faces those below each cell."""
        with open_archive(file) as (members, _):
            values = _member(file, members, "data").values
        names = [name for name, *_ in self.axes]
        order = [*(["vector"] if "vector" in self.order else []), *names]
        values = values.transpose([self.order.index(name) for name in order])
        values = values if "vector" in self.order else values[None]
        return self._below(values, file) if self.staggered else values

    def _below(self, faces: Array, file: Path) -> Array:
        """Without the face above the last cell, which is a wall at rest or the first face again."""
        inside = tuple(slice(size) for _, size, *_ in self.axes)
        for axis in range(len(self.axes)):
            component = faces[axis][tuple(slice(None) if i == axis else one for i, one in enumerate(inside))]
            first, last = component.take(0, axis), component.take(-1, axis)
            near = 1e-5 * float(np.abs(component).max(initial=0.0))
            if np.abs(last).max() > near and np.abs(last - first).max() > near:
                raise ValueError(
                    f"{file}: what passes the upper end of {self.axes[axis][0]} is neither zero nor what passes the "
                    "lower one, and a state has no room for it; write the field's centred values, .at_centers()."
                )
        return faces[(slice(None), *inside)]


class _Series(StoredArray):
    """A field of all scenes, [N, T, components, *grid]."""

    def __init__(self, grid: _Grid, files: Sequence[dict[int, Path]]) -> None:
        self.grid, self.files, self.frames = grid, files, sorted(files[0])
        self.shape = (len(files), len(self.frames), grid.components, *(size for _, size, *_ in grid.axes))
        self.dtype = np.dtype(grid.dtype)

    def __getitem__(self, index: tuple[int | slice, ...], /) -> Array:
        first, frames = (*index, *[slice(None)] * max(0, 2 - len(index)))[:2]
        rows = range(len(self.files))[first]
        chosen = self.frames[frames]
        values = np.stack(
            [
                np.stack([self.grid.read(self.files[row][frame]) for frame in _several(chosen)])
                for row in _several(rows)
            ]
        )
        alone: tuple[int | slice, ...] = tuple(0 if isinstance(one, int) else slice(None) for one in (first, frames))
        return np.asarray(values[(*alone, *index[2:])])


def _several(one: Any) -> Any:
    return [one] if isinstance(one, int) else one


def _field(name: str, grid: _Grid, files: Sequence[dict[int, Path]]) -> StoredField:
    series = _Series(grid, files)
    static = len(series.frames) == 1
    return StoredField(
        name,
        series.shape,
        grid.dtype,
        grid.components,
        static,
        lambda index, frames: series[(index, slice(None) if static else frames)],
    )


@contextmanager
def arrays_of_scenes(path: Path) -> Iterator[Arrays]:
    """The fields of a folder of scenes, [N, T, components, *grid], as far as the first scene has them."""
    every = [_files(scene) for scene in _scenes(path)]
    yield Arrays(
        {name: _Series(_Grid.of(own[min(own)]), [files[name] for files in every]) for name, own in every[0].items()}
    )


def _scenes(path: Path) -> list[Path]:
    """The folder itself, or the scenes in it."""
    return [path] if _files(path) else sorted(one for one in path.glob("*_*") if one.is_dir() and _files(one))


def _files(scene: Path) -> dict[str, dict[int, Path]]:
    """Of each field, its frames and where they are."""
    found: dict[str, dict[int, Path]] = {}
    for file in sorted(scene.glob("*.npz")):
        match = FRAME.fullmatch(file.name)
        if match:
            found.setdefault(match[1], {})[int(match[2])] = file
    return found


def _step(scene: Path) -> float | None:
    """The property dt of a scene."""
    file = scene / "description.json"
    if not file.is_file() or file.stat().st_size > MOST_DESCRIBED:
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: no JSON that can be read ({error}); give the step as {setting('dt')}.") from error
    dt = said.get("dt") if isinstance(said, dict) else None
    return float(dt) if isinstance(dt, int | float) and dt > 0 else None


def _member(file: Path, members: dict[str, Member], name: str) -> Member:
    if name not in members:
        raise ValueError(f"{file}: no field that PhiFlow wrote; it has no array {name!r}.")
    return members[name]


def _words(file: Path, members: dict[str, Member], name: str) -> list[str]:
    stored = _member(file, members, name)
    return [str(word) for word in np.ravel(stored.values)] if stored.dtype.kind == "U" else []
