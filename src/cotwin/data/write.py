"""Trajectories into an npz file that `open_trajectories` and `cotwin data inspect` read back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from cotwin.data.npz import KNOWN
from cotwin.layout import Layout


def write_npz(path: Path, states: Float[Tensor, "N T C *S"], layout: Layout) -> None:
    """States with coordinates, times, boundaries and units, under the keys of docs/data.md; whole or not at all.

    Raises what `require_new` does, ValueError for a field of a name that npz keeps for something else, or OSError.
    """
    require_new(path)
    taken = [field.name for field in layout.fields if field.name in KNOWN]
    if taken:
        raise ValueError(
            f"{path}: in npz files {', '.join(KNOWN)} are no fields, and the layout has fields named "
            f"{', '.join(taken)}; rename them in the data."
        )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            np.savez(file, **_arrays(states, layout))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def require_new(path: Path) -> None:
    """Raise FileExistsError where there is something already, ValueError where an npz file cannot go."""
    if path.suffix != ".npz":
        raise ValueError(f"{path}: what is written is npz; let the name end in .npz.")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}; make it first.")
    if path.exists():
        raise FileExistsError(f"{path} exists; choose another name, or move it away.")


def _arrays(states: Tensor, layout: Layout) -> dict[str, Any]:
    axes = "xyz"[: layout.dims]
    arrays: dict[str, Any] = {
        "t": layout.dt * np.arange(states.shape[1]),
        "t_unit": layout.time_unit,
        "boundary": [layout.sides(axis) for axis in range(layout.dims)],
        "centring": list(layout.centring),
    }
    for axis, name in enumerate(axes):
        arrays |= {name: np.array(layout.points(axis)), f"{name}_unit": layout.space_unit}
    channel, names = 0, layout.channel_names
    for field in layout.fields:
        of_field = states[:, :, channel : channel + field.components].detach().cpu()
        if field.components == layout.dims > 1:
            arrays |= {field.name: of_field.movedim(2, -1).numpy(), f"{field.name}_unit": field.unit}
        else:
            for component in range(field.components):
                name = names[channel + component]
                arrays |= {name: of_field[:, :, component].numpy(), f"{name}_unit": field.unit}
        channel += field.components
    return arrays
