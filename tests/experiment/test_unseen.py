"""States that nobody has seen: hidden species and few sensors. The data are scipy's, or exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cotwin.experiment import calibrate, train
from cotwin.experiment.filled import Filled, fill, in_posterior
from cotwin.experiment.load import dump, validate
from cotwin.experiment.loading import load_dataset
from cotwin.experiment.resume import reopen
from cotwin.experiment.settings import Experiment
from cotwin.run import Run, RunError
from cotwin.store.store import Store
from tests.test_problems_page import sensors, species

DRIVEN = {"network": "resnet", "width": 4, "depth": 1, "window": 2, "warmup_steps": 3, "steps": 2}


def settings(folder: Path, arrays: dict[str, Any], physical: dict[str, Any], **data: Any) -> Experiment:
    np.savez(folder / "data.npz", **arrays)
    return validate(
        {
            "name": "unseen",
            "data": {"kind": "file", "path": str(folder / "data.npz"), **data},
            "physical": {"window": 4, "warmup_steps": 3, "steps": 2, **physical},
            "synthetic": DRIVEN,
            "hybrid": {"cycles": 1},
            "estimation": {"points": 1, "resolution": "off"},
            "store": {"cache_dir": str(folder / "cache")},
        }
    )


def rods(folder: Path, **data: Any) -> Experiment:
    physical = {"model": "heat", "diffusivity": {"initial": 0.08}}
    return settings(folder, sensors(), physical, **{"boundary": "neumann", "missing": "mask", **data})


def reacting(folder: Path, arrays: dict[str, Any], **data: Any) -> Experiment:
    physical = {"model": "spectral_gray_scott", "diffusivity_u": 2e-4, "diffusivity_v": 1e-4}
    physical |= {"feed": {"initial": 0.036}, "kill": {"initial": 0.06}, "refine": 2, "substeps": 8}
    return settings(folder, arrays, physical, boundary="periodic", **data)


@pytest.mark.slow
def test_filled_states_of_a_hidden_species_are_as_right_as_they_say(tmp_path: Path) -> None:
    arrays = species()
    task = calibrate.prepare(reacting(tmp_path, arrays, hidden={"v": {"mean": 0.2, "deviation": 0.2}}))
    likely, deviation = in_posterior(calibrate.searched(task))
    truth = torch.as_tensor(species(seen=False)["v"])
    wrong = likely[:, :, 1] - truth
    assert float(wrong.square().mean().sqrt()) < 0.01 * float(truth.std())
    # Of starts, some ten independent points each. Later all hangs on two unknowns.
    within = (wrong.abs() < 1.645 * deviation[:, :, 1])[:, :6].double()
    assert float(within[:3].mean()) > 0.7
    assert float(within[3:].mean()) > 0.6
    filled = fill(task.data, task.places, calibrate.searched(task))
    assert torch.equal(filled.sure[:, :, 0], torch.ones_like(filled.sure[:, :, 0]))
    assert 0.9 < float(filled.sure[:, 0, 1].min()) < float(filled.sure[:, 5:, 1].min()) <= 1.0


def test_held_out_starts_are_of_first_frames_that_are_not_scored(tmp_path: Path) -> None:
    experiment = rods(tmp_path, test=1, assimilated=5)
    session = train.prepare(experiment)
    assert session.filling is not None
    assert session.data.validation.scored_from == 6
    assert "are estimated with their frames 0 to 5, which are not scored" in session.data.validation.about
    seen = session.filling.data.unseen.seen.mask  # type: ignore[union-attr]
    assert seen is not None
    assert seen[2:, :6].any()
    assert not seen[2:, 6:].any()
    assert session.filling.places.rows.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("alone", [False, True])
def test_a_simulator_learns_what_few_sensors_tell(tmp_path: Path, alone: bool) -> None:
    arrays = sensors()
    if alone:
        arrays["u"] = arrays["u"][0]
    np.savez(tmp_path / "u.npz", **arrays)
    experiment = rods(tmp_path, path=str(tmp_path / "u.npz"))
    task = calibrate.prepare(experiment)
    found = calibrate.searched(task)
    own = found.intervals["diffusivity"]
    assert abs(float(own.value) - 0.1) < 2.5 * float(own.high - own.low) / 2 < 0.005
    data = fill(task.data, task.places, found).of(task.data)
    assert data.validation.error(found.stepper.float()) < 0.05
    session = train._session(experiment, data, Store(None, 10**8, 0), {})
    learner = session.trainings["alone"].learners["physical"]
    learner.trainer.fit(learner.real, 4)
    (raw,) = learner.trainer.best().parameters()
    assert float(raw.exp()) == pytest.approx(0.1, rel=0.02)


def test_the_simulator_does_not_learn_from_what_it_filled_and_the_surrogate_by_how_sure_it_is(tmp_path: Path) -> None:
    session = train.prepare(rods(tmp_path))
    task = session.filling
    assert task is not None
    filled = fill(task.data, task.places, calibrate.searched(task))
    with Run.create(tmp_path / "run", dump(task.experiment)) as run:
        digest = run.write_tensors("filled.safetensors", vars(filled))
        again = Filled(**run.read_tensors("filled.safetensors", digest))
    assert all(torch.equal(one, getattr(again, name)) for name, one in vars(filled).items())
    data = again.of(task.data)
    learners = train._session(task.experiment, data, session.store, {}).trainings["alone"].learners
    seen = learners["physical"].real.__getitems__([0]).mask
    sure = learners["synthetic"].real.__getitems__([0]).mask
    assert seen is not None
    assert sure is not None
    assert seen.dtype == torch.bool
    assert torch.equal(seen[0, :3], sure[0, :3] == 1)
    assert bool(((sure > 0) & (sure <= 1)).all())


@pytest.mark.slow
def test_a_run_killed_before_or_after_its_states_are_filled_ends_with_the_same_numbers(tmp_path: Path) -> None:
    class Killer:
        def __init__(self, at: str) -> None:
            self.at = at

        def begin(self, description: str, steps: int) -> None:
            if self.at in description:
                raise KeyboardInterrupt

        def step(self, loss: float) -> None: ...

        def restart(self) -> None: ...

    def run(name: str, kills: list[str]) -> dict[str, Any]:
        experiment = rods(tmp_path)
        directory = Run.create(tmp_path / name, dump(experiment))
        state = None
        for at in [*kills, "nowhere"]:
            try:
                found = train.train(train.prepare(experiment), directory, Killer(at), state)
            except KeyboardInterrupt:
                state = directory.load_checkpoint()
        directory.close()
        return found.as_json()

    assert run("through", []) == run("killed", ["nobody has seen", "warm-up", "together, cycle 1"])


def test_a_run_is_not_gone_on_with_by_another_estimate_than_filled_its_states(tmp_path: Path) -> None:
    before = rods(tmp_path)
    session = train.prepare(before)
    Run.create(tmp_path / "run", dump(before)).close()
    other, later = (before.estimation.model_copy(update=one) for one in ({"noise": 0.5}, {"level": 0.8}))
    with pytest.raises(RunError, match=r"estimation\.noise is None in the run, 0\.5 was asked for"):
        reopen(tmp_path / "run", before.model_copy(update={"estimation": other}), session.free)
    reopen(tmp_path / "run", before.model_copy(update={"estimation": later}), session.free).close()


def test_a_simulator_that_is_known_fills_too(tmp_path: Path) -> None:
    physical = {"model": "heat", "diffusivity": 0.1}
    session = train.prepare(settings(tmp_path, sensors(), physical, boundary="neumann", missing="mask"))
    task = session.filling
    assert task is not None
    filled = fill(task.data, task.places, calibrate.searched(task))
    assert filled.of(task.data).validation.error(task.stepper) < 0.05


def test_hidden_fields_lie_where_data_fields_says(tmp_path: Path) -> None:
    hidden = {"v": {"mean": 0.2, "deviation": 0.2}}
    experiment = reacting(tmp_path, species(), hidden=hidden)
    assert load(experiment).layout.channel_names == ("u", "v")
    experiment = reacting(tmp_path, species(), hidden=hidden, fields=["v", "u"])
    data = load(experiment)
    assert data.layout.channel_names == ("v", "u")
    assert "The simulator takes the state as v, u, in this order; data.fields says another." in data.notes
    assert data.train.mask is not None
    assert not data.train.mask[:, :, 0].any()


def load(experiment: Experiment) -> Any:
    return load_dataset(experiment.data, experiment.physical, 0, Store(None, 10**7, 0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": {"u": {"mean": 0.2, "deviation": 0.2}}}, "u is measured"),
        ({"hidden": {"v": {"mean": 0.2, "deviation": 0.2}}, "filling": "interpolated"}, "cannot be interpolated"),
        ({"hidden": {"v": {"mean": 0.2, "deviation": 0.2}}, "fields": ["u"]}, "list all, hidden ones too"),
        ({"hidden": {"v": {"mean": 0.2, "deviation": 0.2}}, "assimilated": 20}, "leave nothing to score"),
        ({"assimilated": 2}, "no start has to be estimated"),
        ({"filling": "estimated"}, "data.filling is of no effect"),
    ],
)
def test_what_cannot_be_is_refused_with_the_cure(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(reacting(tmp_path, species(), **changes))


def test_a_field_that_is_measured_nowhere_is_asked_about(tmp_path: Path) -> None:
    arrays = species()
    arrays["v"] = np.full_like(arrays["u"], np.nan)
    with pytest.raises(ValueError, match=r"'v' is measured nowhere .* data.hidden=\{v: "):
        load(reacting(tmp_path, arrays, missing="mask"))


def test_at_uneven_times_and_in_time_too(tmp_path: Path) -> None:
    """One trajectory with few sensors, three frames missing, and one a fifth of a step late."""
    arrays, late, kept = sensors(), sensors(late=0.004), np.delete(np.arange(31), [7, 8, 20])
    states, times = arrays["u"][0], arrays["t"]
    states[10], times[10] = late["u"][0, 10], late["t"][10]
    np.savez(tmp_path / "u.npz", x=arrays["x"], t=times[kept], u=states[kept])
    task = calibrate.prepare(rods(tmp_path, path=str(tmp_path / "u.npz")))
    found = calibrate.searched(task)
    own = found.intervals["diffusivity"]
    assert abs(float(own.value) - 0.1) < 2.5 * float(own.high - own.low) / 2 < 0.01
    assert fill(task.data, task.places, found).of(task.data).validation.error(found.stepper.float()) < 0.05


def test_filled_states_are_as_unsure_as_what_was_said_of_them(tmp_path: Path) -> None:
    """Of a' = −k b, b' = 0 the values tell k b alone: b is as unsure as was said, at every time."""
    (tmp_path / "linear_loss.py").write_text(
        "import torch\n\n\ndef loss(u, p):\n    return torch.cat([-p['k'] * u[:, 1:], 0 * u[:, 1:]], dim=1)\n"
    )
    x, t = np.arange(8) / 8, np.arange(9) * 0.1
    noise = 0.001 * np.random.default_rng(0).normal(size=(3, 9, 8))
    a = np.cos(2 * np.pi * (x + np.array([[0.0], [0.3], [0.6]])))[:, None] - 0.6 * t[:, None] + noise
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        physical = {"model": "advection_diffusion_reaction", "rate": "linear_loss:loss", "diffusivities": [0.0, 0.0]}
        physical |= {"parameters": {"k": {"initial": 1.0}}}
        hidden = {"b": {"mean": 0.6, "deviation": 0.1}}
        arrays = {"x": x, "t": t, "a": a}
        task = calibrate.prepare(settings(tmp_path, arrays, physical, boundary="periodic", hidden=hidden))
        likely, deviation = in_posterior(calibrate.searched(task))
    assert float(likely[:, :, 1].mean()) == pytest.approx(0.6, abs=0.1)
    assert 0.06 < float(deviation[:, :, 1].mean()) < 0.15
