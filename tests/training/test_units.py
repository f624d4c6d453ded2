"""The same data in other units train, gate and judge the same."""

from __future__ import annotations

import re

import pytest
from tiny import LAYOUT, MB, adam, heat, trajectories

from cotwin.networks.convolution import ResidualConvNet
from cotwin.networks.surrogate import Surrogate
from cotwin.stepper import Stepper
from cotwin.store.store import Store
from cotwin.training.alpha import auto, fixed
from cotwin.training.evaluation import Comparison, compare
from cotwin.training.held_out import HeldOut
from cotwin.training.hybrid import HybridTrainer, Learner, PhaseResult
from cotwin.training.loss import RolloutLoss
from cotwin.training.metrics import variances
from cotwin.training.trainer import Trainer
from cotwin.windows import SlidingWindows
from cotwin.windows.starts import real


def run(unit: float) -> tuple[list[PhaseResult], Comparison]:
    """Heat with a wrong diffusivity and a network, together and alone."""
    train = unit * trajectories()
    held_out = HeldOut(unit * trajectories(count=2, seed=1), variance=variances(train))
    data = SlidingWindows(train, 2)

    def learner(model: Stepper) -> Learner:
        trainer = Trainer(
            model, RolloutLoss.by_persistence(data), held_out, descent=adam(model), batch_size=4, validate_every=2
        )
        return Learner(trainer, data, steps=6, warmup_steps=4, starts=real(data.starts()))

    trainings = {}
    results = []
    for name, alpha in (("together", auto(4.0)), ("alone", fixed(0.0))):
        network = Surrogate.fitted(ResidualConvNet(LAYOUT, width=4, depth=1), LAYOUT, train)
        trainings[name] = HybridTrainer(
            learner(heat(0.3)), learner(network), store=Store(None, 10 * MB, 0, "memory"), alpha=alpha
        )
        results += trainings[name].run(2)
    models = {
        (role, name): training.learners[role].trainer.best()
        for name, training in trainings.items()
        for role in training.learners
    }
    return results, compare(models, heat(0.3), {}, held_out, None)


@pytest.mark.parametrize("unit", [1e-4, 3e6])
def test_gates_weights_and_figures_do_not_depend_on_the_unit(unit: float) -> None:
    (plain, said), (scaled, said_scaled) = run(1.0), run(unit)
    assert any(0 < result.alpha < 4 for result in plain)
    for one, other in zip(plain, scaled, strict=True):
        assert other.alpha == pytest.approx(one.alpha, rel=1e-3)
        assert other.validation_error == pytest.approx(one.validation_error, rel=1e-3)
    for role in ("physical", "synthetic"):
        words, others = (re.sub(r"[\d.e-]+", "", c.figures(role)) for c in (said, said_scaled))
        assert words == others
    assert len(said.remarks()) == len(said_scaled.remarks())
