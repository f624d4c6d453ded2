"""Draw docs/images/scratch.png: the scratch assay, and the two models fitted to all of it.

python docs/draw_scratch.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from cotwin import rollout

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks/published"))
import scratch_assay as assay

LINES = {"Fisher-KPP": "-", "porous": "--"}


def main() -> None:
    torch.set_num_threads(1)
    layout, density = assay.densities()
    numbers, replicates, times = density.shape[:3]
    with np.load(assay.FILE) as arrays:
        cells = arrays["initial_cells"]
    x = layout.points(0)
    figure = Figure(figsize=(3.0 * numbers, 3.2), layout="constrained")
    axes = figure.subplots(1, numbers, sharey=True)
    colours = [f"C{step}" for step in range(times)]
    for number, axis in enumerate(axes):
        for step, colour in enumerate(colours):
            for replicate in range(replicates):
                axis.plot(x, 1e3 * density[number, replicate, step, 0], ".", color=colour, markersize=2, alpha=0.6)
        axis.set(xlabel=f"x ({layout.space_unit})", title=f"{cells[number]:,} cells at first")
    axes[0].set(ylabel="density (10⁻³ cells/µm²)")
    for name, line in LINES.items():
        found = assay.fit(assay.MODELS[name], layout, density.flatten(0, 1))
        with torch.no_grad():
            states = rollout(found.stepper, found.starts, times - 1)
        means = 1e3 * states.unflatten(0, (numbers, replicates)).mean(dim=1)[:, :, 0]
        for axis, of_number in zip(axes, means, strict=True):
            for step, (colour, profile) in enumerate(zip(colours, of_number, strict=True)):
                hours = f"{step * layout.dt:g} {layout.time_unit}" if line == "-" else None
                axis.plot(x, profile, line, color=colour, linewidth=1.2, label=hours)
        axes[0].plot([], [], line, color="grey", label=name)
    axes[0].legend(fontsize=7, loc="upper center")
    target = Path(__file__).parent / "images" / "scratch.png"
    figure.savefig(target, dpi=90)
    print(target)


if __name__ == "__main__":
    main()
