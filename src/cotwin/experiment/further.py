"""An estimate taken up again from its run: what further measurements would tell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from cotwin.estimation import Estimation, Further, LeastSquares, NoisyStarts, next_measurements
from cotwin.estimation.estimation import conclude
from cotwin.estimation.fit import Fit
from cotwin.estimation.further import require_foreseeable
from cotwin.estimation.note import Note
from cotwin.estimation.roughness import by_steps
from cotwin.experiment.calibrate import Task, prepare
from cotwin.experiment.load import load
from cotwin.experiment.resume import origin, require_same_origin
from cotwin.experiment.trained import load_run
from cotwin.layout import Layout
from cotwin.run import Run, RunError

ESTIMATE = "estimate.safetensors"
WIDER = 1.1
"""Times as wide, from which on it is said that the run's intervals are wider."""


@dataclass(frozen=True)
class Foreseen:
    """What further measurements would tell, and the layout of the data."""

    further: Further
    layout: Layout


def write_estimate(run: Run, task: Task, found: Estimation) -> None:
    """Where the search came to rest, to nine digits more than a table has, with the noise and the starts' prior."""
    problem = found.problem
    tensors = {"z": found.z, "noise": problem.deviation}
    if problem.starts.noisy is not None:
        noisy = problem.starts.noisy
        shape = problem.deviation.new_tensor([noisy.length, noisy.share])
        tensors |= {"guess": problem.starts.guess, "deviation": noisy.deviation, "length_and_share": shape}
    kept = {name: one.detach().cpu().contiguous() for name, one in tensors.items()}
    about = {"origin": json.dumps(origin(task.data, task.experiment)), "converged": json.dumps(found.converged)}
    run.write_bytes(ESTIMATE, safetensors.torch.save(kept, about))


def foresee(path: Path) -> Foreseen:
    """What further measurements would tell of the estimate in a run.

    Raises RunError where there is no such run, and where the data are not those that it was made of; ValueError where
    nothing can be said.
    """
    trained = load_run(path)
    if not (path / "estimation.json").is_file():
        raise RunError(
            f"the run in {path} is none of cotwin estimate; estimate first, then ask what to measure next."
        )
    tensors, about = _read(path)
    # As it was given, from which simulated data come; the simulator has what the data decided since.
    experiment = load(str(path / "config.yaml"))
    require_foreseeable(trained.physical.requires_grad_(), experiment.estimation.discrepancy is not None)
    task = prepare(experiment)
    require_same_origin({"origin": json.loads(about["origin"])}, origin(task.data, task.experiment), task.experiment)
    starts = task.starts
    if "guess" in tensors:
        length, share = tensors["length_and_share"].tolist()
        starts = NoisyStarts(tensors["guess"], tensors["deviation"], length, share=share)
    settings, device = task.experiment.estimation, task.stepper.device
    problem = LeastSquares(task.stepper, starts, task.measurements, task.priors, task.given)
    problem = problem.with_noise(tensors["noise"].to(device)).on(trained.physical.to(device))
    z = tensors["z"].to(device)
    if tuple(z.shape) != (problem.size,):
        raise RunError(f"the estimate in {path} is of other unknowns than its configuration; estimate again.")
    rough = list[Note]()
    if problem.stepper.effort is not None:
        problem, rough = by_steps(problem, z)
    best = Fit(problem, z, float(problem.cost(z[None])), json.loads(about["converged"]), 0, 1, [])
    known = settings.noise is not None
    found = conclude(best, task.stepper, level=settings.level, points=1, noise_is_known=known)
    further = next_measurements(found, experiments=task.given.trajectory.tolist())
    further.notes.extend([*map(str, rough), *_about(found, further, trained.result)])
    return Foreseen(further, task.data.layout)


def _about(found: Estimation, further: Further, written: dict[str, Any]) -> list[str]:
    said = []
    if not found.converged:
        said.append("The search had not come to rest, so this holds near where it stopped.")
    here = {name: float((one.high - one.low).mean()) for name, one in further.intervals.items()}
    there = {one["name"]: _width(one["interval"]) for one in written["estimates"]}
    wider = [name for name, width in here.items() if there[name] > WIDER * width]
    if wider:
        said.append(
            f"The run's intervals of {', '.join(wider)} are wider, by what more of the same noise does not mend: "
            "correlated residuals, noise of starts that were taken as measured, the error of grid and time steps, or "
            "a field that is too coarse."
        )
    if written.get("reasons"):
        said.append(f"The estimate is not reliable as it stands: {', '.join(written['reasons'])}.")
    return said


def _width(ends: list[Any]) -> float:
    """In the mean over a field; nan where an end is null, since it is infinite."""
    low, high = (torch.tensor(np.array(end, dtype=float)) for end in ends)
    return float((high - low).mean())


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not (path / ESTIMATE).is_file():
        raise RunError(f"the run in {path} has no {ESTIMATE}; an earlier version of Cotwin made it. Estimate again.")
    try:
        with safetensors.safe_open(path / ESTIMATE, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path / ESTIMATE} cannot be read ({error}); estimate again.") from None
