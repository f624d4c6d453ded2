"""The cycle: who learns when and from whom, the same bits however it is stored or interrupted."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tiny import (
    DIFFUSIVITY,
    LAYOUT,
    MB,
    Growth,
    Network,
    heat,
    hybrid,
    lbfgs,
    same,
    through_a_file,
    trainer,
    trajectories,
    windows,
)
from torch import Tensor

from cotwin.parameters import Known
from cotwin.physics.heat import Heat
from cotwin.stepper import Stepper
from cotwin.store.placement import Placement
from cotwin.store.store import Store
from cotwin.training.alpha import auto, fixed, linear
from cotwin.training.descent import Still
from cotwin.training.held_out import HeldOut
from cotwin.training.hybrid import HybridTrainer, Learner, Role
from cotwin.training.trainer import Trainer
from cotwin.windows import JoinedWindows, PickedStates, SlidingWindows, StartStates, Windows
from cotwin.windows.starts import Starts, perturbed, real, simulated


@pytest.mark.parametrize("order", list(itertools.permutations(("physical", "synthetic"))))
def test_a_warm_up_of_both_comes_before_the_cycles_and_each_learns_in_order(order: tuple[Role, Role]) -> None:
    training = hybrid(alpha=fixed(0.5), order=order, steps=2, warmup_steps=3)
    results = training.run(2)
    assert [(r.cycle, r.learner) for r in results] == [(cycle, role) for cycle in (-1, 0, 1) for role in order]
    assert [r.alpha for r in results] == [0, 0, 0.5, 0.5, 0.5, 0.5]
    assert [r.steps for r in results] == [3, 3, 2, 2, 2, 2]
    assert [r.generated for r in results] == [0, 0] + [int(0.5 * len(windows()))] * 4
    assert [r.placement for r in results] == ["none"] * 2 + ["memory"] * 4
    assert training.run(2) == []
    assert [r.cycle for r in training.run(3)] == [2, 2]


@pytest.mark.parametrize(("per_real", "expected"), [(None, 7), (2.0, 30), (0.001, 1)])
def test_how_many_are_generated_does_not_change_their_influence(
    per_real: float | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[JoinedWindows] = []
    fit = Trainer.fit

    def watched(self: Trainer, data: Windows, *arguments: object) -> object:
        if isinstance(data, JoinedWindows):
            seen.append(data)
        return fit(self, data, *arguments)

    monkeypatch.setattr(Trainer, "fit", watched)
    results = hybrid(alpha=fixed(0.5), generated_per_real=per_real, steps=1, warmup_steps=1).run(1)
    assert [r.generated for r in results[2:]] == [expected] * 2
    for data in seen:
        weight = data.__getitems__(range(len(data))).weight
        assert weight[len(windows()) :].sum() / weight[: len(windows())].sum() == pytest.approx(0.5)


def test_without_influence_each_is_trained_as_if_alone() -> None:
    together = hybrid(alpha=fixed(0.0))
    together.run(3)
    for role, stepper in (("physical", heat(0.3)), ("synthetic", Network())):
        alone = trainer(stepper)
        for steps in (4, 6, 6, 6):
            alone.fit(windows(), steps)
        assert same(together.learners[role].trainer.state_dict(), alone.state_dict())


def test_placement_and_prefetching_do_not_change_what_is_learned(tmp_path: Path) -> None:
    placements: tuple[Placement, ...] = ("memory", "cache", "on_the_fly")
    states = {}
    for placement in placements:
        store = Store(tmp_path / placement, 10 * MB, 10 * MB, placement)
        training = hybrid(store, alpha=fixed(1.5))
        results = training.run(2)
        assert {r.placement for r in results[2:]} == {placement}
        states[placement] = training.state_dict()
    assert same(states["memory"], states["cache"])
    for role in ("physical", "synthetic"):
        one, other = (states[placement]["trainers"][role]["weights"] for placement in ("memory", "on_the_fly"))
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-6)


def test_the_teacher_is_frozen_while_it_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    training = hybrid(synthetic=Network(moody=True), alpha=fixed(1.0), warmup_steps=2)
    checked: list[Role] = []
    fit = Trainer.fit

    def watched(self: Trainer, data: Windows, *arguments: object) -> object:
        if not isinstance(data, JoinedWindows):
            return fit(self, data, *arguments)
        (teacher,) = (learner.trainer for learner in training.learners.values() if learner.trainer is not self)
        before = through_a_file(teacher.state_dict())
        result = fit(self, data, *arguments)
        assert same(teacher.state_dict(), before)
        checked.append("physical" if isinstance(self.stepper, Network) else "synthetic")
        return result

    generated: list[Tensor] = []
    rollout = Network.rollout

    def judged(self: Network, state: Tensor, num_steps: int) -> Tensor:
        states = rollout(self, state, num_steps)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            assert not any(module.training for module in self.modules())
            assert not states.requires_grad
            generated.append(states)
        return states

    monkeypatch.setattr(Trainer, "fit", watched)
    monkeypatch.setattr(Network, "rollout", judged)
    training.run(2)
    assert checked == ["physical", "synthetic"] * 2
    assert generated


def interrupted_after(count: int, build: Callable[[], HybridTrainer], cycles: int) -> HybridTrainer:
    """Stopped after some phases, saved, and gone on with in new objects."""
    first = build()
    for phase in first.phases(cycles)[:count]:
        first.advance(phase)
    second = build()
    second.load_state_dict(through_a_file(first.state_dict()))
    second.run(cycles)
    return second


@pytest.mark.parametrize(("starts", "interruptions"), [("real", range(7)), ("perturbed", [3]), ("simulated", [3])])
def test_resuming_between_any_two_phases_equals_no_interruption(starts: str, interruptions: Sequence[int]) -> None:
    def build() -> HybridTrainer:
        # A schedule of alpha that depends on the cycle, and a best error that decides.
        training = hybrid(alpha=linear(2.0, 0.5, cycles=2), steps=3, warmup_steps=2)
        data = windows()
        kinds: dict[str, Starts] = {
            "real": real(data.starts()),
            "perturbed": perturbed(data.starts(), LAYOUT),
            "simulated": simulated(trajectories()[:, 0], LAYOUT, horizon=6),
        }
        for role, learner in training.learners.items():
            training.learners[role] = Learner(learner.trainer, data, 3, 2, kinds[starts])
        return training

    whole = build()
    results = whole.run(2)
    assert all(r.alpha > 0 for r in results[2:])
    for count in interruptions:
        assert same(interrupted_after(count, build, 2).state_dict(), whole.state_dict())


def test_the_seed_decides() -> None:
    states = []
    for seed in (0, 0, 1):
        training = hybrid(alpha=fixed(1.0), seed=seed, steps=2, warmup_steps=2)
        training.run(1)
        states.append(training.state_dict())
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_any_seed_will_do() -> None:
    assert len(hybrid(alpha=fixed(1.0), seed=10**30, steps=1, warmup_steps=1).run(1)) == 4


def test_a_teacher_worse_than_its_learner_does_not_teach() -> None:
    # The simulator starts at the truth and cannot get better; the network knows nothing yet.
    results = hybrid(physical=heat(), alpha=auto(2.0), steps=2, warmup_steps=1).run(2)
    for result in results[2:]:
        if result.learner == "physical":
            assert (result.alpha, result.generated, result.placement) == (0, 0, "none")
        else:
            assert result.alpha > 1.9
            assert result.generated == int(result.alpha * len(windows()))


class Remembering(Stepper):
    """Passes states on to a model and remembers those it was trained on."""

    def __init__(self, inner: Stepper) -> None:
        super().__init__(inner.layout)
        self.inner = inner
        self.starts: list[Tensor] = []

    def forward(self, state: Tensor) -> Tensor:
        return self.inner(state)

    def rollout(self, state: Tensor, num_steps: int) -> Tensor:
        if self.training:
            self.starts.append(state.detach().clone())
        return self.inner.rollout(state, num_steps)


def test_nothing_held_out_is_trained_on_or_starts_what_is_generated() -> None:
    """Held-out states carry a mark, far from any other, that neither model could make or remove."""
    marked = HeldOut(trajectories(count=2, seed=1) + 1000.0)
    data = windows()
    drawn: list[Tensor] = []

    def watched(count: int, teacher: Stepper, generator: torch.Generator) -> StartStates:
        starts = real(data.starts())(count, teacher, generator)
        drawn.append(starts.every())
        return starts

    models = {"physical": Remembering(heat(0.3)), "synthetic": Remembering(Network())}
    learners = [Learner(trainer(model, held_out=marked), data, 6, 4, watched) for model in models.values()]
    HybridTrainer(*learners, store=Store(None, MB, 0), alpha=fixed(1.0)).run(2)
    frames = trajectories().flatten(0, 1)
    for start in torch.cat(drawn):
        assert (frames == start).flatten(1).all(dim=1).any()
    for model in models.values():
        assert torch.cat(model.starts).abs().max() < 100


def test_each_phase_draws_its_own_starts() -> None:
    drawn: list[Tensor] = []

    def watched(count: int, teacher: Stepper, generator: torch.Generator) -> StartStates:
        drawn.append(torch.rand(count, 1, *LAYOUT.grid, generator=generator))
        return PickedStates(drawn[-1])

    training = hybrid(alpha=fixed(1.0), steps=1, warmup_steps=1)
    for role, learner in training.learners.items():
        training.learners[role] = Learner(learner.trainer, learner.real, 1, 1, watched)
    training.run(2)
    assert len(torch.stack(drawn).unique(dim=0)) == 4


@pytest.mark.parametrize(("placement", "budget"), [("memory", MB), ("on_the_fly", 2000)])
def test_a_teacher_that_diverges_does_not_teach(
    placement: Placement, budget: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The learner goes on with real data alone, as if there had been no teacher, even if it shows halfway."""
    states, data = [], windows()
    for alpha in (0.0, 1.0):
        learners = [
            Learner(trainer(model), data, 5, 0, real(data.starts()))
            for model in (heat(0.3), Growth(0.9, limit=0.5))  # the second always diverges
        ]
        training = HybridTrainer(
            *learners,
            store=Store(None, budget, 0, placement),
            alpha=fixed(alpha),
            generated_per_real=0.1,
            order=("physical", "synthetic"),
        )
        for phase in training.phases(1)[:3]:
            result = training.advance(phase)
        assert (result.learner, result.alpha, result.generated) == ("physical", 0.0, 0)
        states.append(learners[0].trainer.state_dict())
    assert same(*states)
    assert "Growth diverged" in caplog.text
    assert "The synthetic model does not teach in cycle 0" in caplog.text


