"""Estimation as nonlinear least squares: what is to be minimised."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cotwin.estimation.discrepancy import Process
from cotwin.estimation.linear import LARGEST_MOVE, Linearised, half_square
from cotwin.estimation.measurements import Measurements, NoisyStarts
from cotwin.estimation.observation import Observation, Until
from cotwin.estimation.prediction import AT_ONCE, Pace, Prediction
from cotwin.estimation.priors import Prior
from cotwin.estimation.starts import Starts
from cotwin.estimation.unknowns import Unknowns
from cotwin.given import Given
from cotwin.rollouts import checkpointed, rollout_with
from cotwin.stepper import Stepper

DIFFERENCES = {torch.float32: 5e-3, torch.float64: 1e-5}
"""Steps of central differences in raw numbers, mostly logarithms: near the cube root of the rounding error, good for
about five digits in single precision, ten in double."""
LARGE_OFFSET = 10.0
"""Of values, in units of how they vary, from which on differences to one side are too coarse for a search to end."""
LOOSELY = 2.0
"""Deviation of raw numbers, mostly logarithms, from where they begin, as long as only part of the time is fitted."""


class LeastSquares:
    """½ ‖(O(rollout(θ, s)) − y)/σ‖² + ½ ‖prior residuals of θ‖² + ½ ‖ε‖², over θ and, where starts are noisy, ε.

    To this cost something that is linear in θ near a place may be added, see `tilted`. Where a discrepancy is
    admitted, the first part is whitened: Σ^(−1/2) in place of 1/σ, Σ = σ² + cov δ. So are all misfits and their
    Jacobians here.

    stepper: with the unknowns θ, at their initial values. starts: s, (B, C, *S), or s as `NoisyStarts` of ε.
    priors: by the names that `estimates` gives. given: what comes from outside with the starts.

    Many points z = (raw θ, ε) at once, (P, Z): their rollouts are one batch, or a few. All on the stepper's device,
    and in double precision unless the stepper takes another alone. Jacobians are central differences: a batch of
    2N + 1 rollouts takes a tenth of the time of forward-mode differentiation on small grids and no longer on large
    ones.

    Raises ValueError where starts, observation and priors do not fit each other, and where there are more unknowns
    than values and priors.
    """

    def __init__(
        self,
        stepper: Stepper,
        starts: Float[Tensor, "B C *S"] | NoisyStarts,
        measurements: Measurements,
        priors: Mapping[str, Prior] | None = None,
        given: Given | None = None,
    ) -> None:
        self.dtype = stepper.dtype or torch.float64
        self.difference = DIFFERENCES[self.dtype]
        self.stepper = copy.deepcopy(stepper).to(self.dtype)
        self.unknowns = Unknowns(self.stepper)
        if not len(self.unknowns) and not isinstance(starts, NoisyStarts):
            raise ValueError(
                f"{type(stepper).__name__} has no unknown; declare one, for instance Positive(0.1) instead of "
                "Known(0.1)."
            )
        # What was measured, and what is known, goes to where the stepper is.
        device = self.stepper.device
        self.observation: Observation = copy.deepcopy(measurements.observation).to(device)
        self.values = measurements.values.double().to(device)
        self.deviation = measurements.deviation().to(device)
        like = torch.zeros((), dtype=self.dtype, device=device)
        self.starts = Starts.of(starts, self.observation.layout, like)
        self.stepper.require_state(self.starts.guess)
        if self.observation.num_trajectories != len(self.starts.guess):
            raise ValueError(
                f"{len(self.starts.guess)} starts, and an observation of {self.observation.num_trajectories} "
                "trajectories; give one start for each."
            )
        self.given = _required(self.stepper, given, len(self.starts.guess), self.dtype)
        self.priors = {name: copy.deepcopy(prior).to(device) for name, prior in (priors or {}).items()}
        for name, prior in self.priors.items():
            if name not in self.unknowns.parameters:
                raise ValueError(f"a prior for {name!r}; the unknowns are {', '.join(self.unknowns.parameters)}.")
            prior.check_start(name, self.unknowns.value(name, self.unknowns.present()))
        self.discrepancy: Process | None = None
        self.repeats: Tensor | None = None
        self.aside: Tensor | None = None
        self.anchor: Tensor | None = None
        self.level = self.tilt = torch.zeros(len(self.unknowns), dtype=torch.float64, device=device)
        self.offset = _offset(self.values, self.observation.channel)
        self.roughness: Tensor | None = None
        self._require_enough()

    @property
    def size(self) -> int:
        """Z, numbers in a point."""
        return len(self.unknowns) + len(self.starts.guess) * self.starts.size

    @property
    def points_at_once(self) -> int:
        """Points whose Jacobians take no more memory than the states of one batch; a search holds some copies."""
        return max(1, AT_ONCE // (8 * self.observation.size * (len(self.unknowns) + self.starts.size)))

    @property
    def differentiable_at_once(self) -> int:
        """Pairs of starts whose rollouts, with what their gradients need, take no more memory than one batch."""
        solver, count = self.stepper.solver_layout, len(self.starts.guess)
        states = 8 * count * solver.channels * math.prod(solver.grid) * (self.observation.num_steps + 1)
        return max(1, AT_ONCE // (32 * states))

    def present(self) -> Float[Tensor, "1 Z"]:
        """The stepper's own values, and the starts as guessed."""
        z = torch.zeros(1, self.size, dtype=torch.float64, device=self.starts.guess.device)
        z[0, : len(self.unknowns)] = self.unknowns.present()
        return z

    def resampled(self, repeats: Float[Tensor, "P M"]) -> LeastSquares:
        """The same problem for P points, where in each every value counts so many times."""
        twin = copy.copy(self)
        twin.repeats = repeats
        return twin

    def with_values(self, values: Float[Tensor, "*P M"]) -> LeastSquares:
        """The same problem with other values, or for P points, each with values of its own."""
        twin = copy.copy(self)
        twin.values = values
        return twin

    def with_noise(self, deviation: Float[Tensor, "*P C"]) -> LeastSquares:
        """The same problem at other levels of noise, or for P points, each with levels of its own."""
        twin = copy.copy(self)
        twin.deviation = deviation
        return twin

    def admitting(self, discrepancy: Process | None) -> LeastSquares:
        """The same problem with such an error of the simulator, or none."""
        twin = copy.copy(self)
        twin.discrepancy = discrepancy
        return twin

    def with_priors_aside(self, aside: Float[Tensor, "P R"]) -> LeastSquares:
        """The same problem for P points, where priors expect these residuals of theirs instead of zero."""
        twin = copy.copy(self)
        twin.aside = aside
        return twin

    def with_starts(self, noisy: NoisyStarts, z: Float[Tensor, "P Z"]) -> tuple[LeastSquares, Float[Tensor, "P W"]]:
        """The same problem with another prior of the starts, and points with nearly the same starts."""
        raw, white = self.parts(z)
        twin = copy.copy(self)
        twin.starts = self.starts.with_prior(noisy, self.observation.layout)
        weights = twin.starts.white(self.starts.states(white))
        return twin, torch.cat([raw, weights.flatten(1)], dim=1)

    def with_roughness(self, step: float, noise: Float[Tensor, " C"]) -> LeastSquares:
        """The same problem whose predictions have errors of their own, and whose differences need longer steps."""
        twin = copy.copy(self)
        twin.difference, twin.roughness = step, noise
        return twin

    def seeing(self, observation: Observation) -> LeastSquares:
        """The same problem of which something else is seen, values of zero: for its derivatives."""
        twin = copy.copy(self)
        twin.observation = copy.deepcopy(observation).to(self.starts.guess.device)
        twin.values, twin.repeats, twin.discrepancy = self.values.new_zeros(observation.size), None, None
        return twin

    def starting_from(self, guess: Float[Tensor, "B C *S"]) -> LeastSquares:
        """The same problem with other starts, or other guesses of them."""
        twin = copy.copy(self)
        twin.starts = replace(self.starts, guess=guess)
        return twin

    def tilted(self, tilt: Float[Tensor, " N"], level: Float[Tensor, " N"]) -> LeastSquares:
        """The same problem with tilt · (raw − level) added to its cost, which ends where a raw number has an end.

        Of a logarithm or a logit it is D tanh((raw − level)/D) in place of raw − level, D = `LARGEST_MOVE`. A line
        without an end would draw a number that the data do not hold beyond all bounds.
        """
        twin = copy.copy(self)
        twin.tilt, twin.level = tilt, level
        return twin

    def until(self, time: float) -> LeastSquares:
        """The problem of the measurements up to a time, with raw numbers held loosely where the stepper has them.

        What so few measurements do not determine would go anywhere. No discrepancy is admitted in it.
        """
        twin = self.admitting(None)
        twin.anchor = self.unknowns.present()
        part = Until(self.observation, time)
        twin.observation, twin.values = part, self.values[..., part.rows]
        twin.repeats = None if self.repeats is None else self.repeats[:, part.rows]
        return twin

    def calibrated(self, z: Float[Tensor, " Z"]) -> Stepper:
        """A copy of the stepper with the values in z."""
        stepper = copy.deepcopy(self.stepper)
        Unknowns(stepper).assign(z[: len(self.unknowns)])
        return stepper

    def on(self, stepper: Stepper) -> LeastSquares:
        """The same problem for another stepper with the same parameters, whose values it gets: a finer one, say.

        Raises ValueError where the other has other parameters.
        """
        twin = copy.copy(self)
        twin.stepper = copy.deepcopy(stepper).to(self.dtype)
        here, there = (dict(one.named_parameters()) for one in (self.stepper, twin.stepper))
        if [(name, one.shape) for name, one in here.items()] != [(name, one.shape) for name, one in there.items()]:
            raise ValueError(
                f"its parameters are {', '.join(there)} there, {', '.join(here)} here, or of other shapes."
            )
        with torch.no_grad():
            for name, value in here.items():
                there[name].requires_grad_(value.requires_grad).copy_(value)
        twin.unknowns = Unknowns(twin.stepper, self.unknowns.middle)
        return twin

    def seen_by(self, observation: Observation) -> LeastSquares:
        """The same problem with the same values, as another observation predicts them."""
        twin = copy.copy(self)
        twin.observation = observation
        return twin

    def with_unknowns_of(self, stepper: Stepper) -> LeastSquares:
        """The same problem for another stepper with other unknowns, at their values; nothing is added to the cost."""
        twin = copy.copy(self)
        twin.stepper = stepper
        twin.unknowns = Unknowns(stepper)
        twin.level = twin.tilt = self.level.new_zeros(len(twin.unknowns))
        return twin

    def without_closures(self, z: Float[Tensor, " Z"]) -> tuple[LeastSquares, Float[Tensor, " Z"]]:
        """The same problem with the weights of networks held at their values in z, and z without them."""
        _, white = self.parts(z[None])
        twin = copy.copy(self)
        twin.stepper = self.calibrated(z)
        for name in self.unknowns.closures:
            twin.stepper.get_parameter(name).requires_grad_(False)
        left = Unknowns(twin.stepper).names
        twin.level, twin.tilt, middle = (
            torch.cat([one.new_zeros(0), *(self.unknowns.split(one)[name].flatten() for name in left)])
            for one in (self.level, self.tilt, self.unknowns.middle)
        )
        twin.unknowns = Unknowns(twin.stepper, middle)
        return twin, torch.cat([twin.unknowns.present(), white.flatten()])

    def __getitem__(self, points: Tensor) -> LeastSquares:
        """The problem of some of the points."""
        twin = copy.copy(self)
        twin.repeats = None if self.repeats is None else self.repeats[points]
        twin.aside = None if self.aside is None else self.aside[points]
        twin.values = self.values if self.values.dim() == 1 else self.values[points]
        twin.deviation = self.deviation if self.deviation.dim() == 1 else self.deviation[points]
        return twin

    def predicted(self, z: Float[Tensor, "P Z"]) -> Float[Tensor, "P M"]:
        """What would be measured without noise, not finite where the rollout diverges."""
        raw, white = self.parts(z)
        return self._prediction.of(raw, self.starts.states(white)[:, None], self.paces(z))[:, 0]

    def weighted(self, predicted: Float[Tensor, "P M"]) -> Float[Tensor, "P M"]:
        """(prediction − value)/σ of predictions that are known already."""
        return self._misfit(predicted)

    def prior_residuals(self, z: Float[Tensor, "P Z"]) -> Float[Tensor, "P R"]:
        """Of the parameters' priors."""
        return self._prior(self.parts(z)[0])

    def misfit(self, z: Float[Tensor, "P Z"], paces: list[Pace] | None = None) -> Float[Tensor, "P M"]:
        """(prediction − value)/σ, not finite where the rollout diverges. Without paces, at each point's own."""
        raw, white = self.parts(z)
        starts = self.starts.states(white)[:, None]
        return self._misfit(self._prediction.of(raw, starts, paces or self.paces(z))[:, 0])

    def cost(self, z: Float[Tensor, "P Z"]) -> Float[Tensor, " P"]:
        """½ ‖r‖², infinite where the rollout diverges."""
        raw, white = self.parts(z)
        cost = half_square(self.misfit(z), self._prior(raw), white) + self._height(raw)
        return torch.where(cost.isfinite(), cost, torch.inf)

    def differentiable_cost(self, z: Float[Tensor, " Z"]) -> Float[Tensor, ""]:
        """½ ‖r‖² of one point, for reverse-mode differentiation."""
        raw, white = self.parts(z[None])
        return (half_square(self.differentiable_misfit(z)[None], self._prior(raw), white) + self._height(raw))[0]

    def differentiable_misfit(self, z: Float[Tensor, " Z"]) -> Float[Tensor, " M"]:
        """(prediction − value)/σ of one point, for reverse-mode differentiation."""
        raw, white = self.parts(z[None])
        named = {name: value[0].to(self.dtype) for name, value in self.unknowns.split(raw).items()}
        steps = self.observation.num_steps
        states = rollout_with(self.stepper, named, self.starts.states(white)[0], steps, self.given)
        return self._misfit(self.observation(states).double()[None])[0]

    def along_starts(self, z: Float[Tensor, " Z"], moves: Float[Tensor, "K n"]) -> Float[Tensor, "K M"]:
        """Derivatives of (prediction − value)/σ of one point along moves of its starts, all trajectories together.

        For reverse-mode differentiation: central differences of two batches of rollouts.
        """
        raw, white = self.parts(z[None])
        named = {name: value[0].to(self.dtype) for name, value in self.unknowns.split(raw).items()}
        away = self._differenced * moves[:, None]
        starts = self.starts.states(torch.cat([white + away, white - away]))
        given, steps = self.given and self.given.repeated(len(starts)), self.observation.num_steps
        states = rollout_with(checkpointed(self.stepper), named, starts.flatten(0, 1), steps, given)
        seen = torch.stack([self.observation(one).double() for one in states.unflatten(0, starts.shape[:2])])
        return self._weighed((seen[: len(moves)] - seen[len(moves) :]) / (2 * self._differenced))

    def prior_jacobian(self, z: Float[Tensor, " Z"]) -> Float[Tensor, "R N"]:
        """Of the priors' residuals to the raw parameters."""
        jacobian: Tensor = torch.func.jacfwd(self._prior_of)(z[: len(self.unknowns)])
        return jacobian

    def linearise(self, z: Float[Tensor, "P Z"], paces: list[Pace] | None = None) -> Linearised:
        """Residuals and Jacobians, by central differences. Without paces, at each point's own."""
        return self._linearise(z, paces or self.paces(z), ahead=self._differenced, behind=self._differenced)

    def sketch(self, z: Float[Tensor, "P Z"], paces: list[Pace]) -> Linearised:
        """The same by differences to one side, at half the cost and good for half the digits: enough for a search.

        Unless an offset or a rough program takes too many of them.
        """
        if self._coarse:
            return self.linearise(z, paces)
        return self._linearise(z, paces, ahead=self._sketched, behind=0.0)

    def rounding(self, paces: list[Pace]) -> Float[Tensor, "P M"]:
        """What the misfit may be wrong by: each stage of a step rounds values as large as the measured ones."""
        stages = self.values.new_tensor([self.observation.num_steps * max(1, sum(pace or ())) for pace in paces])
        error = torch.finfo(self.dtype).eps * stages.sqrt()[:, None] * self.values.abs()
        if self.roughness is not None:
            error = error + self.roughness[self.observation.channel]
        return error * self._weight()

    @property
    def apart(self) -> float:
        """Raw numbers between the two ends of the differences of `sketch`."""
        return 2 * self._differenced if self._coarse else self._sketched

    def moved(
        self, linear: Linearised, z: Float[Tensor, "P Z"], step: Float[Tensor, "P Z"], paces: list[Pace]
    ) -> Linearised:
        """The same after a step to z, by one rollout for each point: Jacobians follow as secants."""
        raw, _ = self.parts(z)
        added = self._height(raw), self._tilt(raw)
        return linear.moved(step, self.misfit(z, paces), self._prior(raw), self._prior_by_raw(z), *added)

    def paces(self, z: Float[Tensor, "P Z"]) -> list[Pace]:
        """What each point needs by itself, so that it costs the same whichever others are in its batch."""
        return [self._prediction.pace(one.to(self.dtype)) for one in self.parts(z)[0].split(1)]

    def parts(self, z: Float[Tensor, "P Z"]) -> tuple[Float[Tensor, "P N"], Float[Tensor, "P B n"]]:
        """Raw θ and ε."""
        raw, white = z.split([len(self.unknowns), z.shape[1] - len(self.unknowns)], dim=1)
        return raw, white.reshape(len(z), len(self.starts.guess), self.starts.size)

    @property
    def _coarse(self) -> bool:
        return self.offset > LARGE_OFFSET or self.roughness is not None

    @property
    def _differenced(self) -> float:
        return float(self.difference * self.offset ** (1 / 3))

    @property
    def _sketched(self) -> float:
        return float((torch.finfo(self.dtype).eps * self.offset) ** 0.5)

    @property
    def _prediction(self) -> Prediction:
        return Prediction(self.stepper, self.unknowns, self.observation, self.given)

    def _linearise(self, z: Tensor, paces: list[Pace], ahead: float, behind: float) -> Linearised:
        raw, white = self.parts(z)
        starts = self.starts.states(white)
        own = self.unknowns.together(self.given, self.observation.trajectory)
        moves = own.moves.to(raw)
        back = [raw[:, None] - behind * moves] if behind else []
        ends = torch.cat([raw[:, None], raw[:, None] + ahead * moves, *back], dim=1)
        every = starts[:, None].expand(*ends.shape[:2], *starts.shape[1:]).flatten(0, 1)
        paced = [pace for pace in paces for _ in range(ends.shape[1])]
        predicted = self._prediction.of(ends.flatten(0, 1), every[:, None], paced)[:, 0]
        predicted = predicted.unflatten(0, ends.shape[:2])
        here, there = predicted[:, :1], predicted[:, 1 : 1 + len(moves)]
        behind_it = predicted[:, 1 + len(moves) :] if behind else here
        by_white = self._by_white(raw, white, paces, here, ahead, behind)
        return Linearised(
            misfit=self._misfit(here[:, 0]),
            prior=self._prior(raw),
            white=white,
            by_raw=self._weighed(own.apart((there - behind_it) / (ahead + behind))).mT,
            prior_by_raw=self._prior_by_raw(z),
            by_white=self._weighed(by_white.mT).mT,
            height=self._height(raw),
            tilt=self._tilt(raw),
            trajectory=self.observation.trajectory,
        )

    def _by_white(
        self, raw: Tensor, white: Tensor, paces: list[Pace], here: Tensor, ahead: float, behind: float
    ) -> Float[Tensor, "P M n"]:
        """Of the predictions to ε: one direction for all trajectories at once."""
        columns = [raw.new_zeros(len(raw), self.observation.size, 0)]
        at_once = max(1, AT_ONCE // (2 * len(raw) * self._prediction.bytes_from(self.starts.guess)))
        for first in range(0, self.starts.size, at_once):
            moves = torch.eye(self.starts.size, dtype=torch.float64, device=raw.device)[first : first + at_once, None]
            back = [white[:, None] - behind * moves] if behind else []
            ends = torch.cat([white[:, None] + ahead * moves, *back], dim=1)
            predicted = self._prediction.of(raw, self.starts.states(ends), paces)
            behind_it = predicted[:, len(moves) :] if behind else here
            columns.append(((predicted[:, : len(moves)] - behind_it) / (ahead + behind)).mT)
        return torch.cat(columns, dim=2)

    def _misfit(self, predicted: Float[Tensor, "P M"]) -> Float[Tensor, "P M"]:
        return self._weighed(predicted - self.values)

    def _weighed(self, values: Float[Tensor, "P *K M"]) -> Float[Tensor, "P *K M"]:
        """By the noise, and whitened where errors are not independent."""
        weight = self._weight()
        weighed = values * weight.view(len(weight), *[1] * (values.dim() - 2), -1)
        return weighed if self.discrepancy is None else self.discrepancy.whitened(weighed)

    def _weight(self) -> Float[Tensor, "#P M"]:
        weight = 1 / self.deviation[..., self.observation.channel].view(-1, self.observation.size)
        return weight if self.repeats is None else weight * self.repeats.sqrt()

    def _height(self, raw: Float[Tensor, "P N"]) -> Float[Tensor, " P"]:
        away = raw - self.level
        ending = LARGEST_MOVE * torch.tanh(away / LARGEST_MOVE)
        return (torch.where(self.unknowns.bounded, ending, away) * self.tilt).sum(dim=1)

    def _tilt(self, raw: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
        """The slope of that."""
        ending = 1 - torch.tanh((raw - self.level) / LARGEST_MOVE).square()
        return torch.where(self.unknowns.bounded, ending, 1.0) * self.tilt

    def _prior_by_raw(self, z: Float[Tensor, "P Z"]) -> Float[Tensor, "P R N"]:
        if not len(self.unknowns) or (not self.priors and self.anchor is None):
            return z.new_zeros(len(z), 0, len(self.unknowns))
        every: Tensor = torch.func.vmap(self.prior_jacobian)(z)
        return every

    def _prior(self, raw: Float[Tensor, "P N"]) -> Float[Tensor, "P R"]:
        if not len(self.unknowns) or (not self.priors and self.anchor is None):
            return raw.new_zeros(len(raw), 0)
        every: Tensor = torch.func.vmap(self._prior_of)(raw)
        if self.aside is None:
            return every
        # The anchor's come last.
        return every - torch.nn.functional.pad(self.aside, (0, every.shape[1] - self.aside.shape[1]))

    def _prior_of(self, raw: Float[Tensor, " N"]) -> Float[Tensor, " R"]:
        parts = [prior.residuals(self.unknowns.value(name, raw)).flatten() for name, prior in self.priors.items()]
        loosely = [] if self.anchor is None else [(raw - self.anchor) / LOOSELY]
        return torch.cat([raw.new_zeros(0), *parts, *loosely])

    def _require_enough(self) -> None:
        known = len(self.values) + self._prior(self.present()[:, : len(self.unknowns)]).shape[1]
        known += self.size - len(self.unknowns)  # ε is its own prior
        if known < self.size:
            raise ValueError(
                f"{len(self.values)} values do not determine {self.size} unknowns; observe more, estimate less "
                "(Known, a coarser field), or say with priors what is known beforehand."
            )


def _required(stepper: Stepper, given: Given | None, count: int, dtype: torch.dtype) -> Given | None:
    """What a stepper is given in every rollout, where and as precise as it is; None for one that takes nothing."""
    if not stepper.takes_given:
        return None
    if given is None or len(given) != count:
        raise ValueError(
            f"{type(stepper).__name__} has to be told what is given with each of {count} starts, and of which "
            "trajectory it is: given=Given.of(…)."
        )
    return given.to(stepper.device).to(dtype)


def _offset(values: Float[Tensor, " M"], channel: Int[Tensor, " M"]) -> float:
    """How much larger values are than they vary, at least 1, by the channel where it is most.

    Of values with an offset, differences lose so many times more to rounding: they need longer steps.
    """
    most = 1.0
    for one in channel.unique():
        own = values[channel == one]
        spread, largest = float(own.std(correction=0)), float(own.abs().max())
        if spread > torch.finfo(values.dtype).eps * largest:
            most = max(most, largest / (3 * spread))
    return most
