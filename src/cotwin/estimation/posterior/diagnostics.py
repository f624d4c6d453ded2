"""What ArviZ says of chains and of weights, and their draws as its `InferenceData`.

Needs the extra: pip install "cotwin[posterior]".
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

try:
    with warnings.catch_warnings():
        # On the major version to come, which the extra excludes.
        warnings.simplefilter("ignore", FutureWarning)
        import arviz
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'a posterior needs ArviZ, which is not installed: pip install "cotwin[posterior]"', name=missing.name
    ) from missing

ALIKE = 1e-9
"""Spread of the logarithms of weights below which all are the same to rounding."""


def mixing(draws: Float[Tensor, "C D K"]) -> tuple[float, float, float]:
    """The largest rank-normalised split R-hat of K numbers, and the fewest effective draws for means and for tails.

    A chain that never moved has none.
    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Anal. 16.
    """
    found = arviz.convert_to_dataset({"x": draws.numpy()})
    with np.errstate(all="ignore"):
        r_hat = arviz.rhat(found)["x"].to_numpy()
        bulk, tail = (arviz.ess(found, method=kind)["x"].to_numpy() for kind in ("bulk", "tail"))
    still = (draws.std(dim=1) == 0).any(dim=0).numpy()
    return (
        float(np.where(still, np.inf, r_hat).max()),
        float(np.where(still, 0.0, bulk).min()),
        float(np.where(still, 0.0, tail).min()),
    )


def pareto_k(log_weights: Float[Tensor, " S"]) -> float:
    """The shape of the tail of weights p/q of draws from q: above 0.7 q does not do for p; −∞ where they are equal.

    Source: Vehtari, Simpson, Gelman, Yao & Gabry (2024), J. Mach. Learn. Res. 25.
    """
    finite = log_weights[log_weights.isfinite()]
    if not len(finite):
        return math.inf
    if float(finite.max() - finite.min()) < ALIKE:
        return -math.inf
    # A weight of zero is far below all others.
    whole = torch.where(log_weights.isfinite(), log_weights, finite.min() - 1)
    return float(arviz.psislw(whole.numpy().copy())[1])


def inference_data(
    groups: Mapping[str, Mapping[str, Tensor]],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[float] | Sequence[str]],
    attrs: Mapping[str, Any],
) -> Any:
    """An `arviz.InferenceData`. groups: (chains, draws, …), or of `observed_data` as it is. dims: of what follows."""
    arrays: dict[str, Any] = {
        group: {name: value.numpy() for name, value in own.items()} for group, own in groups.items()
    }
    named = {name: list(axes) for name, axes in dims.items()}
    kept = {axis: list(points) for axis, points in coords.items()}
    return arviz.from_dict(**arrays, dims=named, coords=kept, attrs=dict(attrs))


def as_netcdf(data: Any) -> bytes:
    """The file that `arviz.from_netcdf` reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "posterior.nc"
        data.to_netcdf(str(path), compress=True)
        return path.read_bytes()