def test_who_takes_all_windows_in_a_step_gets_no_more_generated_ones_than_real_ones_and_has_them_kept() -> None:
    results = hybrid(descent=lbfgs, alpha=fixed(0.5), generated_per_real=3, steps=1, warmup_steps=1).run(1)
    assert [(r.learner, r.generated) for r in results[2:]] == [("synthetic", 45), ("physical", 15)]
    fewer = hybrid(descent=lbfgs, alpha=fixed(0.5), steps=1, warmup_steps=1).run(1)
    assert [r.generated for r in fewer[2:]] == [7, 7]
    for options in ({"store": Store(None, MB, 0, "on_the_fly")}, {"store": Store(None, MB, 0), "fresh_starts": True}):
        training = hybrid(descent=lbfgs, alpha=fixed(0.5), **options)
        with pytest.raises(ValueError, match=r"takes all windows in every step.*physical\.optimizer\.kind=adam"):
            training.check_room(1)
        with pytest.raises(ValueError, match="takes all windows in every step"):
            training.run(1)


def test_a_known_simulator_teaches_and_is_not_trained() -> None:
    training = hybrid(physical=Heat(LAYOUT, Known(DIFFUSIVITY)), descent=lambda stepper: Still(), alpha=auto(1.0))
    results = training.run(1)
    assert [(r.learner, r.steps, r.generated) for r in results] == [
        ("synthetic", 4, 0),
        ("physical", 0, 0),
        ("synthetic", 6, results[2].generated),
        ("physical", 0, 0),
    ]
    assert results[2].generated > 0
    assert results[1].validation_error == pytest.approx(0, abs=1e-6)


