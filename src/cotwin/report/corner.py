"""Draws from the posterior, pair by pair, with Laplace's normal over them."""

from __future__ import annotations

import io
import math

import numpy as np
import scipy.stats
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cotwin.estimation import Posterior
from cotwin.estimation.calibration import Calibration
from cotwin.estimation.information import FullInformation

MOST = 8
"""Unknown numbers that are shown, the first ones."""
MOST_POINTS = 4000
LAPLACE, DRAWN, TRUTH = "tab:orange", "tab:blue", "black"


def draw(calibration: Calibration) -> bytes:
    """A PNG: of each number a histogram, of each pair the draws, and Laplace's normal with its region at the level.

    In natural units. Of fields the numbers that they are made of.
    """
    posterior = calibration.posterior
    assert posterior is not None
    labels = posterior.found.problem.unknowns.labels
    shown = min(MOST, len(labels))
    natural = _naturally(posterior, posterior.raw.flatten(0, 1))
    figure = Figure(figsize=(1.5 + 2.1 * shown, 1.5 + 2.0 * shown), layout="constrained")
    axes = figure.subplots(shown, shown, squeeze=False, sharex="col")
    for row in range(shown):
        for column in range(shown):
            axis = axes[row, column]
            if column > row:
                axis.set_visible(False)
            elif column == row:
                _one(axis, posterior, natural[:, row], row)
            else:
                _pair(axis, posterior, natural, column, row)
            _truth(axis, calibration, labels, column, row)
            _label(axis, labels, column, row, last=row == shown - 1)
    left = f", the first {shown} of {len(labels)} numbers" if shown < len(labels) else ""
    level = f"{100 * posterior.found.level:g}%"
    dotted = "; dotted: truth" if set(labels[:shown]) & set(calibration.truth) else ""
    mixed = "" if posterior.mixed else "; the chains did not mix"
    figure.suptitle(f"posterior{left}; orange: Laplace, {level}{dotted}{mixed}", fontsize="medium")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _naturally(posterior: Posterior, raw: Float[Tensor, "D N"]) -> Float[np.ndarray, "D N"]:
    unknowns = posterior.found.problem.unknowns
    return np.array([unknowns.naturally(one) for one in raw])


def _one(axis: Axes, posterior: Posterior, values: Float[np.ndarray, " D"], place: int) -> None:
    axis.hist(values, bins=40, density=True, color=DRAWN, alpha=0.6)
    middle, covariance = _laplace(posterior)
    deviation = math.sqrt(float(covariance[place, place]))
    t = torch.linspace(-4, 4, 201, dtype=torch.float64)
    at = middle.repeat(len(t), 1)
    at[:, place] += t * deviation
    x = _naturally(posterior, at)[:, place]
    freedom = posterior.found.freedom if posterior.found.noise_estimated else 1e9
    density = scipy.stats.t.pdf(t.numpy(), freedom) / np.abs(np.gradient(x, t.numpy()))
    axis.plot(x, density, color=LAPLACE)
    axis.set_yticks([])


def _pair(axis: Axes, posterior: Posterior, values: Float[np.ndarray, "D N"], column: int, row: int) -> None:
    some = values[:: max(1, math.ceil(len(values) / MOST_POINTS))]
    axis.plot(some[:, column], some[:, row], ".", color=DRAWN, markersize=3, alpha=0.4, markeredgewidth=0)
    middle, covariance = _laplace(posterior)
    places = [column, row]
    root = torch.linalg.cholesky(covariance[places][:, places])
    freedom = posterior.found.freedom if posterior.found.noise_estimated else 1e9
    reach = math.sqrt(2 * scipy.stats.f.ppf(posterior.found.level, 2, freedom))
    angle = torch.linspace(0, 2 * math.pi, 121, dtype=torch.float64)
    at = middle.repeat(len(angle), 1)
    at[:, places] += reach * torch.stack([angle.cos(), angle.sin()], dim=1) @ root.mT
    ring = _naturally(posterior, at)
    axis.plot(ring[:, column], ring[:, row], color=LAPLACE)


def _laplace(posterior: Posterior) -> tuple[Float[Tensor, " N"], Float[Tensor, "N N"]]:
    """Mean and covariance of the raw numbers, on the CPU."""
    information = posterior.found.information
    assert isinstance(information, FullInformation)
    return posterior.found.z[: posterior.raw.shape[-1]].cpu(), information.covariance().cpu()


def _truth(axis: Axes, calibration: Calibration, labels: list[str], column: int, row: int) -> None:
    known = {name: float(value) for name, value in calibration.truth.items() if value.numel() == 1}
    if labels[column] in known:
        axis.axvline(known[labels[column]], color=TRUTH, linewidth=0.8, linestyle=":")
    if column != row and labels[row] in known:
        axis.axhline(known[labels[row]], color=TRUTH, linewidth=0.8, linestyle=":")


def _label(axis: Axes, labels: list[str], column: int, row: int, *, last: bool) -> None:
    axis.tick_params(labelsize="x-small")
    axis.tick_params(axis="x", labelrotation=30)
    if last:
        axis.set_xlabel(labels[column], fontsize="small")
    if column == 0 and row:
        axis.set_ylabel(labels[row], fontsize="small")
    elif column != row:
        axis.tick_params(labelleft=False)
