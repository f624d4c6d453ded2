"""A trainer finds the truth, repeats itself bit for bit, and survives a solver that blows up."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from itertools import chain

import pytest
import torch
from tiny import (
    DIFFUSIVITY,
    LAYOUT,
    Growth,
    Network,
    adam,
    heat,
    held_out,
    lbfgs,
    same,
    through_a_file,
    trainer,
    trajectories,
    windows,
)
from torch import Tensor

from cotwin.estimation.priors import LogNormal
from cotwin.stepper import Stepper
from cotwin.training.descent import Descent, GradientDescent
from cotwin.training.gauss_newton import GaussNewton
from cotwin.training.held_out import HeldOut
from cotwin.training.objective import Objective
from cotwin.training.penalty import Penalty
from cotwin.training.safe_steps import MAX_REJECTIONS, TrainingDivergedError
from cotwin.training.trainer import Trainer, cosine
from cotwin.windows import Batch, JoinedWindows, PickedStates, RolloutWindows, SlidingWindows, Windows
from cotwin.windows.serving import seeded_epochs

OPTIMIZERS = pytest.mark.parametrize("optimizer", [adam, lbfgs])
Make = Callable[[Stepper], GradientDescent]


class Watched(SlidingWindows):
    """Remembers the order in which it was read."""

    def __init__(self) -> None:
        super().__init__(trajectories(), 2)
        self.read: list[list[int]] = []

    def __getitems__(self, indices: list[int]) -> Batch:
        self.read.append(list(indices))
        return super().__getitems__(indices)


def sgd(lr: float, clip: float | None = None) -> Make:
    return lambda stepper: GradientDescent(torch.optim.SGD(stepper.parameters(), lr=lr), clip=clip)


@pytest.mark.parametrize(("optimizer", "steps", "accuracy"), [(lambda s: adam(s, 0.2), 100, 0.01), (lbfgs, 5, 1e-3)])
@pytest.mark.parametrize("start", [0.02, 0.5])
def test_finds_the_diffusivity_that_made_the_data(optimizer: Make, steps: int, accuracy: float, start: float) -> None:
    fitting = trainer(heat(start), optimizer, batch_size=len(windows()))
    fit = fitting.fit(windows(), steps)
    assert fitting.best().diffusivity().item() == pytest.approx(DIFFUSIVITY, rel=accuracy)
    assert fit.steps == steps
    assert fit.validation_error < accuracy


def test_each_epoch_reads_every_window_once_in_an_order_that_the_seed_fixes() -> None:
    orders = []
    for seed in (0, 0, 1):
        data = Watched()
        trainer(heat(), seed=seed).fit(data, 8)
        per_epoch = math.ceil(len(data) / 4)
        epochs = [list(chain(*data.read[first : first + per_epoch])) for first in (0, per_epoch)]
        assert all(sorted(epoch) == list(range(len(data))) for epoch in epochs)
        assert epochs[0] != epochs[1]
        orders.append(data.read)
    assert orders[0] == orders[1] != orders[2]


def test_every_step_is_reported() -> None:
    losses: list[float] = []
    fit = trainer(heat(0.3)).fit(windows(), 7, losses.append)
    assert len(losses) == fit.steps == 7
    assert fit.train_loss == pytest.approx(sum(losses) / 7)


@OPTIMIZERS
def test_the_same_seed_gives_the_same_bits(optimizer: Make) -> None:
    states = []
    for _ in range(2):
        fitting = trainer(Network(), optimizer)
        fitting.fit(windows(), 12)
        states.append(fitting.state_dict())
    assert same(*states)


@OPTIMIZERS
def test_resuming_equals_no_interruption(optimizer: Make) -> None:
    options = {"schedule": cosine(20), "averaging": True}
    whole, interrupted, resumed = (trainer(Network(), optimizer, **options) for _ in range(3))
    for one in (whole, interrupted):
        one.fit(windows(), 9)
    saved = through_a_file(interrupted.state_dict())
    resumed.load_state_dict(saved)
    copy = through_a_file(saved)
    assert same(whole.fit(windows(), 8), resumed.fit(windows(), 8))
    assert same(whole.state_dict(), resumed.state_dict())
    # Going on does not change what it went on from: another could start there too.
    assert same(saved, copy)


@pytest.mark.parametrize("descent", [lbfgs, GaussNewton])
def test_what_takes_all_windows_in_a_step_does_not_depend_on_how_many_are_in_memory(
    descent: Callable[[Stepper], Descent],
) -> None:
    """With weights, a mask and a prior, which counts once however many parts there are."""
    made = trajectories(seed=1).clone()
    mask = torch.rand(made.shape, generator=torch.Generator().manual_seed(2)) < 0.7
    mask[:, 0] = True
    data = JoinedWindows(SlidingWindows(made + 0.1, 2, mask), windows(), alpha=0.7)
    found = []
    for batch_size in (1, 4, 99):
        penalty = Penalty({"diffusivity": LogNormal(0.2, 1.1)}, values=10)
        fitting = trainer(heat(0.3), descent, batch_size=batch_size, penalty=penalty)
        fit = fitting.fit(data, 2)
        found.append((fit.train_loss, fitting.stepper.diffusivity().item()))
    assert found[0] == pytest.approx(found[2], rel=1e-5)
    assert found[1] == pytest.approx(found[2], rel=1e-5)
    assert found[2][1] != pytest.approx(0.3, rel=0.01)


def test_what_lbfgs_learned_of_other_windows_is_forgotten() -> None:
    one, other = trainer(Network(), lbfgs, batch_size=99), trainer(Network(), lbfgs, batch_size=99)
    one.fit(SlidingWindows(trajectories(seed=5), 2), 3)
    other.stepper.load_state_dict(one.stepper.state_dict())
    other.epochs_begun = one.epochs_begun
    for fitting in (one, other):
        fitting.fit(windows(), 3)
    assert same(one.stepper.state_dict(), other.stepper.state_dict())


def test_the_weights_kept_are_the_best_validated() -> None:
    seen: list[tuple[float, dict[str, Tensor]]] = []

    class Watching(Trainer):
        def validate(self) -> float:
            error = super().validate()
            seen.append((error, {name: value.clone() for name, value in self.stepper.state_dict().items()}))
            return error

    # Steps so long that the error goes up and down.
    stepper = heat(0.3)
    usual = trainer(stepper)
    fitting = Watching(
        stepper, usual.loss, usual.held_out, descent=adam(stepper, 0.4), batch_size=4, validate_every=2
    )
    fit = fitting.fit(windows(), 20)
    errors = [error for error, _ in seen]
    best = errors.index(min(errors))
    assert 0 < best < len(errors) - 1
    assert same(fitting.best().state_dict(), seen[best][1])
    assert fitting.best_error == fit.validation_error == errors[best]
    assert held_out().error(fitting.best()) == errors[best]


def test_a_fit_that_only_does_harm_keeps_the_start() -> None:
    fitting = trainer(heat(), validate_every=1)
    fitting.fit(SlidingWindows(trajectories().flip(1), 2), 5)  # time runs backwards
    assert fitting.best().diffusivity().item() == pytest.approx(DIFFUSIVITY)
    assert fitting.stepper.diffusivity().item() < 0.9 * DIFFUSIVITY


def test_the_best_model_is_a_frozen_copy() -> None:
    fitting = trainer(Network(moody=True))
    fitting.fit(windows(), 2)
    best = fitting.best()
    assert not any(module.training for module in best.modules())
    assert not any(parameter.requires_grad for parameter in best.parameters())
    before = {name: value.clone() for name, value in best.state_dict().items()}
    fitting.fit(windows(), 5)
    assert same(best.state_dict(), before)
    assert fitting.stepper.training


class Spying(Growth):
    """Remembers the states that it saw in training and in judgement."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.seen: dict[bool, list[Tensor]] = {True: [], False: []}

    def forward(self, state: Tensor) -> Tensor:
        self.seen[self.training].append(state.detach()[:, 0, 0].clone())
        return super().forward(state)


