"""Estimates of a stepper's unknowns from measurements, with intervals."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress

import scipy.stats
from jaxtyping import Float
from torch import Tensor

from cotwin.estimation import notes
from cotwin.estimation.admitted import with_longer
from cotwin.estimation.discrepancy import Process
from cotwin.estimation.ensemble import Ensemble
from cotwin.estimation.fit import Fit, Rest
from cotwin.estimation.information import FullInformation, Information
from cotwin.estimation.intervals import Interval, holding, laplace_interval
from cotwin.estimation.known import Known
from cotwin.estimation.linear import Linearised
from cotwin.estimation.note import Note, reasons
from cotwin.estimation.problem import LeastSquares
from cotwin.estimation.sandwich import Widened
from cotwin.estimation.unknowns import Unknowns
from cotwin.stepper import Stepper

LINEAR = 2.0
"""Farthest that a raw number, mostly a logarithm, is moved to look whether the problem is linear."""
SAME = 5.0
"""Standard deviations within which searches came to the same place."""


@dataclass(frozen=True)
class Estimation:
    """What `estimate` found.

    stepper: calibrated, a copy of the one given. intervals: by the parameters' names. level: of the intervals;
    quantile: how many standard deviations they reach.
    information: how well they are determined; None where a network is the only unknown.
    spread, reach: what the intervals are formed with, and how many of its standard deviations they reach. Information
    and quantile, but where residuals are correlated the wider `Widened` and its Student's quantile; then independent
    has the intervals without that.
    noise: of each channel; nan where nothing of a channel was measured. noise_estimated: or else given.
    begin: raw numbers of all unknowns, as the search began with them.
    starts: the initial states, as given or as estimated. residuals: (prediction − value)/σ; where a discrepancy is
    admitted whitened, Σ^(−1/2) (prediction − value), Σ = σ² + cov δ.
    cost: ½ ‖residuals‖², those of priors and starts included. freedom: degrees of freedom, values less what their
    predictions take up of them. fit: χ² of the values by it, near one where the model and a given noise fit, and in
    any case where the noise is estimated.
    converged: whether the search came to rest. agreeing: how many of `points` starting points came to this place.
    ensemble: the members that found it, with their predictions; None for other searches.
    others: where else some of them came, best first; the rest were given up on the way.
    warnings: what a person should know before using the numbers.
    All that is for reading is on the CPU; begin, starts, problem and z are where the stepper is.
    """

    stepper: Stepper
    intervals: dict[str, Interval]
    level: float
    information: Information | None
    noise: Float[Tensor, " C"]
    noise_estimated: bool
    begin: Float[Tensor, " N"]
    starts: Float[Tensor, "B C *S"]
    residuals: Float[Tensor, " M"]
    cost: float
    freedom: float
    fit: float
    converged: bool
    iterations: int
    points: int
    agreeing: int
    others: list[Rest]
    warnings: list[Note]
    problem: LeastSquares
    z: Float[Tensor, " Z"]
    quantile: float
    spread: Information | None
    reach: float
    independent: dict[str, Interval]
    ensemble: Ensemble | None

    @property
    def linear(self) -> Linearised:
        """The problem around the estimate."""
        return self.linearised(self.problem)

    def linearised(self, problem: LeastSquares) -> Linearised:
        """A problem of the same measurements there: by the ensemble that found it, else by differences."""
        return problem.linearise(self.z[None]) if self.ensemble is None else self.ensemble.linear(problem, self.z)

    @property
    def discrepancy(self) -> Process | None:
        """The simulator's error as it was found, with deviations in units of the noise."""
        return self.problem.discrepancy

    @property
    def second(self) -> Rest | None:
        """The second-best minimum, if any was met."""
        return next((other for other in self.others if other.converged), None)

    def labelled(self, raw: Float[Tensor, " N"]) -> dict[str, float]:
        """Each of the unknown numbers in natural units, by its name."""
        unknowns = self.problem.unknowns
        return dict(zip(unknowns.labels, unknowns.naturally(raw), strict=True))

    @property
    def reasons(self) -> list[str]:
        """Codes of the warnings that make it unreliable."""
        return reasons(self.warnings)

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against using estimates and intervals as they are."""
        return not self.reasons


def conclude(best: Fit, begun: Stepper, *, level: float, points: int, noise_is_known: bool) -> Estimation:
    """Linearise at the best fit and say what it means. begun: the stepper with the values that were begun with."""
    problem = best.problem
    closures, calibrated = problem.unknowns.closures, problem.calibrated(best.z)
    first = Unknowns(begun)
    begin = dict(zip(first.labels, first.naturally(first.present()), strict=True))
    residuals = problem.misfit(best.z[None])[0]
    problem, z = problem.without_closures(best.z)
    ensemble = best.ensemble
    known = Known.at(problem, z) if ensemble is None else Known.by(problem, z, ensemble.linear(problem, z))
    freedom = problem.observation.size - float(known.taken.sum())
    # With known noise and without discrepancy they are normal: Student's for very many degrees of freedom.
    sure = known.freedom(problem, noise_is_known)
    quantile = float(scipy.stats.t.ppf(0.5 + level / 2, sure))
    raw, white = problem.parts(z[None])
    near = [_same(other, raw[0], None if closures else known.information) for other in best.others]
    elsewhere = [other for other, same in zip(best.others, near, strict=True) if not same]
    observation, plain = copy.deepcopy(problem.observation).cpu(), known.information
    correlated = list(
        notes.on_residuals(residuals.cpu(), known.taken.cpu(), observation, widened=known.linear is not None)
    )
    spread, reach = plain, quantile
    if correlated and known.linear is not None and isinstance(plain, FullInformation):
        spread = Widened.of(plain, known.linear, observation)
        reach = max(quantile, float(scipy.stats.t.ppf(0.5 + level / 2, spread.freedom)))
    found = Estimation(
        stepper=calibrated,
        intervals=_printed(problem, z, known, spread, reach, noise_is_known),
        level=level,
        information=known.information,
        noise=problem.deviation.cpu(),
        noise_estimated=not noise_is_known,
        begin=first.present(),
        starts=problem.starts.states(white)[0],
        residuals=residuals.cpu(),
        cost=best.cost,
        freedom=freedom,
        fit=float(residuals.square().sum()) / freedom if freedom > 0 else float("nan"),
        converged=best.converged,
        iterations=best.iterations,
        points=points,
        agreeing=best.count + sum(other.count for other, same in zip(best.others, near, strict=True) if same),
        others=[] if closures else elsewhere,
        warnings=[],
        problem=problem,
        z=z,
        quantile=quantile,
        spread=spread,
        reach=reach,
        ensemble=ensemble,
        independent={} if spread is plain else _formed(problem, raw[0], plain, quantile),
    )
    found.warnings.extend(_warnings(found, known, closures, begin, correlated))
    return found


def _same(other: Rest, raw: Float[Tensor, " N"], information: Information | None) -> bool:
    """Whether a search came to the same place, for all that the data tell."""
    if isinstance(information, FullInformation):
        return float(information.size(other.raw - raw)) <= SAME
    return other.behind < 0.5


def _formed(
    problem: LeastSquares, raw: Float[Tensor, " N"], by: Information | None, far: float
) -> dict[str, Interval]:
    if by is None:
        return {}
    return {name: laplace_interval(problem.unknowns, name, raw, by, far) for name in problem.unknowns.parameters}


def _printed(
    problem: LeastSquares, z: Float[Tensor, " Z"], known: Known, by: Information | None, far: float, exact: bool
) -> dict[str, Interval]:
    """Where there is a discrepancy they hold those with a longer one too. exact: whether the noise is known."""
    formed = _formed(problem, z[: len(problem.unknowns)], by, far)
    if problem.discrepancy is None or not problem.discrepancy.present or known.linear is None:
        return formed
    longer = _formed(problem, *with_longer(problem, z, known.linear, exact), far)
    return {name: holding(own, longer[name]) for name, own in formed.items()}


def _warnings(
    found: Estimation, known: Known, closures: list[str], begin: dict[str, float], correlated: list[Note]
) -> Iterator[Note]:
    problem, z = found.problem, found.z
    yield from (Note("interpolated", note) for note in problem.observation.notes)
    if known.information is not None:
        on_bound = problem.unknowns.on_bound(z[: len(problem.unknowns)]).tolist()
        yield from known.information.warnings(list(compress(problem.unknowns.labels, on_bound)))
    yield from notes.on_search(found.converged, found.iterations)
    if found.second is not None:
        yield from notes.on_minima(
            found.agreeing, found.points, found.second.behind, found.labelled(found.second.raw)
        )
    yield from notes.on_noise(problem) if found.noise_estimated else notes.on_fit(found.fit, found.freedom)
    yield from correlated
    if known.linear is not None and isinstance(known.information, FullInformation):
        yield from notes.on_discrepancy(problem, z, known.linear, known.information, found.quantile)
    if closures:
        yield Note("weights_held", "intervals hold the networks' weights fixed, so they are too narrow.")
    raw = z[: len(problem.unknowns)]
    yield from notes.on_bounds(problem, raw, begin)
    if found.ensemble is not None:
        yield from notes.on_ensemble(problem, z, found.ensemble)
    if known.linear is not None and isinstance(known.information, FullInformation):
        yield from notes.on_trajectories(problem, raw, known.linear)
    if found.ensemble is None and known.linear is not None and isinstance(known.information, FullInformation):
        yield from notes.on_shape(problem, z, known.linear, known.information.reach(found.quantile, LINEAR))
