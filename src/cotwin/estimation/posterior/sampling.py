"""Draws from the posterior around an estimate."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.known import MOST_BY_JACOBIAN
from cotwin.estimation.note import Note
from cotwin.estimation.posterior.langevin import Places, Step, walk, warmed_up
from cotwin.estimation.posterior.posterior import (
    FEWEST_EFFECTIVE,
    LARGEST_FILE,
    LARGEST_K,
    LARGEST_R_HAT,
    Mixing,
    Posterior,
)
from cotwin.estimation.posterior.target import Target
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.unknowns import Unknowns
from cotwin.seeds import seed_of, seeded

NETWORKS = (
    "weights of networks have no posterior here; leave it out: Laplace's intervals of the other unknowns hold them "
    "fixed."
)
FEWEST = 100
"""Draws of a chain; fewer have no hundred effective ones."""
WARM_UP = 200
"""Steps before the draws at the least; else half as many as the draws."""
WIDER = 2.0
"""How much farther than Laplace's normal the raw numbers of the chains begin from the estimate."""
NEARER = 10
"""Times that the distance of a chain from the estimate is halved where the simulator diverges."""
WEIGHED = 1000
"""Draws from Laplace's normal that are weighed by the posterior."""


@dataclass(frozen=True)
class _Drawn:
    """raw: numbers. squares: sums of squared residuals of each channel. The rest as in `Posterior`."""

    raw: Float[Tensor, "C D N"]
    squares: Float[Tensor, "C D channels"]
    log: Float[Tensor, "C D"]
    accepted: Bool[Tensor, "C D"]
    misfit: Float[Tensor, "C D M"] | None