def test_validation_sees_held_out_states_and_training_sees_none_of_them() -> None:
    marked = HeldOut(trajectories() + 1000.0)
    spy = Spying()
    trainer(spy, held_out=marked, validate_every=2).fit(windows(), 6)
    trained, judged = torch.cat(spy.seen[True]), torch.cat(spy.seen[False])
    assert len(trained) > 0
    assert len(judged) == 4 * 6 * 3  # at the start and thrice more, six steps of three trajectories
    assert trained.abs().max() < 500
    assert judged.min() > 500


def test_held_out_data_decide_nothing_but_what_is_kept() -> None:
    fittings = [
        trainer(heat(0.3), held_out=data) for data in (held_out(), HeldOut(torch.randn(4, 5, *LAYOUT.state_shape)))
    ]
    for fitting in fittings:
        fitting.fit(windows(), 11)
    assert same(*(fitting.stepper.state_dict() for fitting in fittings))


def test_learning_rates_are_those_of_the_schedule() -> None:
    rates: list[float] = []
    stepper = heat(0.3)
    fitting = trainer(stepper, adam, schedule=cosine(10))
    for _ in range(2):  # the schedule goes on from one fit to the next
        fitting.fit(windows(), 6, lambda loss: rates.append(fitting.descent.optimizers[0].param_groups[0]["lr"]))
    assert rates == pytest.approx([0.05 * cosine(10)(step) for step in range(12)])


