"""A simulator calibrated: its estimates with every interval asked for, and what they are worth on held-out data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation import Estimation, Interval, Posterior, bootstrap, profile, sample
from cotwin.estimation.discrepancy import Process
from cotwin.estimation.fit import Rest
from cotwin.estimation.judge import Errors, Judge, no_better, smallest, worse_than_start
from cotwin.estimation.note import Note, reasons
from cotwin.estimation.pooled import pools
from cotwin.estimation.resolution import Kind, Shift
from cotwin.estimation.stages import UNSEEN, Stages
from cotwin.parameters import estimates
from cotwin.stepper import Effort, Stepper, rolled

Ends = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Resampling:
    """A moving-block bootstrap. block: the time it keeps together; None for one by the number of times."""

    replicates: int
    block: float | None


@dataclass(frozen=True)
class Drawing:
    """Markov chains through the posterior: draws of each."""

    draws: int
    chains: int


@dataclass(frozen=True)
class Calibration:
    """What was estimated and how good it is; parameters by their names, fields at the points of the data.

    truth: known parameters, perhaps none. start: the values that the search began with.
    numerics: by how much each would move without the error of the grid, and of the time steps; or why that was not
    looked at. changes: settings of the simulator with which the estimation was repeated for it.
    independent: ends of the intervals if residuals were independent, where they are correlated.
    profiled, resampled: ends of intervals by profile likelihood and by bootstrap, where they were asked for.
    posterior: draws from it, where they were asked for; drawn: ends of its intervals, none where chains did not mix.
    before, after: errors of full rollouts on the validation data, at the start and at the estimate; test: at the
    estimate on the test data, None without any. baselines: on the validation data, of what needs no model.
    fitted: the rollouts from the starts with the estimates, (B, T, C, *S).
    effort: what search and intervals asked of the user's program; None where there is none.
    """

    estimation: Estimation
    intervals: dict[str, Interval]
    truth: Mapping[str, Tensor]
    start: dict[str, Tensor]
    numerics: Mapping[Kind, Shift | str]
    changes: Mapping[str, int]
    independent: dict[str, Ends]
    profiled: dict[str, Ends]
    resampled: dict[str, Ends]
    posterior: Posterior | None
    drawn: dict[str, Ends]
    before: Errors
    after: Errors
    test: Errors | None
    baselines: Mapping[str, Errors]
    fitted: Float[Tensor, "B T C *S"]
    effort: Effort | None

    def shift(self, name: str) -> Tensor | None:
        """By how much a parameter would move without the numerics' errors; None where none was looked at."""
        parts = [one.by_name[name] for one in self.numerics.values() if isinstance(one, Shift)]
        return self.estimation.stepper.at_data_points(torch.stack(parts).sum(dim=0)) if parts else None

    def remarks(self) -> list[Note]:
        """What speaks against the estimate on held-out data, in sentences; none where nothing does."""
        rivals = {name: errors.nrmse for name, errors in self.baselines.items()}
        return [
            *worse_than_start("estimate", self.after.nrmse, self.before.nrmse, "validation"),
            *no_better("estimate", self.after.nrmse, smallest(rivals), "validation"),
        ]

    @property
    def in_simulator(self) -> dict[str, Tensor]:
        """The numbers that fit the data on the simulator's own grid, with its own steps: those that it has."""
        model = self.estimation.stepper
        return {name: model.at_data_points(value).double() for name, value in estimates(model).items()}

    @property
    def moved(self) -> bool:
        """Whether the error of the numerics was taken off the estimates."""
        return any(isinstance(one, Shift) and one.within for one in self.numerics.values())

    @property
    def widened(self) -> list[str]:
        """What the printed intervals know of, and draws from the posterior do not."""
        codes = {note.code for note in self.estimation.warnings}
        known = {
            "residuals that are correlated": bool(self.independent),
            "the noise of the starts": "noise_in_starts" in codes,
            "the error of the numerics": self.moved,
        }
        return [what for what, counts in known.items() if counts]

    @property
    def reasons(self) -> list[str]:
        """Codes of what makes the estimate unreliable, held-out data included."""
        return reasons([*self.estimation.warnings, *self.remarks()])

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for estimation.json."""
        found = self.estimation
        channels = found.problem.observation.layout.channel_names
        return {
            "level": found.level,
            "estimates": [self._json(name) for name in self.intervals],
            "noise": dict(zip(channels, found.noise.tolist(), strict=True)),
            "discrepancy": None if found.discrepancy is None else _discrepancy(found, found.discrepancy),
            "chi_square_per_degree_of_freedom": found.fit,
            "condition": None if found.information is None else found.information.condition,
            "least_identifiable": None if found.information is None else found.information.weakest,
            "converged": found.converged,
            "starting_points": found.points,
            "starting_points_that_agree": found.agreeing,
            "second_minimum": None if found.second is None else _minimum(found, found.second),
            "numerics": {kind: self._numerics(one) for kind, one in self.numerics.items()},
            "effort": None if self.effort is None else vars(self.effort),
            "repeated_with": dict(self.changes),
            "pools": [vars(pool) for pool in pools(found)],
            "posterior": None if self.posterior is None else self.posterior.as_json(),
            "posterior_leaves_out": [] if self.posterior is None else self.widened,
            "reliable": not self.reasons,
            "reasons": self.reasons,
            "warnings": found.warnings,
            "warning_codes": [note.code for note in found.warnings],
            "validation_at_start": self.before.vrmse,
            "validation": self.after.vrmse,
            "test": None if self.test is None else self.test.vrmse,
            "validation_nrmse_at_start": self.before.nrmse,
            "validation_nrmse": self.after.nrmse,
            "test_nrmse": None if self.test is None else self.test.nrmse,
            "baselines_nrmse": {name: errors.nrmse for name, errors in self.baselines.items()},
            "verdicts": self.remarks(),
        }

    def _numerics(self, one: Shift | str) -> dict[str, Any]:
        if isinstance(one, str):
            return {"not_checked": one}
        points = self.estimation.stepper.at_data_points
        shifts = {name: points(value).tolist() for name, value in one.by_name.items()}
        order = {"order": one.order, "order_seen": one.seen}
        return {"shift": shifts, **order, "largest_in_half_widths": one.largest, "in_interval": one.within}

    def _json(self, name: str) -> dict[str, Any]:
        interval, truth = self.intervals[name], self.truth.get(name)
        ends = {
            "independent": self.independent.get(name),
            "profile": self.profiled.get(name),
            "bootstrap": self.resampled.get(name),
            "posterior": self.drawn.get(name),
        }
        return {
            "name": name,
            "unit": interval.unit,
            **({"groups": rows} if (rows := self.estimation.problem.unknowns.parameters[name].rows) else {}),
            "start": self.start[name].tolist(),
            "value": interval.value.tolist(),
            "in_simulator": self.in_simulator[name].tolist(),
            "standard_deviation": interval.deviation.tolist(),
            "interval": [interval.low.tolist(), interval.high.tolist()],
            **{f"{kind}_interval": [end.tolist() for end in pair] for kind, pair in ends.items() if pair is not None},
            **({} if self.posterior is None else {"mixing": vars(self.posterior.mixing[name])}),
            "truth": None if truth is None else truth.tolist(),
        }


def calibrate(
    found: Estimation,
    stepper: Stepper,
    validation: Judge,
    test: Judge | None,
    *,
    numerics: Mapping[Kind, Shift | str],
    changes: Mapping[str, int],
    profiles: bool = False,
    resampling: Resampling | None = None,
    drawing: Drawing | None = None,
    truth: Mapping[str, Tensor] | None = None,
    effort: Effort | None = None,
    seed: int = 0,
    stages: Stages = UNSEEN,
) -> Calibration:
    """The intervals asked for, and how well a stepper does with its estimates. stepper: as it was before."""
    profiled = profile(found, stages=stages) if profiles else {}
    resampled: dict[str, Ends] = {}
    if resampling is not None:
        try:
            replicates, block = resampling.replicates, resampling.block
            drawn = bootstrap(found, replicates, block=block, seed=seed, stages=stages)
            resampled = {name: (drawn.low[name], drawn.high[name]) for name in drawn.low}
        except ValueError as error:
            # That few replicates come to rest is no reason to lose the estimate.
            found.warnings.append(Note("no_bootstrap", f"there are no intervals by bootstrap: {error}"))
    posterior = _posterior(found, drawing, seed)
    with torch.no_grad():
        fitted = rolled(found.stepper, found.starts, found.problem.observation.num_steps, found.problem.given).cpu()
    # The estimate is in double precision, whatever the data are in.
    calibrated = copy.deepcopy(found.stepper).to(validation.dtype)
    return Calibration(
        estimation=found,
        intervals={name: _shown(interval, found.stepper) for name, interval in found.intervals.items()},
        truth={} if truth is None else truth,
        start={name: stepper.at_data_points(value) for name, value in estimates(stepper).items()},
        numerics=numerics,
        changes=changes,
        independent={name: _at_points((one.low, one.high), found.stepper) for name, one in found.independent.items()},
        profiled=_all_at_points(profiled, found.stepper),
        resampled=_all_at_points(resampled, found.stepper),
        posterior=posterior,
        drawn={} if posterior is None else _all_at_points(posterior.intervals, found.stepper),
        before=validation.measure(stepper),
        after=validation.measure(calibrated),
        test=None if test is None else test.measure(calibrated),
        baselines=validation.baselines(stepper.layout),
        fitted=fitted,
        effort=effort,
    )


def _posterior(found: Estimation, drawing: Drawing | None, seed: int) -> Posterior | None:
    if drawing is None:
        return None
    try:
        return sample(found, drawing.draws, chains=drawing.chains, seed=seed)
    except ValueError as error:
        # As with the bootstrap: the estimate is there.
        found.warnings.append(Note("no_posterior", f"there are no draws from the posterior: {error}"))
        return None


def _all_at_points(ends: Mapping[str, Ends], model: Stepper) -> dict[str, Ends]:
    return {name: _at_points(pair, model) for name, pair in ends.items()}


def _discrepancy(found: Estimation, process: Process) -> dict[str, Any]:
    channels, noise = found.problem.observation.layout.channel_names, found.noise
    return {
        "deviation": dict(zip(channels, (process.ratio.cpu() * noise).tolist(), strict=True)),
        "prior_deviation": dict(zip(channels, process.scale.tolist(), strict=True)),
        "length": process.length,
        "duration": process.duration,
        "explained": process.explained(found.residuals.to(process.ratio)),
        "effective_degrees_of_freedom": process.effective(),
    }


def _minimum(found: Estimation, rest: Rest) -> dict[str, Any]:
    return {"log_likelihood_less_by": rest.behind, "starting_points": rest.count, "values": found.labelled(rest.raw)}


def _shown(interval: Interval, model: Stepper) -> Interval:
    value, deviation = model.at_data_points(interval.value), model.at_data_points(interval.deviation)
    low, high = _at_points((interval.low, interval.high), model)
    return replace(interval, value=value, deviation=deviation, low=low, high=high)


def _at_points(ends: Ends, model: Stepper) -> Ends:
    return model.at_data_points(ends[0]), model.at_data_points(ends[1])
