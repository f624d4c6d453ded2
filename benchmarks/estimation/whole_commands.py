"""Two estimates from the command line, all defaults, that have a goal of 30 s of CPU each.

    python benchmarks/estimation/whole_commands.py      # five minutes on one core

Two solitons of u_t + 6 u u_x + u_xxx = 0 that pass each other, 36 frames of 256 points, 1 % noise, from half of the
true values; and Allen-Cahn, all 201 published frames of 512 points, 5 % noise (Raissi et al., 2019; third-party data,
left out where they are not). Starts are estimated, and the estimation repeated on shorter steps where intervals ask
for that.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.io

DATA = Path(__file__).resolve().parents[3] / "shared/data/raissi_allen_cahn.mat"
SOLITONS = """
defaults: [korteweg_de_vries]
name: whole
data: {kind: file, path: whole.npz}
physical: {steepening: {initial: 3.0}, dispersion: {initial: 0.5}, substeps: null}
"""
FRONTS = """
defaults: [allen_cahn]
name: whole
data: {kind: file, path: whole.npz}
physical: {diffusivity: {initial: 3.0e-4}, reaction: {initial: 2.0}, substeps: null}
"""


def solitons() -> dict[str, np.ndarray]:
    x, t = np.linspace(-20, 20, 256, endpoint=False), np.linspace(-0.7, 0.7, 36)[:, None]
    above = 12 * (3 + 4 * np.cosh(2 * x - 8 * t) + np.cosh(4 * x - 64 * t))
    u = above / (3 * np.cosh(x - 28 * t) + np.cosh(3 * x - 36 * t)) ** 2
    return {"x": x, "t": t[:, 0] + 0.7, "u": noisy(u, 0.01)}


def fronts() -> dict[str, np.ndarray]:
    data = scipy.io.loadmat(DATA)
    return {"x": data["x"].ravel(), "t": data["tt"].ravel(), "u": noisy(data["uu"].T, 0.05)}


def noisy(u: np.ndarray, part: float) -> np.ndarray:
    values: np.ndarray = u + part * u.std() * np.random.default_rng(0).standard_normal(u.shape)
    return values


def report(title: str, data: dict[str, np.ndarray], settings: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "whole.npz", **data, boundary="periodic")
        (Path(folder) / "whole.yaml").write_text(settings)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        command = [sys.executable, "-m", "cotwin", "estimate", "whole.yaml"]
        subprocess.run(
            command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        written = json.loads((Path(folder) / "runs/whole-estimate/estimation.json").read_text())
    found = "; ".join(
        f"{one['name']} {one['value']:.6g} ({one['interval'][0]:.6g} to {one['interval'][1]:.6g})"
        for one in written["estimates"]
    )
    print(f"| {title} | {found} | {seconds:.0f} |", flush=True)


def main() -> None:
    print("| problem | estimates | CPU seconds |\n|---|---|---|")
    if DATA.is_file():
        report("Allen-Cahn, 201 frames", fronts(), FRONTS)
    report("two solitons", solitons(), SOLITONS)


if __name__ == "__main__":
    main()
