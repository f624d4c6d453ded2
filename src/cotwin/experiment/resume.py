"""Whether a run can be gone on with: the settings, the data and the code that it was begun with."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from cotwin.experiment.dataset import Dataset
from cotwin.experiment.load import load
from cotwin.experiment.settings import Experiment, FileData, Simulated
from cotwin.pieces import pieces
from cotwin.registry import Registry, network, rate_law, sampler, simulator
from cotwin.run import Run, RunError
from cotwin.sensors import Sensors
from cotwin.store.version import code_version, sources_version

logger = logging.getLogger(__name__)

FREE = ("store", "estimation")
"""What may differ of a training: where generated data are kept changes none, and an estimate is no training."""
AFTER_SEARCH = tuple(
    f"estimation.{name}" for name in ("level", "resolution", "profile", "bootstrap", "block", "posterior", "chains")
)
FREE_WHERE_FILLED = ("store", *AFTER_SEARCH)
"""What may differ of a training whose states come from an estimate."""
FREE_OF_ESTIMATE = ("store", "hybrid", "synthetic", *AFTER_SEARCH)
"""What may differ of an estimate: what it does not read, and what follows the search."""


def reopen(path: Path, experiment: Experiment, free: Collection[str] = FREE) -> Run:
    """The run in `path`, to go on with it; its config.yaml is still of what was begun.

    free: blocks and settings that may differ. `hybrid.cycles` may be higher than the run's, of a finished run too.
    Raises RunError where anything else differs, ConfigError where the run's config.yaml cannot be read.
    """
    run = Run.reopen(path)
    try:
        changed = list(_changed(load(str(path / "config.yaml")), experiment, free))
        if changed:
            raise RunError(
                f"the run in {path} has other settings; resume it with its own, or choose another directory with "
                "--run-dir:\n  " + "\n  ".join(changed)
            )
    except BaseException:
        run.close()
        raise
    return run


def checkpoint_of(run: Run, kind: Literal["training", "estimation"], number: int | None = None) -> dict[str, Any]:
    """A checkpoint, the newest if no number is given. Raises RunError if it is damaged, or of another kind of run."""
    state = run.load_checkpoint(number)
    if {"training": "metrics", "estimation": "stages"}[kind] not in state:
        raise RunError(f"the run in {run.path} is no {kind}; choose another directory with --run-dir.")
    return state


def origin(data: Dataset, experiment: Experiment) -> dict[str, str]:
    """What a checkpoint says of where it comes from: hashes of the data, as read and divided, and of all code.

    code: Cotwin and its libraries. Models, networks and samplers of others stand by the names that the settings have.
    """
    return {
        "data": _hash(data),
        "code": code_version(),
        **models_code(experiment),
        **_others_code(_samplers(experiment)),
    }


def models_code(experiment: Experiment) -> dict[str, str]:
    """By name, hashes of the code of models that are not Cotwin's."""
    # Of a simulator of reactions, whose rate law is code by name too.
    law = getattr(experiment.physical, "rate", None)
    laws = [(rate_law, law)] if isinstance(law, str) else []
    return _others_code([(simulator, experiment.physical.model), *laws, (network, experiment.synthetic.network)])


def require_same_origin(checkpoint: Mapping[str, Any], now: Mapping[str, str], experiment: Experiment) -> None:
    """Raise RunError if a checkpoint is of other data than `now`; warn if it is of other code."""
    before = checkpoint.get("origin", {})
    for name in sorted(now.keys() - {"data"}):
        if before.get(name) != now[name]:
            what = "Cotwin, torch or numpy" if name == "code" else name
            logger.warning("The run was begun with another version of %s; the rest is computed by this one.", what)
    if before.get("data") == now["data"]:
        return
    if isinstance(experiment.data, FileData):
        raise RunError(
            f"{experiment.data.path} is not what the run was begun with: another content, or read differently by "
            "another version. Put the file back, or start again with --overwrite or another --run-dir."
        )
    # On another machine the last digits differ, which is no reason to refuse.
    logger.warning("The simulated data are not to the last digit those that the run was begun with.")


def _changed(there: Experiment, wanted: Experiment, free: Collection[str]) -> Iterator[str]:
    before, after = (dict(_leaves(one.model_dump(mode="json"))) for one in (there, wanted))
    for name in [*before, *(after.keys() - before.keys())]:
        if not {name, name.partition(".")[0]}.isdisjoint(free) or before.get(name) == after.get(name):
            continue
        if name != "hybrid.cycles":
            yield f"{name} is {before.get(name)} in the run, {after.get(name)} was asked for"
        elif wanted.hybrid.cycles < there.hybrid.cycles:
            yield f"{name} is {before[name]} in the run, and can be raised, not lowered to {after[name]}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{path}.{key}".lstrip("."))


def _samplers(experiment: Experiment) -> list[tuple[Registry, str]]:
    return [(sampler, experiment.data.starts.kind)] if isinstance(experiment.data, Simulated) else []


def _others_code(named: list[tuple[Registry, str]]) -> dict[str, str]:
    """Name and hash of those that are not Cotwin's."""
    found = {}
    for registry, name in named:
        # What `package.module:thing` names may be defined in another module.
        modules = {registry.find(name).__module__, *([name.partition(":")[0]] if ":" in name else [])}
        if any(module.partition(".")[0] != "cotwin" for module in modules):
            found[name] = sources_version(modules)
    return found


def _hash(data: Dataset) -> str:
    parts = hashlib.sha256(repr(data.layout).encode())
    held_out = [one for one in (data.validation, data.test) if one is not None]
    between, read = data.train.between, [data.train.sensors, *(one.sensors for one in held_out)]
    beside = [] if between is None else [(between.states, between.mask, tuple(between.steps.tolist()))]
    columns = [
        (one.values[:, None], torch.cat([one.lower, one.upper], dim=1), (*one.steps.tolist(), *_noise(one)))
        for one in read
        if one
    ]
    for states, mask, numbers in (
        (data.train.states, data.train.mask, ()),
        *beside,
        *columns,
        *((one.states, one.mask, (one.scored_from,)) for one in held_out),
    ):
        parts.update(repr((tuple(states.shape), states.dtype, mask is None, numbers)).encode())
        for tensor in (states,) if mask is None else (states, mask):
            for piece in pieces(tensor):
                parts.update(piece.of(tensor).contiguous().numpy().data)
    return parts.hexdigest()


def _noise(sensors: Sensors) -> list[float]:
    return [] if sensors.sigma is None else sensors.sigma.tolist()
