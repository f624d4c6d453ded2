"""Every simulator, network, training and estimation on a device that is not the CPU: nothing stays behind.

On a device made of the CPU (`second_device`), whose values are those of the CPU to the last bit; where there is CUDA
also on that.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from physics_cases import CASES, Case, box, smooth
from second_device import DEVICE, MixedDevicesError, second_device
from small import SMALL
from torch import Tensor, nn

from cotwin.estimation import Estimation, check
from cotwin.estimation.redone import one_by_one
from cotwin.estimation.replicas import Replicas
from cotwin.experiment import calibrate, optimizers
from cotwin.experiment.load import load
from cotwin.experiment.settings import Experiment
from cotwin.experiment.train import prepare, train
from cotwin.layout import Field, Layout
from cotwin.networks.convolution import ResidualConvNet
from cotwin.networks.positions import WithPositions
from cotwin.networks.surrogate import Surrogate
from cotwin.networks.unet import UNet
from cotwin.report.calibration import render
from cotwin.report.fit import draw
from cotwin.run import Run
from cotwin.stepper import Stepper, rollout


def assert_same_there(stepper: Stepper, states: Tensor, steps: int = 2) -> None:
    """The rollout on the second device is that of the CPU, and so is the gradient of every parameter."""

    def rolled(device: torch.device) -> tuple[Tensor, list[Tensor | None]]:
        moved = copy.deepcopy(stepper).to(device)
        states_there = rollout(moved, states.to(device), steps)
        assert states_there.device == moved.device == device
        states_there.square().mean().backward()
        gradients = [value.grad for value in moved.parameters()]
        return states_there.detach().cpu(), [None if one is None else one.cpu() for one in gradients]

    with second_device():
        there = rolled(DEVICE)
    torch.testing.assert_close(there, rolled(torch.device("cpu")), rtol=1e-9, atol=1e-12)


def test_what_stays_behind_is_found() -> None:
    with second_device():
        there = torch.ones(3, device=DEVICE)
        assert (there + torch.tensor(1.0)).tolist() == [2.0] * 3
        assert there.cumsum(0)[[2, 0]].tolist() == [3.0, 1.0]
        with pytest.raises(MixedDevicesError):
            there + torch.ones(3)
        with pytest.raises(MixedDevicesError):
            torch.randn(3, generator=torch.Generator(), device=DEVICE)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_simulators(case: Case) -> None:
    stepper = case.stepper(static=True)
    assert_same_there(stepper, smooth(stepper.layout, 2))


@pytest.mark.parametrize("network", [partial(ResidualConvNet, width=4, depth=1), partial(UNet, width=4, levels=1)])
def test_networks(network: Callable[[Layout], nn.Module]) -> None:
    layout = box([Field("u"), Field("k", static=True)], (16, 12), ("neumann", "periodic"))
    states = smooth(layout, 3).float()[:, None].expand(-1, 2, *layout.state_shape)
    assert_same_there(Surrogate.fitted(WithPositions(layout, network), layout, states), states[:, 0])


def trained(device: str, folder: Path, *settings: str) -> str:
    """What a training writes as its result."""
    experiment = load("burgers", [*SMALL, *FEW, "threads=1", f"store.cache_dir={folder / 'cache'}", *settings])
    experiment = experiment.model_copy(update={"device": device})
    with Run.create(folder / "run", "", overwrite=True) as run:
        train(prepare(experiment), run, Silent())
    return (folder / "run" / "result.json").read_text()


class Silent:
    def begin(self, description: str, steps: int) -> None: ...

    def step(self, loss: float) -> None: ...

    def restart(self) -> None: ...


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The second device, by its name in settings, which nobody else may use."""
    for module in ("build", "calibrate", "train"):
        monkeypatch.setattr(f"cotwin.experiment.{module}.find_device", torch.device)
    # The kernel that only some devices have rounds otherwise.
    monkeypatch.setattr(optimizers, "_adam", lambda weights, lr: torch.optim.Adam(weights, lr=lr))
    with second_device():
        yield str(DEVICE)


