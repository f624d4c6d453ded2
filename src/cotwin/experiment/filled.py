"""States that nobody has seen, as the calibrated simulator gives them, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cotwin.estimation import Estimation, Grid
from cotwin.estimation.levels import off_together
from cotwin.estimation.low_rank import LowRankInformation
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.unseen import guess
from cotwin.seeds import seeded
from cotwin.training.held_out import HeldOut
from cotwin.windows.start_states import Places

DRAWS = 32
"""From the posterior of parameters and starts, from which it is told how sure a state is."""


@dataclass(frozen=True)
class Filled:
    """What rollouts of the calibrated simulator put into the holes of the training data and before held-out data.

    states: the training states. sure: 1 where they were measured, v/(v + s²) where they were filled, s their standard
    deviation in the posterior and v the variance of the channel. covered: which frames a rollout fills, (N, T).
    validation, test: where held-out rollouts start.
    """

    states: Float[Tensor, "N T C *S"]
    sure: Float[Tensor, "N T C *S"]
    covered: Bool[Tensor, "N T"]
    validation: Float[Tensor, "V C *S"]
    test: Float[Tensor, "W C *S"]

    def of(self, data: Dataset) -> Dataset:
        """The data with these states."""
        return replace(
            data,
            train=replace(data.train, states=self.states),
            validation=_begun(data.validation, self.validation),
            test=None if data.test is None else _begun(data.test, self.test),
            starts=self.covered,
            sure=self.sure,
            unseen=None,
        )


def guessed(data: Dataset) -> Dataset:
    """The data with guesses instead of states that nobody has seen: to build from, before anything is estimated."""
    assert data.unseen is not None
    states = guess(data.train, data.unseen.hidden)
    test = data.validation.states[:0] if data.test is None else data.test.states
    everywhere = torch.ones(states.shape[:2], dtype=torch.bool)
    return Filled(states, torch.ones_like(states), everywhere, data.validation.states[:, 0], test[:, 0]).of(data)


def fill(data: Dataset, places: Places, found: Estimation) -> Filled:
    """From an estimate whose starts were estimated with it. places: of its starts, as `calibrate.Task` has them."""
    assert data.unseen is not None
    train, count = data.train, len(data.train)
    mask = torch.ones_like(train.states, dtype=torch.bool) if train.mask is None else train.mask
    states, covered = train.states.clone(), torch.zeros(mask.shape[:2], dtype=torch.bool)
    doubt = torch.zeros_like(states)
    every = list(zip(places.rows.tolist(), places.frames.tolist(), strict=True))
    likely, deviation = in_posterior(found)
    steps = likely.shape[1]
    for place, (row, first) in enumerate(every):
        if row < count:
            stretch = slice(first, first + steps)
            states[row, stretch] = torch.where(mask[row, stretch], states[row, stretch], likely[place].to(states))
            doubt[row, stretch], covered[row, stretch] = deviation[place].to(states), True
    starts = {row: likely[place, 0].to(states) for place, (row, first) in enumerate(every) if first == 0}
    begun = torch.stack([starts[row] for row in range(len(starts))])
    variance = states[covered].double().transpose(0, 1).flatten(1).var(dim=1, correction=0)
    variance = variance.clamp(min=torch.finfo(torch.float64).tiny).view(-1, *[1] * train.layout.dims)
    sure = torch.where(mask, 1.0, variance / (variance + doubt.double().square())).to(states)
    sure[~covered] = mask[~covered].to(states)
    return Filled(states, sure, covered, begun[data.unseen.validation], begun[data.unseen.test])


def in_posterior(found: Estimation) -> tuple[Float[Tensor, "B T C *S"], Float[Tensor, "B T C *S"]]:
    """From the estimated starts, and their standard deviations in the posterior.

    These are zero where more than 300 unknown numbers were found along gradients, which does not tell.
    """
    problem, layout = found.problem, found.problem.observation.layout
    count, steps = len(problem.starts.guess), problem.observation.num_steps
    whole = problem.seeing(Grid(layout, count, steps, first=0))
    points, guesses = found.z[None], problem.starts.guess[None]
    if not isinstance(found.information, LowRankInformation):
        step, generator = found.linear.unwhitening(), seeded(0)
        noise = torch.randn(DRAWS, len(found.z), generator=generator, dtype=torch.float64).to(found.z)
        following, levels = off_together(found)
        off = torch.randn(DRAWS, len(following), generator=generator, dtype=torch.float64).to(found.z)
        drawn = torch.stack([found.z + step(one) for one in noise]) + off @ following
        moved = (off @ levels).view(DRAWS, 1, -1, *[1] * layout.dims).to(guesses)
        points, guesses = torch.cat([points, drawn]), torch.cat([guesses, guesses + moved])
    seen = torch.cat(
        [whole.starting_from(guess).predicted(point[None]) for guess, point in zip(guesses, points, strict=True)]
    )
    seen = seen.view(len(points), count, steps + 1, -1, *layout.grid)
    states = problem.starts.states(problem.parts(found.z[None])[1])[0][:, None].expand(
        -1, steps + 1, *layout.state_shape
    )
    likely, deviation = states.clone(), torch.zeros_like(states)
    moving = problem.starts.moving
    likely[:, :, moving] = seen[0].to(likely)
    if len(points) > 1:
        deviation[:, :, moving] = (seen[1:] - seen[0]).square().mean(dim=0).sqrt().to(likely)
    return likely.cpu(), deviation.cpu()


def _begun(held_out: HeldOut, starts: Float[Tensor, "N C *S"]) -> HeldOut:
    states = held_out.states.clone()
    states[:, 0] = starts
    return HeldOut(
        states,
        held_out.mask,
        held_out.scored_from,
        held_out.variance,
        held_out.about,
        held_out.given,
        held_out.between,
        held_out.sensors,
        clean=held_out.clean,
    )
