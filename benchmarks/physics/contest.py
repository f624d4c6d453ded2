"""One problem at one batch size: checked, timed in turns, shown beside the goals."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from common.measure import Ratio, in_turns, per_call
from common.table import Goal, short, show
from competitors import Competitor, in_jax, native, phiflow
from problem import ALONE, BARE, JITTED, STEPS, Mode, Problem
from torch import Tensor
from transforms import bare

from cotwin import Positive
from cotwin.physics import SpectralStepper

MODES: tuple[Mode, ...] = ("forward", "gradient")
LARGE = (16, 64)  # batches with goals
OF_TRANSFORMS, OF_FORWARD = 0.65, 4.5  # the least speed, and the most time of a gradient

Key = tuple[str, Mode]


def measure(problem: Problem, batch: int, repeats: int, least: float) -> dict[str, Any]:
    """Seconds of processor time for a sample and step, how far each is from the first native model, and the goals."""
    state = problem.start(problem.layout, batch, torch.Generator().manual_seed(0))
    steppers = {name: make(Positive(problem.coefficient)) for name, make in problem.native.items()}
    natives = {name: native(stepper, problem.coefficient, state) for name, stepper in steppers.items()}
    competitors = natives | phiflow(problem, state) | in_jax(problem, state)
    first = next(iter(steppers.values()))
    differences = check(problem, competitors, native(first, problem.coefficient, state[:1]), state)
    works: dict[Key, Callable[[], object]] = {}
    for name, competitor in competitors.items():
        works[name, "forward"] = competitor.forward
        if competitor.gradient is not None and differences[name]["gradient"] <= problem.tolerance:
            works[name, "gradient"] = competitor.gradient
    for name, stepper in steppers.items():
        if isinstance(stepper, SpectralStepper) and problem.layout.dims == 2:
            works[BARE.format(name), "forward"] = bare(natives[name].forward)
    # Else the collector walks through all that torch, PhiFlow and JAX have loaded, in anybody's turn.
    gc.collect()
    gc.freeze()
    taken = in_turns({key: per_call(work, least) for key, work in works.items()}, repeats)
    seconds = {
        key: [one.cpu / (STEPS * (1 if key[0] == ALONE else batch)) for one in values]
        for key, values in taken.items()
    }
    return {
        "problem": problem.name,
        "batch": batch,
        "differences": differences,
        "native": list(steppers),
        "seconds": {mode: {name: s for (name, m), s in seconds.items() if m == mode} for mode in MODES},
        "goals": [asdict(goal) for goal in goals(problem, list(steppers), seconds, batch)],
    }


def check(
    problem: Problem, competitors: Mapping[str, Competitor], alone: Competitor, state: Tensor
) -> dict[str, dict[str, float]]:
    """How far each is from the first, of the change and of the gradient; stops where one solves another problem.

    alone: the first, with one sample.
    """
    first = next(iter(competitors.values()))
    last, slopes = first.last(), {False: first.slope(), True: alone.slope()}
    found = {}
    for name, competitor in competitors.items():
        count = 1 if name == ALONE else len(state)
        of_states = float((competitor.last() - last[:count]).norm() / (last - state)[:count].norm())
        of_gradient = math.nan
        if competitor.gradient is not None:
            # The third: a jitted function is traced in the first call, and optimised in the second.
            slope, right = [competitor.slope() for _ in range(3)][-1], slopes[name == ALONE]
            of_gradient = float((slope - right).norm() / right.norm())
        # PhiML's jit on torch may give wrong gradients without a word; those are not timed.
        if of_states > problem.tolerance or (of_gradient > problem.tolerance and name not in JITTED):
            raise SystemExit(
                f"{problem.name}: {name} differs by {of_states:.1%} of the change and {of_gradient:.1%} of the "
                "gradient; it solves another problem, and its time would mean nothing."
            )
        found[name] = {"states": of_states, "gradient": of_gradient}
    return found


def goals(problem: Problem, names: list[str], seconds: Mapping[Key, list[float]], batch: int) -> Iterator[Goal]:
    """Those for this batch: against the rivals, the bare transforms, and the forward pass."""
    at = f"{problem.name}, batch {batch}"
    for bound in problem.bounds:
        if batch in bound.batches and (bound.rival, bound.mode) in seconds:
            rival = seconds[bound.rival, bound.mode]
            ratios = {name: Ratio.of(rival, seconds[name, bound.mode]).median for name in bound.models or names}
            best = max(ratios, key=ratios.__getitem__)
            what = f"{at}: {bound.mode}, {best} in units of {bound.rival}"
            yield Goal(what, "at least", bound.least, ratios[best])
    for name in names if batch in LARGE else ():
        transforms = seconds.get((BARE.format(name), "forward"))
        if transforms is not None:
            share = Ratio.of(transforms, seconds[name, "forward"]).median
            yield Goal(f"{at}: {name} in units of its transforms alone", "at least", OF_TRANSFORMS, share)
        backward = Ratio.of(seconds[name, "gradient"], seconds[name, "forward"]).median
        yield Goal(f"{at}: {name}, gradient in units of forward time", "at most", OF_FORWARD, backward)


def report(result: Mapping[str, Any]) -> None:
    """The speeds, thousand steps·samples a second, and how far each is from the first native model."""
    print(f"{result['problem']}, batch {result['batch']}; thousand steps·samples per CPU second, rollouts of {STEPS}")
    forward, gradient = (result["seconds"][mode] for mode in MODES)
    rows = []
    for name, values in forward.items():
        far = result["differences"].get(name, {"states": math.nan, "gradient": math.nan})
        speeds = [short(1e-3 / statistics.median(one)) if one else "" for one in (values, gradient.get(name))]
        rows.append((name, *speeds, percent(far["states"]), percent(far["gradient"])))
    show(("", "forward", "gradient", "states differ by", "gradient differs by"), rows)


def percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2%}"