class Timid(Growth):
    """Not a number from states that no real trajectory has."""

    def forward(self, state: Tensor) -> Tensor:
        return torch.where((state > 5).any(dim=2, keepdim=True), torch.nan, super().forward(state))


def test_a_learner_that_cannot_roll_out_what_is_generated_goes_on_with_real_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    states, data = [], windows()
    far = data.starts().every() + 10

    def learner(model: Stepper) -> Learner:
        return Learner(trainer(model), data, 5, 3, real(far))

    for alpha in (0.0, 1.0):
        learners = [learner(Timid(0.9)), learner(Growth(1.0))]
        training = HybridTrainer(
            *learners, store=Store(None, MB, 0), alpha=fixed(alpha), order=("physical", "synthetic")
        )
        told: list[float] = []
        for phase in training.phases(1)[:3]:
            told.clear()
            result = training.advance(phase, told.append, told.clear)
        assert len(told) == result.steps == 5, "steps that were taken back are told of as such"
        assert (result.learner, result.alpha, result.generated, result.left_out) == ("physical", 0.0, 0, 0)
        states.append(learners[0].trainer.state_dict())
    assert same(*states)
    assert "the learner diverged (Timid cannot roll out " in result.reason
    assert "The synthetic model does not teach in cycle 0" in caplog.text


def test_real_windows_that_cannot_be_rolled_out_do_not_count_against_the_teacher() -> None:
    states = trajectories()
    states[0] += 10
    data = SlidingWindows(states, 2)
    near = data.starts().every()[5:]

    def learner(model: Stepper) -> Learner:
        return Learner(trainer(model, validate_every=1), data, 5, 3, real(near))

    training = HybridTrainer(
        learner(Timid(0.9)),
        learner(Growth(1.0)),
        store=Store(None, MB, 0),
        alpha=fixed(0.5),
        order=("physical", "synthetic"),
    )
    (result,) = [training.advance(phase) for phase in training.phases(1)[:3]][2:]
    assert (result.learner, result.alpha, result.generated, result.left_out) == ("physical", 0.5, 7, 5)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        hybrid(alpha=fixed(1.0), generated_per_real=0.0)
    with pytest.raises(ValueError, match="names each of"):
        hybrid(alpha=fixed(1.0), order=("physical", "physical"))
