"""All arms over all seeds, and what they allow to be said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from cotwin.study.gain import Gain, gain
from cotwin.study.outcome import Outcome
from cotwin.study.ratios import FEWEST, Ratio, geometric_mean, noise_of, paired
from cotwin.training.hybrid import Role

ROLES: dict[Role, str] = {"synthetic": "surrogate", "physical": "simulator"}
ALONE: dict[Role, str] = {"synthetic": "surrogate alone", "physical": "simulator alone"}
NULL, DISTILLED, TOGETHER = "null", "distilled", "together"
Arms = Mapping[str, Sequence[Outcome]]
"""Of each arm, by its name, the outcome with each seed."""


@dataclass(frozen=True)
class Study:
    """A comparison over seeds.

    seeds: of all arms. tables: arms by what is equal, "steps" or "cost". factors: by which arms took more optimiser
    steps at equal cost. used: training trajectories. curve: outcomes of the surrogate alone by their number.
    level: of intervals.
    """

    seeds: Sequence[int]
    tables: Mapping[str, Arms]
    factors: Mapping[str, float]
    used: int
    curve: Mapping[int, Sequence[Outcome]]
    level: float = 0.9

    def arms(self, table: str, role: Role) -> list[str]:
        """That have such a model."""
        return [name for name, outcomes in self.tables[table].items() if role in outcomes[0].scores]

    def errors(self, table: str, arm: str, role: Role) -> list[float]:
        """NRMSE with each seed, infinite where the model diverged."""
        return [outcome.error(role) for outcome in self.tables[table][arm]]

    @property
    def noise(self) -> float:
        """Standard deviation of the logarithm of a surrogate's error over that after another order of batches."""
        return noise_of(
            self.errors("steps", NULL, "synthetic"), self.errors("steps", ALONE["synthetic"], "synthetic")
        )

    def ratio(self, table: str, role: Role, arm: str, against: str) -> Ratio:
        """Of the errors of a model in two arms."""
        noise = self.noise if role == "synthetic" else 0.0
        return paired(self.errors(table, arm, role), self.errors(table, against, role), noise, self.level)

    @property
    def gain(self) -> Gain | None:
        """Of real trajectories; None without a curve, or where the surrogate diverges together."""
        if not self.curve:
            return None
        alone = {number: [one.error("synthetic") for one in outcomes] for number, outcomes in self.curve.items()}
        return gain(alone, self.errors("steps", TOGETHER, "synthetic"), self.used, self.level)

    def breakeven(self) -> str:
        """How many forward solves of equal accuracy until the surrogate has paid for its training, in a sentence."""
        together, simulator = self.tables["steps"][TOGETHER], self.tables["steps"][ALONE["physical"]]
        known = [
            (one.seconds - other.seconds, one.forward.surrogate, one.forward.simulator)
            for one, other in zip(together, simulator, strict=True)
            if one.forward is not None and one.forward.simulator is not None
        ]
        if all(one.forward is None for one in together):
            return "Breakeven: none, the surrogate diverges."
        if not known:
            return "Breakeven: no simulator of these settings is as accurate as the surrogate."
        training, surrogate, cheapest = (median(values) for values in zip(*known, strict=True))
        costs = (
            f"a solve takes {1000 * surrogate:.3g} ms by the surrogate, {1000 * cheapest:.3g} ms by the cheapest "
            "simulator that is as accurate"
        )
        if surrogate >= cheapest:
            return f"Breakeven: never, {costs} (medians over seeds, in batches, processor time)."
        count = training / (cheapest - surrogate)
        return (
            f"Breakeven: after {count:.3g} forward solves; {costs} (medians over seeds, in batches, processor time)."
        )

    def sentences(self) -> Iterator[str]:
        """What cooperating changed in both models, never more than the intervals and the null arm allow."""
        if len(self.seeds) < FEWEST:
            count = len(self.seeds)
            yield f"No verdict from {count} seed{'s' * (count > 1)}: chance differs too; take {FEWEST} or more."
            return
        for role in ROLES:
            for table in self.tables:
                for against in (ALONE[role], DISTILLED):
                    if against in self.tables[table]:
                        yield self._sentence(table, role, against)
        yield from self._unequal()
        yield self.breakeven()
        if self.curve:
            yield self._efficiency()

    def _unequal(self) -> Iterator[str]:
        """Where costs cannot be made equal."""
        if "cost" not in self.tables:
            yield "Equal cost: not measured, since together diverges with the first seed."
        elif DISTILLED not in self.tables["cost"]:
            yield "Equal cost: calibrating alone takes longer than training together, so there is nothing distilled."

    def _efficiency(self) -> str:
        found, ratio = self.gain, self.ratio("steps", "synthetic", TOGETHER, ALONE["synthetic"])
        if found is None:
            return "Efficiency gain: none, together the surrogate diverges."
        if ratio.word not in ("better", "worse"):
            return "Efficiency gain: none is shown, as no difference from alone is."
        return (
            f"Efficiency gain: alone the surrogate needs {found} as many real trajectories (up to {max(self.curve)} "
            "were tried)."
        )

    def _sentence(self, table: str, role: Role, against: str) -> str:
        ratio = self.ratio(table, role, TOGETHER, against)
        one, other = (geometric_mean(self.errors(table, arm, role)) for arm in (TOGETHER, against))
        named = {ALONE[role]: "alone", DISTILLED: "calibrated" if role == "physical" else "distilled"}[against]
        who = f"The {ROLES[role]}, equal {table}"
        figures = f"test NRMSE {one:.3g} together, {other:.3g} {named}"
        if ratio.word == "diverges":
            lost = f"{ratio.lost[0]} of {len(self.seeds)} seeds together, {ratio.lost[1]} {named}"
            return f"{who}: it diverges with {lost}; {figures} where it does not."
        if ratio.word == "same":
            return f"{who}: the same together and {named}, to the last digit, with every seed ({one:.3g})."
        factor = f"{ratio.mean:.2f} times ({ratio.low:.2f} to {ratio.high:.2f})"
        said = {
            "better": f"together is better than {named}",
            "worse": f"together is WORSE than {named}",
            "open": f"no difference from {named} is shown",
            "unsaid": f"it diverges too often for a verdict against {named}",
        }[ratio.word]
        return f"{who}: {said}: {factor}; {figures}."

    def as_json(self) -> dict[str, Any]:
        """Nested plain values, for comparison.json."""
        ratios = {
            table: {
                ROLES[role]: {arm: vars(self.ratio(table, role, arm, ALONE[role])) for arm in self.arms(table, role)}
                for role in ROLES
            }
            for table in self.tables
        }
        return {
            "seeds": list(self.seeds),
            "level": self.level,
            "training_trajectories": self.used,
            "noise_of_another_order": self.noise,
            "steps_at_equal_cost": dict(self.factors),
            "ratios_to_alone": ratios,
            "efficiency_gain": None if self.gain is None else vars(self.gain),
            "said": list(self.sentences()),
            "outcomes": {
                table: {arm: [one.as_json() for one in outcomes] for arm, outcomes in arms.items()}
                for table, arms in self.tables.items()
            },
            "alone_by_trajectories": {
                number: [one.as_json() for one in outcomes] for number, outcomes in self.curve.items()
            },
        }
