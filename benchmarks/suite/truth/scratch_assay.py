"""Cells that close a scratch, measured: the twelve wells of four initial numbers, those of one number last.

Jin et al. (2016), J. Theor. Biol. 390, PC-3 cells; the file lies beside the checkout, in ../shared/data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cotwin import Field, Layout
from cotwin.data.trajectories import Trajectories

FILE = Path(__file__).resolve().parents[4] / "shared/data/scratch_assay.npz"


@dataclass(frozen=True)
class HeldOut:
    """All wells, those of one initial number (0 to 3) last, so that three test."""

    number: int

    def trajectories(self) -> Trajectories:
        """Densities in 10⁻³ cells/µm², so that they are of the order of one."""
        with np.load(FILE) as arrays:
            x, t, density = arrays["x"], arrays["t"], 1e3 * arrays["density"]
        half = float(x[1] - x[0]) / 2
        layout = Layout.box(
            [Field("density", unit="1e-3 cells/µm²")],
            grid=(len(x),),
            extent=[(float(x[0]) - half, float(x[-1]) + half)],
            boundary="neumann",
            dt=float(t[1] - t[0]),
            space_unit="µm",
            time_unit="h",
        )
        order = [number for number in range(len(density)) if number != self.number] + [self.number]
        wells = torch.from_numpy(density[order].reshape(-1, len(t), 1, len(x)))
        return Trajectories(wells, layout)


SOURCES = {f"scratch_assay_{number}": HeldOut(number) for number in range(4)}
