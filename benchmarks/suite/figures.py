"""What was published of two of the problems, beside the same figures of ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from truth import heat_sensors, potential

from cotwin.experiment.build import build_store
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.settings import Experiment, FileData
from cotwin.experiment.simulators import build_physical
from cotwin.study.study import Study

Row = tuple[str, str, str, str]
HEAD = ("figure", "published", "goal", "measured, mean over seeds")


def rows(studies: Mapping[str, Study], experiments: Mapping[str, Experiment]) -> Iterator[Row]:
    """Of those problems that were studied."""
    if "potential" in studies:
        yield from _potential(studies["potential"], experiments["potential"])
    if "heat_sensors" in studies:
        yield from _heat(studies["heat_sensors"])


def _potential(study: Study, experiment: Experiment) -> Iterator[Row]:
    """√mean(Δu²)/√mean(u²) of the unseen trajectories, all states together, and of φ likewise."""
    units, untouched = zip(*(_unit(experiment, seed) for seed in study.seeds), strict=True)

    def error(arm: str, role: Any) -> str:
        return _mean(np.array(study.errors("steps", arm, role)) * units)

    yield "Potential: surrogate together", "0.289", "0.10", error("together", "synthetic")
    yield "Potential: surrogate alone", "0.321", "", error("surrogate alone", "synthetic")
    yield "Potential: surrogate distilled", "", "", error("distilled", "synthetic")
    yield "Potential: simulator together", "", "0.10", error("together", "physical")
    yield "Potential: simulator with φ = 0", "", "", _mean(np.array(untouched) * units)
    for arm in ("together", "distilled"):
        label = "together" if arm == "together" else "calibrated"
        errors = [_of_potential(one.estimated["potential"]) for one in study.tables["steps"][arm] if one.estimated]
        yield f"Potential: φ {label}", "0.56" if arm == "together" else "", "0.20", _mean(errors)


def _unit(experiment: Experiment, seed: int) -> tuple[float, float]:
    """Deviation in the training data by root mean square in the test data; NRMSE of the simulator as it begins."""
    assert isinstance(experiment.data, FileData)
    settings = experiment.data.model_copy(update={"fold": seed})
    data = load_dataset(settings, experiment.physical, seed, build_store(experiment.store))
    assert data.test is not None
    begun = build_physical(experiment.physical, data.layout, data.train.states, data.given)
    size = data.test.states[:, 1:].square().mean()
    return float((data.test.variance[0] / size).sqrt()), data.test.error(begun.to(data.train.states.dtype))


def _of_potential(found: Sequence[float]) -> float:
    truth = np.sin(potential.WAVE * np.array(potential.LAYOUT.points(0)))
    return float(np.linalg.norm(np.array(found) - np.mean(found) - truth) / np.linalg.norm(truth))


def _heat(study: Study) -> Iterator[Row]:
    """‖ΔA‖/‖A‖ + ‖Δc‖/‖c‖, the bumps in the order that fits better."""
    for arm, label, published in (
        ("together", "together", "0.54 to 0.58"),
        ("distilled", "calibrated", "1.73 alone"),
    ):
        errors = [_of_bumps(one.estimated) for one in study.tables["steps"][arm] if one.estimated]
        yield f"Heat: heights and centres of bumps, {label}", published, "", _mean(errors)


def _of_bumps(found: Mapping[str, float]) -> float:
    heights = np.array([found["height_1"], found["height_2"]])
    centres = np.array([[found["x_1"], found["y_1"]], [found["x_2"], found["y_2"]]])
    true = np.array(heat_sensors.AMPLITUDES), np.array(heat_sensors.CENTRES)
    return min(
        sum(
            float(np.linalg.norm(value[list(order)] - truth) / np.linalg.norm(truth))
            for value, truth in zip((heights, centres), true, strict=True)
        )
        for order in itertools.permutations(range(2))
    )


def _mean(errors: Any) -> str:
    return f"{np.mean(errors):.3g}" if len(errors) else "diverged"