@pytest.mark.parametrize("clip", [None, 1e-3, 1e3])
def test_the_gradient_is_no_longer_than_the_clip(clip: float | None) -> None:
    stepper, bare = Network(), Network()
    norms = []
    for model, limit in ((stepper, clip), (bare, None)):
        fitting = trainer(model, sgd(1.0, limit))
        before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
        fitting.fit(windows(), 1)
        norms.append(float((torch.cat([p.detach().flatten() for p in model.parameters()]) - before).norm()))
    expected = norms[1] if clip is None else min(clip, norms[1])
    assert norms[0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("clipped_alone", [0.05, 0.2])
def test_clipping_leaves_generated_windows_the_influence_alpha(clipped_alone: float) -> None:
    """Over an epoch, each window's weight shortened as its batch's gradient is; real data are noisy."""
    clean = trajectories(count=8)
    noise = 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    real, alpha, usual = SlidingWindows(clean + noise, 2), 4.0, trainer(Network())

    def lowered(batch: Batch) -> Objective:
        return Objective(usual.stepper, usual.loss, None, range(len(batch.weight)), lambda some: iter([batch]))

    def epoch(data: Windows) -> list[tuple[float, Batch]]:
        """Length of the gradient, and the batch."""
        ((_, rows),) = seeded_epochs(len(data), 16, seed=0, first=0, count=math.ceil(len(data) / 16))
        batches = [data.__getitems__(some) for some in rows]
        return [(float(lowered(batch).evaluate().gradient_norm), batch) for batch in batches]

    clip = float(torch.tensor([norm for norm, _ in epoch(real)]).quantile(1 - clipped_alone))
    kept = {True: 0.0, False: 0.0}
    for norm, batch in epoch(JoinedWindows(real, SlidingWindows(clean.repeat(16, 1, 1, 1), 2), alpha)):
        for measured in kept:
            kept[measured] += min(1, clip / norm) * float(batch.weight[batch.measured == measured].sum())
    assert kept[False] / kept[True] == pytest.approx(alpha, rel=0.05)


def rate_of(fitting: Trainer) -> float:
    stepper = fitting.stepper
    assert isinstance(stepper, Growth)
    return float(stepper.rate().detach())


def growing(rate: float) -> SlidingWindows:
    start = torch.rand(3, 1, 1, 16, generator=torch.Generator().manual_seed(0))
    return SlidingWindows(start * rate ** torch.arange(6.0).reshape(1, -1, 1, 1), 2)


@pytest.mark.parametrize(("optimizer", "steps"), [(lambda s: adam(s, 0.5), 250), (lambda s: lbfgs(s, 4.0), 5)])
def test_a_step_too_far_is_taken_back_and_training_converges(
    optimizer: Make, steps: int, caplog: pytest.LogCaptureFixture
) -> None:
    # The truth lies just below where the solver breaks, and the first steps go beyond.
    caplog.set_level(logging.INFO)
    fitting = trainer(Growth(0.5, limit=0.92), optimizer, batch_size=12)
    fitting.fit(growing(0.9), steps)
    assert "Growth diverged at step 1 of 2" in caplog.text
    assert (
        "Looking elsewhere" if steps < 10 else "Step taken back; the next is 0.5 of the usual size"
    ) in caplog.text
    assert rate_of(fitting) == pytest.approx(0.9, rel=0.01)


def test_a_few_bad_steps_do_not_shorten_the_rest_for_good() -> None:
    fitting = trainer(heat(0.3))
    fitting.safe_steps.shrink = 1 / 8
    fitting.fit(windows(), 47)
    assert fitting.safe_steps.shrink < 1
    fitting.fit(windows(), 2)
    assert fitting.safe_steps.shrink == 1


@OPTIMIZERS
def test_a_model_that_always_diverges_stops_with_its_parameters(
    optimizer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    fitting = trainer(Growth(0.5, limit=0.1), optimizer)
    with pytest.raises(
        TrainingDivergedError, match=r"Growth, at rate = 0\.5, diverges on .* windows; start from other values"
    ):
        fitting.fit(windows(), 5)
    assert rate_of(fitting) == 0.5
    assert "taken back" not in caplog.text, "no step is to blame"
    assert fitting.best_error == math.inf


class Touchy(Growth):
    """Not a number from states beyond what it takes."""

    def forward(self, state: Tensor) -> Tensor:
        beyond = state.abs().amax(dim=(1, 2), keepdim=True) > 100
        return torch.where(beyond, torch.nan, super().forward(state))


@pytest.mark.parametrize(("optimizer", "steps"), [(lambda s: adam(s, 0.1), 200), (lbfgs, 5)])
def test_a_window_that_no_weights_can_roll_out_is_left_out_counted_and_warned_of(
    optimizer: Make, steps: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = growing(0.9).__getitems__(range(12)).states
    data[5] *= 1000
    fitting = trainer(Touchy(0.5), optimizer)
    fit = fitting.fit(SlidingWindows(data, 2), steps)
    assert rate_of(fitting) == pytest.approx(0.9, rel=0.01)
    assert (fit.left_out, fit.steps) == (1, steps)
    assert caplog.text.count("Touchy diverged at step 1 of 2, in 1 of") == 1
    assert "1 of 12 windows so far" in caplog.text
    assert "taken back" not in caplog.text
    assert fitting.safe_steps.shrink == 1


def test_a_window_that_is_left_out_is_another_one_in_an_epoch_of_fresh_starts() -> None:
    def starts(epoch: int) -> PickedStates:
        states = torch.rand(12, 1, 16, generator=torch.Generator().manual_seed(epoch)) + 0.1
        states[epoch % 12] *= 1000
        return PickedStates(states)

    fitting = trainer(Touchy(0.5), lambda stepper: adam(stepper, 0.1))
    fit = fitting.fit(RolloutWindows(Growth(0.9), starts(0), 2, fresh_starts=starts), steps=10 * 3)
    assert (fit.left_out, fit.steps) == (1, 30)


class Cliff(Growth):
    """Fine where it starts; once moved, not a number, and its batch statistics with it."""

    def __init__(self) -> None:
        super().__init__(0.5)
        self.register_buffer("mean", torch.zeros(()))
        self.start = self.rate.raw.detach().clone()

    def forward(self, state: Tensor) -> Tensor:
        if torch.equal(self.rate.raw, self.start):
            return super().forward(state)
        self.mean += torch.nan
        return state * torch.nan * self.rate()


def test_a_step_that_is_given_up_leaves_the_model_as_it_was_before_it() -> None:
    fitting = trainer(Cliff(), validate_every=100)
    with pytest.raises(TrainingDivergedError):
        fitting.fit(windows(), MAX_REJECTIONS + 2)
    assert rate_of(fitting) == 0.5
    assert float(fitting.stepper.mean) == 0.0
    assert all(torch.isfinite(value).all() for value in fitting.best_weights.values())


def test_a_fit_that_begins_astray_goes_back_to_the_best() -> None:
    """The last step of the fit before went too far, and only the held-out data could have told."""
    fitting = trainer(Growth(0.5, limit=0.92), batch_size=12)
    fitting.fit(growing(0.9), 1)
    best = rate_of(fitting)
    with torch.no_grad():
        fitting.stepper.rate.raw.fill_(0.0)
    fitting.fit(growing(0.9), 1)
    assert best < rate_of(fitting) < 0.92


class Steep(Growth):
    """Finite, with a gradient that is not."""

    def forward(self, state: Tensor) -> Tensor:
        return super().forward(state) + (self.rate() - self.rate().detach()).abs().sqrt()


class Huge(Growth):
    """Finite, with a square that is not."""

    def forward(self, state: Tensor) -> Tensor:
        return super().forward(state) + 1e30


@pytest.mark.parametrize("stepper", [Steep(0.5), Huge(0.5)])
def test_a_loss_or_gradient_that_is_not_finite_counts_as_divergence(
    stepper: Growth, caplog: pytest.LogCaptureFixture
) -> None:
    fitting = trainer(stepper)
    with pytest.raises(TrainingDivergedError):
        fitting.fit(windows(), 1)
    assert rate_of(fitting) == 0.5
    assert "not finite" in caplog.text or "a loss of inf" in caplog.text


def test_no_steps_is_no_training() -> None:
    fitting = trainer(heat(0.3))
    fit = fitting.fit(windows(), 0)
    assert fit.steps == 0
    assert fit.validation_error == held_out().error(heat(0.3))
    with pytest.raises(ValueError, match="at least 1"):
        trainer(heat(), batch_size=0)
