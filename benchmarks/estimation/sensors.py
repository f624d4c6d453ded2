"""Coverage of intervals from a table of readings off the grid: the diffusivity of insulated rods, of exact solutions.

Three rods of five waves, two of which train; on each eight sensors at places of no pattern, read at 25 times of their
own with a noise of 0.01. Starts are unknown.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cotwin.experiment import calibrate
from cotwin.experiment.load import validate

DRAWS, TRUTH, NOISE = 40, 0.1, 0.01


def readings(seed: int) -> pd.DataFrame:
    """u = Σ_j a_j exp(−κ (jπ)² t) cos(jπx), and noise."""
    rng, parts, j = np.random.default_rng(seed), [], np.arange(1, 6)
    places = rng.uniform(0, 1, 8)
    for rod in range(3):
        sizes = rng.normal(size=5)
        for x in places:
            t = np.sort(rng.uniform(0, 0.6, 25))
            u = (np.exp(-TRUTH * (j * np.pi) ** 2 * t[:, None]) * np.cos(j * np.pi * x)) @ sizes
            parts.append(pd.DataFrame({"rod": rod, "time": t, "x": x, "u": u + NOISE * rng.normal(size=25)}))
    return pd.concat(parts)


def one(seed: int, folder: Path) -> tuple[bool, float]:
    """Whether the 90 % interval holds the truth, and the error in standard deviations."""
    readings(seed).to_csv(folder / "rods.csv", index=False)
    data = {"kind": "file", "path": str(folder / "rods.csv"), "names": {"n": "rod"}, "boundary": "neumann"}
    data |= {"grid": [48], "extent": [[0, 1]], "dt": 0.02, "begin": 0}
    settings = validate(
        {
            "name": "rods",
            "data": data,
            "physical": {"model": "heat", "diffusivity": {"initial": 0.08}},
            "estimation": {"points": 1},
            "store": {"cache_dir": str(folder / "cache")},
        }
    )
    own = calibrate.run(calibrate.prepare(settings)).intervals["diffusivity"]
    return bool(own.low < TRUTH < own.high), float((own.value - TRUTH) / own.deviation)


def main() -> None:
    """One line."""
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        held, errors = zip(*(one(seed, Path(folder)) for seed in range(DRAWS)), strict=True)
    seconds = (time.process_time() - begin) / DRAWS
    print(
        f"held in {sum(held)} of {DRAWS}; mean error {np.mean(errors):.2f} deviations, root mean square "
        f"{np.sqrt(np.mean(np.square(errors))):.2f}; {seconds:.1f} CPU seconds each"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