# Each step goes through Python on the second device.
FEW = ["hybrid.cycles=1", "data.num_steps=5", "physical.window=2", "synthetic.warmup_steps=1", "synthetic.steps=1"]
FEW += ["physical.warmup_steps=1", "physical.steps=1", "hybrid.generated_per_real=1", "data.test=1"]
TRAININGS = {
    "L-BFGS, Adam, kept in memory": ["store.placement=memory"],
    "Levenberg-Marquardt, a prior, simulated starts in the cache": [
        "physical.optimizer={kind: levenberg_marquardt}",
        "physical.starts=simulated",
        "priors={viscosity: {kind: log_gaussian_field, median: 0.05, factor: 3, length: 1}}",
        "store.placement=cache",
        "hybrid.alpha={kind: auto}",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", TRAININGS.values(), ids=TRAININGS)
def test_a_training_goes_the_whole_way_with_the_cpus_result(settings: list[str], tmp_path: Path, there: str) -> None:
    assert trained(there, tmp_path / "there", *settings) == trained("cpu", tmp_path / "cpu", *settings)


def estimated(device: str, *settings: str) -> str:
    """What an estimation writes as its result, figure included."""
    experiment = load("fisher", ["data.num_steps=4", "data.grid=[16]", "data.refine=1", "threads=1", *settings])
    task = calibrate.prepare(experiment.model_copy(update={"device": device}))
    calibration = calibrate.run(task)
    list(render(calibration))
    assert draw(calibration, task.recorded)
    return json.dumps(calibration.as_json())


ESTIMATIONS = {
    "known starts, several points": ["estimation.starts=exact", "estimation.points=2"],
    "estimated starts, every interval": [
        "estimation.profile=true",
        "estimation.bootstrap=4",
        "estimation.window=2",
        "estimation.points=1",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", ESTIMATIONS.values(), ids=ESTIMATIONS)
def test_an_estimation_goes_the_whole_way_with_the_cpus_result(settings: list[str], there: str) -> None:
    prior = "priors={diffusivity: {kind: log_normal, median: 0.5, factor: 3}}"
    assert estimated(there, prior, *settings) == estimated("cpu", prior, *settings)


@pytest.mark.slow
def test_draws_from_the_posterior_are_the_cpus(monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    for name, few in (("FEWEST", 10), ("WARM_UP", 10), ("WEIGHED", 20)):
        monkeypatch.setattr(f"cotwin.estimation.posterior.sampling.{name}", few)
    settings = ["estimation.posterior=10", "estimation.chains=2", "estimation.resolution=off", "estimation.points=1"]
    assert estimated(there, *settings) == estimated("cpu", *settings)


def found_on(device: str, *settings: str) -> Estimation:
    """A small estimate there."""
    few = ["data.num_steps=4", "data.grid=[8]", "data.refine=1", "estimation.resolution=off", "threads=1"]
    few += ["estimation.level=0.5", "estimation.points=1"]
    experiment = load("fisher", [*few, *settings])
    return calibrate.run(calibrate.prepare(experiment.model_copy(update={"device": device}))).estimation


def checked(device: str, *settings: str) -> str:
    """What a check of an estimate writes as its result."""
    found = found_on(device, "estimation.starts=exact", *settings)
    return json.dumps(replace(check(found, 20, searches=1), seconds=0.0).as_json())


def repeated(device: str) -> Tensor:
    """Estimated starts: the estimate of one draw."""
    found = found_on(device)
    replicas = Replicas.drawn(found, 1, 0)
    one = one_by_one(found, replicas.alone(0), replicas.truth[0])
    assert one is not None
    return one.raw.cpu()


CHECKS = {
    "around the estimate": [],
    "from the priors": [
        "priors={diffusivity: {kind: log_normal, median: 0.3, factor: 1.25}, growth: {kind: log_normal, "
        "median: 0.8, factor: 1.25}, capacity: {kind: gaussian, mean: 1.5, deviation: 0.1}}",
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("settings", CHECKS.values(), ids=CHECKS)
def test_a_check_goes_the_whole_way_with_the_cpus_result(settings: list[str], there: str) -> None:
    assert checked(there, *settings) == checked("cpu", *settings)


@pytest.mark.slow
def test_so_does_a_draw_of_estimated_starts(there: str) -> None:
    assert torch.equal(repeated(there), repeated("cpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA: what runs on it is not tested here")
def test_cuda_goes_the_whole_way(tmp_path: Path) -> None:
    for settings in TRAININGS.values():
        there, here = (json.loads(trained(device, tmp_path / device, *settings)) for device in ("cuda", "cpu"))
        assert there["scores"][0]["validation"] == pytest.approx(here["scores"][0]["validation"], rel=0.05)
    for settings in ESTIMATIONS.values():
        there, here = (json.loads(estimated(device, *settings))["estimates"] for device in ("cuda", "cpu"))
        for one, other in zip(there, here, strict=True):
            assert one["value"] == pytest.approx(other["value"], rel=1e-4)


@pytest.mark.parametrize("name", ["tpu", "cuda:77", "CUDA", "cpu:0"])
@pytest.mark.parametrize("prepared", [prepare, calibrate.prepare], ids=["train", "estimate"])
def test_a_device_that_is_not_there_is_refused_with_what_is(
    name: str, prepared: Callable[[Experiment], object]
) -> None:
    with pytest.raises(ValueError, match=f"device: {name} is not there, there is cpu"):
        prepared(load("burgers", [*SMALL, f"device={name}"]))
