"""The models of a finished run, built again from its directory alone: the data may be gone."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor

from cotwin.data.trajectories import Trajectories
from cotwin.experiment.build import build_network, build_told, settled_synthetic
from cotwin.experiment.dataset import Dataset
from cotwin.experiment.load import validate
from cotwin.experiment.resume import models_code
from cotwin.experiment.settings import Experiment
from cotwin.experiment.simulators import build_physical, settled
from cotwin.folder import Folder
from cotwin.layout import Layout
from cotwin.networks.surrogate import Surrogate
from cotwin.run import MARKER, Run, RunError
from cotwin.stepper import Stepper
from cotwin.training.hybrid import Role

if TYPE_CHECKING:
    import xarray as xr

logger = logging.getLogger(__name__)

MODELS = "models.json"
RESULTS = ("result.json", "estimation.json")


@dataclass(frozen=True)
class TrainedRun:
    """What a run directory holds of its models.

    layout, precision: of their states. settings: of the run, with what the training data decided filled in.
    models: with their best weights, frozen, in eval mode, on the CPU.
    """

    path: Path
    layout: Layout
    precision: torch.dtype
    settings: Experiment
    models: Mapping[Role, Stepper]

    @property
    def physical(self) -> Stepper:
        """The simulator."""
        return self.model("physical")

    @property
    def synthetic(self) -> Stepper:
        """The surrogate. Raises RunError for a run of `cotwin estimate`, which has none."""
        return self.model("synthetic")

    def model(self, role: Role) -> Stepper:
        """One of the two. Raises RunError if the run has none."""
        if role not in self.models:
            raise RunError(f"the run in {self.path} has no {role} model, only {', '.join(self.models)}.")
        return self.models[role]

    def predict(
        self,
        initial: str | Path | xr.Dataset,
        steps: int,
        *,
        model: Role = "synthetic",
        frame: int = 0,
        axes: str | None = None,
        given: Mapping[str, float] = MappingProxyType({}),
    ) -> Trajectories:
        """One of the models from a frame of every trajectory in a file or a dataset, so many data intervals on.

        The start is the first state. `to_xarray()` of what comes out is an xarray.Dataset, and
        `cotwin.write_trajectories` writes it. given: numbers for all, in place of what the file says.
        Raises what `cotwin.experiment.predict.roll_out` does.
        """
        from cotwin.experiment.predict import roll_out

        return roll_out(self, model, initial, steps, frame, axes, given)

    @property
    def result(self) -> dict[str, Any]:
        """What result.json holds; of `cotwin estimate`, estimation.json. Raises RunError."""
        found = next((self.path / name for name in RESULTS if (self.path / name).is_file()), None)
        if found is None:
            raise RunError(f"the run in {self.path} has lost its result; finish it again with --resume.")
        try:
            result: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{found} cannot be read: {error}") from None
        return result


def load_run(path: str | Path) -> TrainedRun:
    """Both models of a finished run, as `cotwin train` reported them; of `cotwin estimate`, the simulator.

    A model of the user's own (`model: my_file:my_function`) needs its module; a warning says if that was changed
    since. Raises RunError where there is no
    finished run, where its files are damaged, and where this version of Cotwin builds other models from them.
    """
    path, weights = Path(path), {}
    if not path.is_dir():
        raise RunError(f"there is no run in {path}.")
    with Folder(path.resolve()) as folder:
        described = _description(folder)
        for role, expected in described["weights"].items():
            data = _read(folder, f"{role}.safetensors")
            if _digest(data) != expected:
                raise _damaged(folder, f"{role}.safetensors")
            weights[role] = safetensors.torch.load(data)
    settings = validate(described["settings"])
    try:
        layout = Layout.from_dict(described["layout"])
        precision = getattr(torch, described["precision"])
        models = {role: _built(role, settings, layout, state).to(precision) for role, state in weights.items()}
    except (RuntimeError, TypeError, KeyError) as error:
        first = str(error).replace("\n\t", "\n").strip().split("\n")[-1]  # torch lists every tensor
        raise RunError(
            f"the models of {path} cannot be built ({first}); another version of Cotwin wrote them: use that one."
        ) from error
    now = models_code(settings)
    for name in sorted(now.keys() & described.get("code", {}).keys()):
        if now[name] != described["code"][name]:
            logger.warning(
                "The run in %s was trained with another version of %s; what this one gives is not its result.",
                path,
                name,
            )
    return TrainedRun(path, layout, precision, settings, models)


def write_models(run: Run, experiment: Experiment, data: Dataset, models: Mapping[Role, Stepper]) -> None:
    """All that `load_run` needs. data: which decide what the settings leave open."""
    states, layout = data.train.states, data.layout
    physical = settled(experiment.physical, layout, states, data.given)
    synthetic = experiment.synthetic
    if "synthetic" in models:
        # Of states that nobody has seen an estimate knows nothing that a surrogate would ask.
        synthetic = settled_synthetic(synthetic, data, models["physical"])
    filled_in = experiment.model_copy(update={"physical": physical, "synthetic": synthetic})
    described = {
        "settings": filled_in.model_dump(mode="json"),
        "code": models_code(experiment),
        "layout": asdict(layout),
        "precision": str(states.dtype).removeprefix("torch."),
        "weights": {role: run.write_weights(f"{role}.safetensors", model) for role, model in models.items()},
    }
    digest = _digest(json.dumps(described, indent=1).encode())
    run.write_text(MODELS, json.dumps({"sha256": digest, "models": described}, indent=1) + "\n")


def _description(folder: Folder) -> dict[str, Any]:
    if MARKER not in folder.names():
        raise RunError(f"there is no run of Cotwin in {folder.path}.")
    if MODELS not in folder.names():
        raise RunError(f"the run in {folder.path} is not finished; go on with it: cotwin train … --resume.")
    try:
        whole = json.loads(_read(folder, MODELS))
        described: dict[str, Any] = whole["models"]
        same = _digest(json.dumps(described, indent=1).encode()) == whole["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(folder, MODELS) from None
    if not same:
        raise _damaged(folder, MODELS)
    return described


def _read(folder: Folder, name: str) -> bytes:
    try:
        return folder.read(name)
    except OSError as error:
        raise RunError(f"{folder.path / name} cannot be read ({error.strerror or error}).") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _damaged(folder: Folder, name: str) -> RunError:
    return RunError(f"{folder.path / name} is damaged; write it again with cotwin train … --resume.")


def _built(role: Role, settings: Experiment, layout: Layout, state: dict[str, Tensor]) -> Stepper:
    model: Stepper
    if role == "physical":
        model = build_physical(settings.physical, layout)
    else:
        built = build_network(settings.synthetic, layout, settings.seed)
        kept = settings.synthetic.conserved or ()
        model = Surrogate(built, layout, told=build_told(settings.synthetic), conserved=kept)
    # Estimates are found in double precision, whatever that of the data.
    model = model.to(next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32))
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)