def sample(found: Estimation, draws: int = 1000, *, chains: int = 4, seed: int = 0) -> Posterior:
    """Markov chains through the posterior of the unknowns, the starts and the noise, all chains as one batch.

    The density is that of `Target`: priors as they say, flat in the raw numbers (mostly logarithms) where there is
    none; noise that was estimated under Jeffreys' prior, each channel's its own, a discrepancy in proportion to it;
    estimated starts with the length and the deviation that were found. So, but for a discrepancy, errors are taken to
    be independent, and the model to be right.
    draws: of each chain, after half as many, or 200, to warm up. chains: begun twice as far from the estimate as
    Laplace's normal would have them.
    A step is one rollout for each chain, of `langevin.step`. What the chains and Laplace's normal are worth is said
    in the estimation's warnings: where chains do not mix there are no intervals by them.

    Raises ValueError for fewer than 100 draws or 2 chains, more than 300 unknowns, weights of networks, and where the
    data and priors leave a combination of unknowns open, and without ArviZ.
    """
    if Unknowns(found.stepper).closures:
        # The problem of an estimate holds them already.
        raise ValueError(NETWORKS)
    require_sampled(found.problem, draws, chains)
    target = Target(found, _information(found))
    generator = seeded(seed)
    here, size = warmed_up(target, _spread(target, found, chains, generator), max(WARM_UP, draws // 2), generator)
    steps = walk(target, here, draws, size, generator)
    # Values that a discrepancy makes dependent have no likelihood of their own.
    keep = chains * draws * found.problem.observation.size <= LARGEST_FILE and found.discrepancy is None
    drawn = _collected(target, steps, keep)
    noise = _levels(found, target, drawn.squares, seed)
    posterior = Posterior(
        found=found,
        draws=_naturally(found, drawn.raw),
        raw=drawn.raw,
        noise=noise,
        log=drawn.log,
        accepted=drawn.accepted,
        size=size,
        misfit=drawn.misfit,
        mixing=_mixing(found, drawn.raw, noise),
        pareto_k=_pareto_k(found, target, seed),
    )
    found.warnings.extend(_notes(posterior))
    return posterior


def require_sampled(problem: LeastSquares, draws: int, chains: int) -> None:
    """Raise, before anything is searched, where there is no posterior to sample, with what can be had instead."""
    try:
        import_module("cotwin.estimation.posterior.diagnostics")
    except ModuleNotFoundError as missing:
        if missing.name != "arviz":
            raise
        raise ValueError(str(missing)) from missing
    if draws < FEWEST or chains < 2:
        raise ValueError(
            f"{chains} chains of {draws} draws cannot be judged; take two chains or more, of {FEWEST} draws or more."
        )
    if problem.unknowns.closures:
        raise ValueError(NETWORKS)
    if len(problem.unknowns) > MOST_BY_JACOBIAN:
        raise ValueError(
            f"{len(problem.unknowns)} unknowns are too many for a posterior, which is for up to {MOST_BY_JACOBIAN}; "
            "Laplace's intervals are there for more, or take a coarser field."
        )


def _information(found: Estimation) -> FullInformation:
    """What is known at the estimate; raises ValueError where a combination of unknowns is open."""
    information = found.information
    assert isinstance(information, FullInformation)
    if bool(information.blind.any()):
        raise ValueError(
            f"the data say nothing about {information.weakest}, so there is no posterior; give it a prior, fix a "
            "parameter of it (Known), or observe more."
        )
    return information


def _spread(target: Target, found: Estimation, chains: int, generator: torch.Generator) -> Places:
    """Places to begin at, farther from the estimate than Laplace's normal, where the density is not zero."""
    x = torch.randn(chains, len(found.z), generator=generator, dtype=torch.float64).to(found.z)
    x[:, : target.size] *= WIDER
    places = target.begin(x)
    for _ in range(NEARER):
        lost = places.log == -torch.inf
        if not bool(lost.any()):
            break
        x = torch.where(lost[:, None], x / 2, x)
        places = target.begin(x)
    return places


def _collected(target: Target, steps: Iterator[Step], keep: bool) -> _Drawn:
    """What is kept of the steps, on the CPU."""
    every = [
        (
            target.place(one.places.x)[:, : target.size].cpu(),
            target.squares(one.places.seen).cpu(),
            target.marginal(one.places).cpu(),
            one.accepted.cpu(),
            one.places.seen.cpu() if keep else one.places.log[:, None],
        )
        for one in steps
    ]
    raw, squares, log, accepted, misfit = (torch.stack(parts, dim=1) for parts in zip(*every, strict=True))
    return _Drawn(raw, squares, log, accepted, misfit if keep else None)


def _naturally(found: Estimation, raw: Float[Tensor, "C D N"]) -> dict[str, Tensor]:
    unknowns = copy.deepcopy(found.problem.unknowns.stepper).cpu()
    own = Unknowns(unknowns)
    return {name: torch.func.vmap(torch.func.vmap(partial(own.value, name)))(raw).detach() for name in own.parameters}


def _mixing(
    found: Estimation, raw: Float[Tensor, "C D N"], noise: Float[Tensor, "C D channels"]
) -> dict[str, Mixing]:
    """Of the raw numbers of each parameter; ranks are the same in natural units."""
    from cotwin.estimation.posterior import diagnostics

    unknowns = found.problem.unknowns
    numbers = {name: raw[..., unknowns.place(name)] for name in unknowns.parameters}
    if found.noise_estimated:
        numbers["noise"] = noise[..., found.problem.observation.channel.unique().cpu()]
    return {name: Mixing(*diagnostics.mixing(values)) for name, values in numbers.items()}


def _levels(
    found: Estimation, target: Target, squares: Float[Tensor, "C D channels"], seed: int
) -> Float[Tensor, "C D channels"]:
    """Of the noise: σ² = Σ residual² / χ² with as many degrees of freedom as a channel has values, draw by draw.

    Source: Gelman et al. (2013), Bayesian Data Analysis, section 14.2.
    """
    if not found.noise_estimated:
        return found.noise.expand(squares.shape).clone()
    counts = target.counts.cpu()
    random = np.random.default_rng(seed_of(seed, 1))
    drawn = torch.from_numpy(random.chisquare(counts.clamp(min=1).numpy(), size=tuple(squares.shape)))
    return found.noise * torch.where(counts > 0, squares / drawn, torch.nan).sqrt()


def _pareto_k(found: Estimation, target: Target, seed: int) -> float:
    """Of draws from Laplace's normal, or Student's density, weighed by the posterior."""
    from cotwin.estimation.posterior import diagnostics

    generator, random = seeded(seed, 2), np.random.default_rng(seed_of(seed, 3))
    x = torch.randn(WEIGHED, len(found.z), generator=generator, dtype=torch.float64).to(found.z)
    if found.noise_estimated:
        freedom = found.freedom
        x *= torch.from_numpy(random.chisquare(freedom, WEIGHED) / freedom).to(x)[:, None].rsqrt()
        normal = -0.5 * (freedom + x.shape[1]) * (x.square().sum(dim=1) / freedom).log1p()
    else:
        normal = -0.5 * x.square().sum(dim=1)
    log = torch.cat([target.marginal(target.begin(some)) for some in x.split(target.at_once)])
    return diagnostics.pareto_k((log - normal).cpu())


def _notes(posterior: Posterior) -> Iterator[Note]:
    if posterior.pareto_k > LARGEST_K:
        instead = "Those by posterior hold" if posterior.mixed else "Nor are there any by posterior"
        yield Note(
            "not_normal",
            f"Laplace's normal does not do for the posterior: Pareto's k is {posterior.pareto_k:.2f}, above "
            f"{LARGEST_K}. Its intervals cannot be trusted. {instead}.",
        )
    if not posterior.mixed:
        worst = max(posterior.mixing, key=lambda name: posterior.mixing[name].r_hat)
        chains, draws = posterior.log.shape
        yield Note(
            "chains_not_mixed",
            f"{chains} chains of {draws} draws did not mix: R-hat is up to {posterior.r_hat:.3g} ({worst}), at most "
            f"{LARGEST_R_HAT} will do; effective draws are {posterior.effective:,.0f}, at least "
            f"{FEWEST_EFFECTIVE * chains} will do. There are no intervals by posterior. Take more draws, give priors "
            "on what the data leave open, or search from more points: there may be several minima.",
        )
