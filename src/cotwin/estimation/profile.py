"""Intervals by profile likelihood: how far a parameter can go if the others give way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.levenberg_marquardt import levenberg_marquardt
from cotwin.parameters import Elementwise

ROUNDS = 12
FARTHEST = 100.0  # of a raw number, and ten deviations, if it has one: an end that has not come by then is open


def profile(estimation: Estimation, names: Sequence[str] | None = None) -> dict[str, tuple[Tensor, Tensor]]:
    """Ends of the interval of each parameter, in natural units: where the cost, minimised over all others, has risen.

    By q²/2, q the quantile of the estimation's level (normal, or Student's where the noise was estimated): the set of
    values that a likelihood-ratio test does not reject. It need not lie symmetrically around the estimate, and has an
    open end, infinite or a bound, where the cost never rises so far.
    names: of the parameters; all that are numbers of their own (not fields by coefficients) if not given.
    All parameters, both ends, are sought at once, in one batch.

    Raises ValueError for a parameter that is not known, or is a field.
    Source: Venzon & Moolgavkar (1988), Appl. Statist. 37.
    """
    unknowns = estimation.problem.unknowns
    able = [name for name, parameter in unknowns.parameters.items() if isinstance(parameter, Elementwise)]
    wanted = able if names is None else names
    for name in wanted:
        if name not in able:
            choice = f"choose among {', '.join(able)}" if able else "nor has any other unknown"
            raise ValueError(f"{name!r} has no profile, only numbers of their own have one; {choice}.")
    if not wanted:
        return {}
    places = torch.cat([torch.arange(len(unknowns))[unknowns.place(name)] for name in wanted])
    ends = _ends(estimation, places)
    found, first = {}, 0
    for name in wanted:
        module, size = unknowns.parameters[name], unknowns.parameters[name]().numel()
        assert isinstance(module, Elementwise)
        low, high = ends[first : first + size].unbind(1)
        shape = module.raw.shape
        found[name] = (module.to_natural(low.reshape(shape)), module.to_natural(high.reshape(shape)))
        first += size
    return found


def _ends(estimation: Estimation, places: Tensor) -> Float[Tensor, "K 2"]:
    """Raw numbers where the profile has risen by q²/2, by regula falsi on the rise's root, which is nearly linear."""
    problem, z, count = estimation.problem, estimation.z, len(places)
    information, quantile = estimation.information, estimation.quantile
    if not isinstance(information, FullInformation):
        raise ValueError("profiles are for few unknowns; of many there are Laplace's intervals.")
    covariance = information.covariance()
    deviation = information.deviations(torch.eye(len(problem.unknowns), dtype=z.dtype)[places])
    farthest = FARTHEST + 10 * torch.where(deviation.isfinite(), deviation, 0.0).repeat_interleave(2)
    sides = torch.tensor([-1.0, 1.0], dtype=z.dtype).repeat(count)
    which = places.repeat_interleave(2)
    free = torch.ones(2 * count, len(problem.unknowns), dtype=torch.bool)
    free[torch.arange(2 * count), which] = False
    # How the others give way, as far as the problem is linear.
    along = torch.zeros(2 * count, len(z), dtype=z.dtype)
    along[:, : len(problem.unknowns)] = covariance[which] / covariance[which, which][:, None]
    # The end lies between `inside`, where the profile has not risen enough, and `outside`.
    inside, outside = torch.zeros_like(sides), torch.full_like(sides, torch.inf)
    rise_inside, rise_outside = torch.zeros_like(sides), torch.full_like(sides, torch.inf)
    distance = (quantile * deviation).clamp(max=5.0).repeat_interleave(2)
    found = torch.zeros_like(which, dtype=torch.bool)
    for _ in range(ROUNDS):
        points = z + (sides * distance)[:, None] * along
        cost = levenberg_marquardt(problem, points, free=free, iterations=40).cost
        rise = (2 * (cost - estimation.cost)).clamp(min=0).sqrt()
        found |= (rise - quantile).abs() < 1e-3 * quantile
        if bool((found | (inside > farthest)).all()):
            break
        low = rise < quantile
        inside, rise_inside = torch.where(low, distance, inside), torch.where(low, rise, rise_inside)
        outside, rise_outside = torch.where(low, outside, distance), torch.where(low, rise_outside, rise)
        secant = inside + (outside - inside) * (quantile - rise_inside) / (rise_outside - rise_inside)
        within = torch.where(rise_outside.isfinite(), secant, (inside + outside) / 2)
        distance = torch.where(found, distance, torch.where(outside.isfinite(), within, 2 * inside))
    bracketed = outside.isfinite() & (inside <= farthest)
    reached = torch.where(found | bracketed, distance, torch.inf)
    return (z[which] + sides * reached).view(count, 2)
