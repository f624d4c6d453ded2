"""Draws from the posterior of an estimate, and what they are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation

LARGEST_R_HAT = 1.01
FEWEST_EFFECTIVE = 100
"""Draws of each chain, in the mean, for means and for tails; both after Vehtari et al. (2021)."""
LARGEST_K = 0.7
"""Pareto's k of Laplace's normal above which it does not do."""
LARGEST_FILE = 2**22
"""Numbers up to which the likelihood of each value in each draw is kept."""


@dataclass(frozen=True)
class Mixing:
    """How well chains mixed, of several numbers the worst.

    r_hat: the rank-normalised split one. ess_bulk, ess_tail: effective draws, all chains together, for means and for
    the quantiles of 5 and 95 %.
    """

    r_hat: float
    ess_bulk: float
    ess_tail: float


@dataclass(frozen=True)
class Posterior:
    """What `sample` found: C chains of D draws; on the CPU.

    found: the estimate that was sampled around. draws: by the parameters' names, in natural units, (C, D, *K).
    raw: the raw numbers, (C, D, N). noise: of each channel, (C, D, channels), as given where it was known.
    log: of the density, up to a constant. accepted: whether a chain moved. size: of its steps, at most one.
    misfit: (prediction − value) in units of the estimate's noise, (C, D, M); None where these are too many numbers.
    mixing: by name, of its worst number; "noise" among them where it was estimated.
    pareto_k: of Laplace's normal (with estimated noise Student's) against the posterior, starts included; above 0.7
    Laplace's intervals do not do.
    """

    found: Estimation
    draws: dict[str, Tensor]
    raw: Float[Tensor, "C D N"]
    noise: Float[Tensor, "C D channels"]
    log: Float[Tensor, "C D"]
    accepted: Bool[Tensor, "C D"]
    size: float
    misfit: Float[Tensor, "C D M"] | None
    mixing: dict[str, Mixing]
    pareto_k: float

    @property
    def r_hat(self) -> float:
        """The largest."""
        return max(one.r_hat for one in self.mixing.values())

    @property
    def effective(self) -> float:
        """The fewest effective draws, all chains together, for means or tails."""
        return min(min(one.ess_bulk, one.ess_tail) for one in self.mixing.values())

    @property
    def mixed(self) -> bool:
        """Whether the chains agree and hold enough effective draws."""
        return self.r_hat <= LARGEST_R_HAT and self.effective >= FEWEST_EFFECTIVE * len(self.log)

    @property
    def intervals(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Ends by name, each with half of what is left outside at the estimate's level; none unless mixed."""
        if not self.mixed:
            return {}
        tail = (1 - self.found.level) / 2
        every = {name: values.flatten(0, 1) for name, values in self.draws.items()}
        return {name: (_quantile(values, tail), _quantile(values, 1 - tail)) for name, values in every.items()}

    def as_json(self) -> dict[str, Any]:
        """What the chains are worth, for estimation.json."""
        chains, draws = self.log.shape
        return {
            "chains": chains,
            "draws": draws,
            "mixed": self.mixed,
            "r_hat": self.r_hat,
            "effective_draws": self.effective,
            "accepted": float(self.accepted.double().mean()),
            "step_size": self.size,
            "pareto_k_of_laplace": self.pareto_k,
        }

    def to_inference_data(self) -> Any:
        """An `arviz.InferenceData` with the groups posterior, sample_stats and observed_data.

        Of fields on the data's grid the dimensions are its axes. log_likelihood is there where it has up to four
        million numbers.
        """
        from cotwin.estimation.posterior import diagnostics

        problem = self.found.problem
        layout = problem.observation.layout
        dims: dict[str, list[str]] = {}
        coords: dict[str, list[float] | list[str]] = {}
        for name, values in self.draws.items():
            if values.dim() > 2 and tuple(values.shape[2:]) == layout.grid:
                dims[name] = list("xyz"[: layout.dims])
                coords |= {axis: layout.points(n) for n, axis in enumerate(dims[name])}
        drawn = dict(self.draws)
        if self.found.noise_estimated:
            drawn["noise"], dims["noise"], coords["channel"] = self.noise, ["channel"], list(layout.channel_names)
        groups = {
            "posterior": drawn,
            "sample_stats": {"lp": self.log, "accepted": self.accepted},
            "observed_data": {"values": problem.values.cpu()},
        }
        likelihood = self._log_likelihood()
        if likelihood is not None:
            groups["log_likelihood"] = {"values": likelihood}
        dims["values"] = ["value"]
        attrs = {
            "pareto_k_of_laplace": self.pareto_k,
            "mixed": str(self.mixed),
            "step_size": self.size,
            "inference_library": "cotwin",
        }
        return diagnostics.inference_data(groups, dims, coords, attrs)

    def as_netcdf(self) -> bytes:
        """The same as a file, for `arviz.from_netcdf`."""
        from cotwin.estimation.posterior import diagnostics

        return diagnostics.as_netcdf(self.to_inference_data())

    def _log_likelihood(self) -> Float[Tensor, "C D M"] | None:
        if self.misfit is None:
            return None
        problem = self.found.problem
        channel = problem.observation.channel.cpu()
        level = self.noise[..., channel]
        square = (self.misfit * problem.deviation.cpu()[channel] / level).square()
        return -0.5 * square - level.log() - 0.5 * math.log(2 * math.pi)


def _quantile(values: Float[Tensor, "D *K"], q: float) -> Float[Tensor, "*K"]:
    # torch's own refuses more than sixteen million numbers.
    ends = torch.as_tensor(np.quantile(values.numpy(), q, axis=0))
    return ends.to(values.dtype)
