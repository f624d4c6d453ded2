"""What the data give, and unknowns that differ, from a file to the verdict. The data are exact solutions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_resume import StopAt

from cotwin import rollout
from cotwin.experiment import calibrate
from cotwin.experiment.load import ConfigError, dump, load, validate
from cotwin.experiment.predict import predict
from cotwin.experiment.train import prepare, train
from cotwin.experiment.trained import load_run
from cotwin.given import Given
from cotwin.run import Run
from cotwin.windows import JoinedWindows

RATES = (0.05, 0.1, 0.2, 0.1, 0.4)
X = (np.arange(24) + 0.5) / 24
T = np.arange(11) * 0.05
QUICK = {"starts": "exact", "resolution": "off", "points": 1}
SMALL = {
    "synthetic": {"network": "resnet", "width": 4, "depth": 1, "window": 2, "warmup_steps": 4, "steps": 3},
    "hybrid": {"cycles": 1, "alpha": {"kind": "fixed", "value": 0.5}},
}


def cooling(rates: tuple[float, ...] = RATES, noise: float = 0.002) -> Any:
    """u = Σ a_j cos(jπx) exp(−κ j²π² t), (N, T, X), κ of each trajectory its own."""
    rng, waves = np.random.default_rng(0), np.arange(1, 4)
    amplitudes = rng.normal(size=(len(rates), 3)) + 1
    decay = np.exp(-np.multiply.outer(np.multiply.outer(rates, T), (np.pi * waves) ** 2))
    states = np.einsum("nj,ntj,jx->ntx", amplitudes, decay, np.cos(np.pi * np.multiply.outer(waves, X)))
    return states + noise * rng.normal(size=states.shape)


def heat(
    tmp_path: Path, diffusivity: dict[str, Any], *, arrays: dict[str, Any] | None = None, **settings: Any
) -> Any:
    path = tmp_path / "cooling.npz"
    np.savez(path, x=X, t=T, u=cooling(), boundary="neumann", **(arrays or {}))
    return validate(
        {
            "name": "given",
            "data": {"kind": "file", "path": str(path), "validation": 1},
            "physical": {"model": "heat", "diffusivity": diffusivity, "window": 2, "warmup_steps": 2, "steps": 1},
            "estimation": QUICK,
            "store": {"cache_dir": str(tmp_path / "cache")},
            **settings,
        }
    )


def test_each_trajectory_or_group_has_its_own_estimate(tmp_path: Path) -> None:
    own = calibrate.run(calibrate.prepare(heat(tmp_path, {"initial": 0.1, "per": "trajectory"}))).estimation
    # The end of each is held out, since none could be known of a trajectory that is held out whole.
    value = own.intervals["diffusivity"]
    assert torch.allclose(value.value, torch.tensor(RATES).double(), rtol=0.04)
    rods = {"rod": np.array([7.0, 2.0, 5.0, 2.0, 5.0])}
    task = calibrate.prepare(heat(tmp_path, {"initial": 0.1, "per": "rod"}, arrays=rods))
    shared = calibrate.run(task)
    found = shared.estimation.intervals["diffusivity"].value
    assert torch.allclose(found, torch.tensor([0.1, 0.2, 0.05]).double(), rtol=0.03)
    # The held-out trajectory is of the rod 5 too, which has 0.2; its own rate is twice that.
    held_out = task.data.validation
    states = held_out.predict(shared.estimation.stepper.float())
    told = rollout(
        shared.estimation.stepper.float(), held_out.states[:, 0], 10, Given(torch.tensor([2]), torch.tensor([0]))
    )
    assert torch.equal(states, told)


def test_a_test_trajectory_of_no_group_is_said_to_have_the_centre(tmp_path: Path) -> None:
    data = heat(tmp_path, {"initial": 0.1, "per": "rod"}, arrays={"rod": np.array([1.0, 2.0, 1.0, 2.0, 9.0])})
    settings = data.model_dump() | {"data": data.data.model_dump() | {"test": 1}}
    task = calibrate.prepare(validate(settings))
    assert any("Test trajectories [4] are of no group that trains" in note for note in task.notes)


def test_what_a_file_gives_in_vain_is_said(tmp_path: Path) -> None:
    rates = {"kappa": np.array(RATES)}
    alone = calibrate.prepare(heat(tmp_path, {"initial": 0.1}, arrays=rates)).notes
    assert any("gives kappa, of which the simulator takes no notice" in note for note in alone)
    given = heat(tmp_path, {"given": "kappa"}, arrays=rates, synthetic=SMALL["synthetic"])
    assert not any("no notice" in note for note in prepare(given).data.notes)


def test_a_given_diffusivity_decides_what_is_left_to_find(tmp_path: Path) -> None:
    """With its rates given, what the simulator adds is nothing; with its rates in another order it is not."""
    given, source = {"given": "kappa"}, {"initial": 0.1, "bounds": [-1, 1]}
    estimates = []
    for rates in (RATES, RATES[::-1]):
        settings = heat(tmp_path, given, arrays={"kappa": np.array(rates)})
        physical = settings.physical.model_dump() | {"source": source}
        task = calibrate.prepare(validate(settings.model_dump() | {"physical": physical}))
        estimates.append(calibrate.run(task).estimation)
    right, wrong = (one.intervals["source"] for one in estimates)
    assert right.low < 0 < right.high
    assert estimates[1].noise > 10 * estimates[0].noise
    assert wrong.deviation > 3 * right.deviation


@pytest.mark.parametrize("conditioning", ["modulation", "channels"])
def test_both_models_are_given_it_and_predict_without_the_data(
    tmp_path: Path, conditioning: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = heat(
        tmp_path,
        {"given": "kappa"},
        arrays={"kappa": np.array(RATES), "heater": np.sin(T), "heater_t": T},
        **{**SMALL, "synthetic": {**SMALL["synthetic"], "conditioning": conditioning}},
    )
    physical = settings.physical.model_dump() | {"source": {"given": "heater"}}
    session = prepare(validate(settings.model_dump() | {"physical": physical}))
    run = Run.create(tmp_path / "run", dump(session.experiment))
    train(session, run, StopAt(0))
    trained = load_run(tmp_path / "run")
    assert trained.synthetic.needs == {"kappa", "heater"}
    given = session.data.train.given
    start = session.data.train.states[:, 0]
    for role, learner in session.trainings["together"].learners.items():
        expected = rollout(learner.trainer.best(), start, 10, given)
        assert torch.allclose(rollout(trained.model(role), start, 10, given), expected, atol=1e-6)
    initial = tmp_path / "cooling.npz"
    states = predict(tmp_path / "run", "physical", initial, 0, 10, tmp_path / "out.npz").states
    assert torch.allclose(states[:4], rollout(trained.physical, start, 10, given), atol=1e-6)
    other = predict(tmp_path / "run", "physical", initial, 0, 10, tmp_path / "other.npz", said={"kappa": 0.1}).states
    assert torch.allclose(other[1], states[1], atol=1e-6)
    assert not torch.allclose(other[0], states[0], atol=1e-2)
    predict(tmp_path / "run", "physical", initial, 0, 1, tmp_path / "odd.npz", said={"kappa": -1e-4})
    assert "kappa has another sign than in the training data" in caplog.text
    np.savez(initial, x=X, t=T[:1], u=states[:, :1, 0].numpy(), boundary="neumann")
    with pytest.raises(ValueError, match="heater must be given with the starts; what is given is kappa"):
        predict(tmp_path / "run", "synthetic", initial, 0, 10, tmp_path / "third.npz", said={"kappa": 0.1})
    with pytest.raises(ValueError, match="kappa has to be a finite number"):
        predict(tmp_path / "run", "synthetic", initial, 0, 10, tmp_path / "third.npz", said={"kappa": math.nan})


def test_generated_windows_have_what_their_start_was_given(tmp_path: Path) -> None:
    settings = heat(tmp_path, {"given": "kappa"}, arrays={"kappa": np.array(RATES), "pump": np.cos(T)}, **SMALL)
    hybrid = prepare(settings).trainings["together"]
    phase = next(one for one in hybrid.phases(1) if one.cycle == 0 and one.learner == "synthetic")
    generated, real = hybrid.generated(phase, 12), hybrid.learners["synthetic"].real
    every = generated.__getitems__(range(12))
    assert every.given is not None
    for row in range(12):
        kappa, course = every.given.conditions["kappa"][row], every.given.inputs["pump"].values[row, ::8]
        alone = rollout(generated.teacher, every.states[row : row + 1, 0], 2, every.given.rows([row]))
        assert torch.allclose(alone[0], every.states[row], atol=1e-6)
        assert float(kappa) in [pytest.approx(rate) for rate in RATES[:4]]
        frame = int(every.given.frame[row])
        assert torch.allclose(course, torch.cos(torch.from_numpy(T[frame : frame + 3])).float())
    joined = JoinedWindows(real, generated, 0.5)
    order = [len(real) + 3, 5, len(real), 2]
    mixed = joined.__getitems__(order)
    parts = [generated.__getitems__([3]), real.__getitems__([5]), generated.__getitems__([0]), real.__getitems__([2])]
    for row, part in enumerate(parts):
        assert mixed.given is not None
        assert part.given is not None
        assert torch.equal(mixed.given.rows([row]).conditions["kappa"], part.given.conditions["kappa"])
        assert torch.equal(mixed.states[row], part.states[0])


@pytest.mark.parametrize(
    ("diffusivity", "arrays", "message"),
    [
        ({"given": "kapa"}, {}, "nothing is called 'kapa' that could be given"),
        ({"given": "kappa"}, {"kappa": [0.1, np.nan, 0.1, 0.1, 0.1]}, "kappa is given, and not finite everywhere"),
        ({"given": "kappa"}, {"kappa": np.ones(7)}, r"array 'kappa' of shape \(7,\) is no field"),
        ({"given": "kappa"}, {"kappa": np.ones(7)}, r"As numbers it would have to be \[5\], \[11\] or \[5, 11\]"),
        ({"given": "u"}, {}, "all its fields are given"),
        ({"initial": 0.1, "per": "rod"}, {}, "nothing is called 'rod'"),
        ({"initial": 0.1, "per": "pump"}, {"pump": T}, "per is 'pump'; give 'trajectory', or a number of the file"),
        (
            {"given": "kappa"},
            {"kappa": np.ones(5), "kappa_t": np.linspace(0, 0.4, 5)},
            "kappa is known from 0 to 0.4, the states from 0 to 0.5",
        ),
    ],
)
def test_what_cannot_be_given_is_refused(tmp_path: Path, diffusivity: Any, arrays: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate.prepare(heat(tmp_path, diffusivity, arrays=arrays))


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="the parameter is a field"):
        load("burgers", ["physical.viscosity.per=trajectory"])
    with pytest.raises(ConfigError, match=r"physical\.diffusivity\.initial: there is no such setting"):
        load("heat", ["physical.diffusivity={given: kappa, initial: 0.1}"])
