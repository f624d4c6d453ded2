"""Draw docs/images/gallery.png: one trajectory of each preset that simulates its own data.

python docs/draw_gallery.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotwin.experiment.load import load, presets
from cotwin.experiment.settings import Simulated
from cotwin.experiment.simulated import simulate

COLUMNS = 4


def main() -> None:
    torch.set_num_threads(1)
    shown = [name for name in presets() if name != "burgers_shock" and isinstance(load(name).data, Simulated)]
    rows = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(3.1 * COLUMNS, 2.7 * rows), layout="constrained")
    axes = np.asarray(figure.subplots(rows, COLUMNS)).flatten()
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    for name, axis in zip(shown, axes, strict=False):
        draw(name, axis)
    target = Path(__file__).parent / "images" / "gallery.png"
    figure.savefig(target, dpi=90)
    print(target)


def draw(name: str, axis: Axes) -> None:
    """In one dimension space over time, in two the last state; of the last field's first component."""
    experiment = load(name)
    settings = experiment.data
    assert isinstance(settings, Simulated)
    trajectories, _ = simulate(settings, experiment.physical, experiment.seed)
    layout = trajectories.layout
    # Heights rather than velocities, the second substance rather than the first.
    channel = 1 if name == "gray_scott" else 0
    states = trajectories.states[-1, :, channel]
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
