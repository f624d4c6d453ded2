"""Draw docs/images/gallery.png: one trajectory of each preset that simulates its data.

python docs/draw_gallery.py

Needs PhiFlow for the presets that do: pip install "cotwin[phiflow]".
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotwin.experiment.load import load
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.presets import presets
from cotwin.store.store import Store

COLUMNS = 5
# Rather than the first: the second substance, and smoke rather than its velocity.
CHANNELS = {"gray_scott": 1, "gray_scott_walls": 1, "smoke": 2, "phiflow_smoke": 2}


def main() -> None:
    torch.set_num_threads(1)
    shown = [name for name in presets() if name != "burgers_shock"]  # whose data are a file of the user's
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(2.9 * COLUMNS, 2.5 * rows), layout="constrained")
    axes = np.asarray(figure.subplots(rows, COLUMNS)).flatten()
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    for name, axis in zip(shown, axes, strict=False):
        draw(name, axis)
    target = Path(__file__).parent / "images" / "gallery.png"
    figure.savefig(target, dpi=90)
    print(target)


def draw(name: str, axis: Axes) -> None:
    """In one dimension space over time, in two the last state."""
    experiment = load(name)
    with TemporaryDirectory() as folder:
        data = load_dataset(experiment.data, experiment.physical, experiment.seed, Store(Path(folder) / "cache"))
    assert data.test is not None
    layout, channel = data.layout, CHANNELS.get(name, 0)
    states = data.test.states[-1, :, channel]
    x = (layout.lower[0], layout.upper[0])
    if layout.dims == 1:
        picture, extent = states.T, (0.0, layout.dt * (len(states) - 1), *x)
        axis.set(xlabel="time", ylabel="x")
    else:
        picture, extent = states[-1].T, (*x, layout.lower[1], layout.upper[1])
        axis.set(xlabel="x", ylabel="y")
    image = axis.imshow(picture, extent=extent, origin="lower", aspect="auto", cmap="RdBu_r")
    axis.set_title(f"{name}: {layout.channel_names[channel]}", fontsize="medium")
    assert axis.figure is not None
    axis.figure.colorbar(image, ax=axis)


if __name__ == "__main__":
    main()
