"""Intervals by profile likelihood: how far a parameter can go if the others give way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cotwin.estimation.estimation import Estimation
from cotwin.estimation.information import FullInformation
from cotwin.estimation.levenberg_marquardt import Solution, levenberg_marquardt
from cotwin.estimation.note import Note
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.stages import UNSEEN, Stages, Tensors
from cotwin.parameters import Elementwise

ROUNDS = 12
FARTHEST = 100.0  # of a raw number, and ten deviations, if it has one: an end that has not come by then is open
PATIENCE = 4  # times that a search which has not come to rest goes on from where it stopped
LOWER = 0.01  # a cost lower than the estimate's by so much is no matter of rounding


def profile(
    estimation: Estimation, names: Sequence[str] | None = None, stages: Stages = UNSEEN
) -> dict[str, tuple[Tensor, Tensor]]:
    """Ends of the interval of each parameter, in natural units: where the cost, minimised over all others, has risen.

    By q²/2, q the quantile of the estimation's level (normal, or Student's where the noise was estimated): the set of
    values that a likelihood-ratio test does not reject. It need not be symmetric around the estimate. Where the cost
    never rises so far, an end is open: infinite, or a bound.
    A search over the others that has not come to rest leaves a cost that is too high, which excludes nothing. An end
    that rests on such costs is open too. The estimation's warnings name these ends, and say if the profile met a
    lower cost than the estimate's.
    names: of the parameters; all that are numbers of their own (not fields by coefficients) if not given.
    All parameters, both ends, are sought at once, in one batch.

    Raises ValueError for a parameter that is not known, or is a field.
    Source: Venzon & Moolgavkar (1988), Appl. Statist. 37.
    """
    unknowns, z = estimation.problem.unknowns, estimation.z
    able = [name for name, parameter in unknowns.parameters.items() if isinstance(parameter, Elementwise)]
    wanted = able if names is None else names
    for name in wanted:
        if name not in able:
            choice = f"choose among {', '.join(able)}" if able else "nor has any other unknown"
            raise ValueError(f"{name!r} has no profile, only numbers of their own have one; {choice}.")
    if not wanted:
        return {}
    places = torch.cat([torch.arange(len(unknowns), device=z.device)[unknowns.place(name)] for name in wanted])
    ends, settled, lowest = stages.take(
        "profile", [z, places, z.new_tensor(estimation.quantile)], lambda: _ends(estimation, places)
    ).values()
    labels = [unknowns.labels[place] for place in places.tolist()]
    _warn(estimation, labels, settled, float(lowest))
    found, first = {}, 0
    for name in wanted:
        module, size = unknowns.parameters[name], unknowns.parameters[name]().numel()
        assert isinstance(module, Elementwise)
        low, high = ends[first : first + size].cpu().unbind(1)
        shape = module.raw.shape
        found[name] = (module.to_natural(low.reshape(shape)), module.to_natural(high.reshape(shape)))
        first += size
    return found


def _warn(estimation: Estimation, labels: list[str], settled: Bool[Tensor, "K 2"], lowest: float) -> None:
    unsettled = [label for label, both in zip(labels, settled.all(dim=1).tolist(), strict=True) if not both]
    if unsettled:
        estimation.warnings.append(
            Note(
                "profile_open",
                f"the profile of {', '.join(unsettled)} has an open end because the search over the other unknowns "
                "did not come to rest there, or the simulator diverges. The interval may be narrower than shown.",
            )
        )
    if lowest < estimation.cost - LOWER:
        estimation.warnings.append(
            Note(
                "other_minimum",
                f"the profile met a better fit than the estimate, its cost lower by {estimation.cost - lowest:.3g}: "
                "the search rested in another minimum. Start from other values, or from more points.",
            )
        )


def _ends(estimation: Estimation, places: Int[Tensor, " K"]) -> Tensors:
    """Raw numbers where the profile has risen by q²/2, by regula falsi on the rise's root, which is nearly linear.

    An end that stays where it is counts half as much each time, so that it is left (the Illinois algorithm; Dowell &
    Jarratt 1971, BIT 11). With them whether each end rests on searches that came to rest, and the lowest cost that
    any met.
    """
    problem, z, count = estimation.problem, estimation.z, len(places)
    information, quantile = estimation.information, estimation.quantile
    if not isinstance(information, FullInformation):
        raise ValueError("profiles are for few unknowns; of many there are Laplace's intervals.")
    covariance = information.covariance()
    deviation = information.deviations(torch.eye(len(problem.unknowns), dtype=z.dtype, device=z.device)[places])
    farthest = FARTHEST + 10 * torch.where(deviation.isfinite(), deviation, 0.0).repeat_interleave(2)
    sides = torch.tensor([-1.0, 1.0], dtype=z.dtype, device=z.device).repeat(count)
    which = places.repeat_interleave(2)
    free = torch.ones(2 * count, len(problem.unknowns), dtype=torch.bool, device=z.device)
    free[torch.arange(2 * count), which] = False
    # How the others give way, as far as the problem is linear.
    along = torch.zeros(2 * count, len(z), dtype=z.dtype, device=z.device)
    along[:, : len(problem.unknowns)] = covariance[which] / covariance[which, which][:, None]
    # The end lies between `inside`, where the profile has not risen enough, and `outside`, where it has, for all that
    # the search there tells.
    inside, outside = torch.zeros_like(sides), torch.full_like(sides, torch.inf)
    rise_inside, rise_outside = torch.zeros_like(sides), torch.full_like(sides, torch.inf)
    distance = (quantile * deviation).clamp(max=5.0).repeat_interleave(2)
    found, settled = torch.zeros_like(which, dtype=torch.bool), torch.ones_like(which, dtype=torch.bool)
    lowest, side, stayed = estimation.cost, torch.zeros_like(sides), torch.zeros_like(sides)
    for _ in range(ROUNDS):
        solution = _rested(problem, z + (sides * distance)[:, None] * along, free)
        lowest = min(lowest, float(solution.cost.min()))
        rise = (2 * (solution.cost - estimation.cost)).clamp(min=0).sqrt()
        found |= solution.converged & ((rise - quantile).abs() < 1e-3 * quantile)
        # A cost is never below the profile, so what is low enough is inside, come to rest or not.
        low = rise < quantile
        settled = torch.where(low | found, settled, solution.converged) | found
        if bool((found | (inside > farthest)).all()):
            break
        inside, rise_inside = torch.where(low, distance, inside), torch.where(low, rise, rise_inside)
        outside, rise_outside = torch.where(low, outside, distance), torch.where(low, rise_outside, rise)
        moved = torch.where(low, -1.0, 1.0).to(sides)
        stayed = torch.where(moved == side, stayed + 1, 0.0)
        side = moved
        below = (quantile - rise_inside) * torch.where(low, 1.0, 0.5**stayed)
        above = (rise_outside - quantile) * torch.where(low, 0.5**stayed, 1.0)
        secant = inside + (outside - inside) * below / (below + above)
        within = torch.where(rise_outside.isfinite(), secant, (inside + outside) / 2)
        distance = torch.where(found, distance, torch.where(outside.isfinite(), within, 2 * inside))
    bracketed = outside.isfinite() & (inside <= farthest) & settled
    reached = torch.where(found | bracketed, distance, torch.inf)
    return {
        "ends": (z[which] + sides * reached).view(count, 2),
        "settled": settled.view(count, 2),
        "lowest": z.new_tensor(lowest),
    }


def _rested(problem: LeastSquares, points: Float[Tensor, "P Z"], free: Bool[Tensor, "P N"]) -> Solution:
    """Searches over the free numbers; those that have not come to rest go on from where they stopped."""
    solution = levenberg_marquardt(problem, points, free=free, iterations=40)
    for _ in range(PATIENCE):
        going = ~solution.converged & solution.cost.isfinite()
        if not bool(going.any()):
            break
        further = levenberg_marquardt(problem, solution.z[going], free=free[going], iterations=40)
        solution = Solution(
            solution.z.index_put((going,), further.z),
            solution.cost.index_put((going,), further.cost),
            solution.converged.index_put((going,), further.converged),
            solution.iterations + further.iterations,
        )
    return solution
