"""VRMSE is The Well's; held-out errors are of full rollouts and of scored frames only."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import LAYOUT, POINTS, Growth, Network, heat, held_out, trajectories
from torch import Tensor

from cotwin.given import Given
from cotwin.layout import Field, Layout
from cotwin.training.held_out import HeldOut
from cotwin.training.metrics import variances, vrmse


@pytest.mark.parametrize("grid", [(32,), (8, 12), (4, 5, 6)])
@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_agrees_with_the_well(grid: tuple[int, ...], size: float) -> None:
    metrics = pytest.importorskip("the_well.benchmark.metrics")
    datasets = pytest.importorskip("the_well.data.datasets")
    generator = torch.Generator().manual_seed(0)
    prediction, truth = size * torch.randn(2, 3, 4, 2, *grid, generator=generator)
    meta = datasets.WellMetadata(
        dataset_name="random",
        n_spatial_dims=len(grid),
        spatial_resolution=grid,
        scalar_names=[],
        constant_scalar_names=[],
        field_names={0: ["u", "v"]},
        constant_field_names={},
        boundary_condition_types=[],
        n_files=1,
        n_trajectories_per_file=[3],
        n_steps_per_trajectory=[4],
    )
    # Theirs has the channels last.
    theirs = metrics.VRMSE.eval(prediction.movedim(2, -1), truth.movedim(2, -1), meta)
    torch.testing.assert_close(vrmse(prediction, truth), theirs)


def test_exact_scores_zero_and_the_spatial_mean_scores_one() -> None:
    truth = torch.randn(2, 3, 2, 1000, generator=torch.Generator().manual_seed(0))
    assert not vrmse(truth, truth).any()
    mean = truth.mean(dim=-1, keepdim=True).expand_as(truth)
    torch.testing.assert_close(vrmse(mean, truth), torch.ones(2, 3, 2), rtol=1e-3, atol=0)


def test_a_full_mask_changes_nothing_and_hidden_values_do_not_count() -> None:
    prediction, truth = torch.randn(2, 2, 3, 1, 40, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(truth, dtype=torch.bool)
    torch.testing.assert_close(vrmse(prediction, truth, mask), vrmse(prediction, truth))
    mask[..., ::4] = False
    expected = vrmse(prediction[mask].reshape(2, 3, 1, 30), truth[mask].reshape(2, 3, 1, 30))
    torch.testing.assert_close(vrmse(prediction, torch.where(mask, truth, torch.nan), mask), expected)
    mask[0, 0, 0, 1:] = False
    assert vrmse(prediction, truth, mask)[0, 0, 0].isnan()


def test_the_held_out_error_is_of_the_full_rollout() -> None:
    data = held_out()
    assert data.error(heat()) < 1e-5
    model = heat(0.3)
    torch.testing.assert_close(data.measure(model).vrmse_of_frames, vrmse(data.predict(model), data.states)[:, 1:])
    assert data.predict(model).shape == data.states.shape


def test_only_scored_frames_and_channels_that_change_count() -> None:
    late = HeldOut(trajectories(), scored_from=4)
    every = HeldOut(trajectories()).measure(heat(0.3))
    assert late.measure(heat(0.3)).squares.shape == (3, 3, 1)
    for name in ("vrmse_of_frames", "squares", "counts"):
        torch.testing.assert_close(getattr(late.measure(heat(0.3)), name), getattr(every, name)[:, 3:])
    layout = Layout.box(
        [Field("k", static=True), Field("u")], grid=(POINTS,), extent=[(0, 1)], boundary="periodic", dt=0.1
    )
    states = torch.randn(2, 4, 2, POINTS)
    model = Growth(1.0, layout=layout)
    expected = vrmse(states[:, :1].expand_as(states), states)[:, 1:, 1:]
    torch.testing.assert_close(HeldOut(states).measure(model).vrmse_of_frames, expected)


def test_looking_at_a_model_leaves_it_as_it_was() -> None:
    model = Network(moody=True).train()
    model.net[1].eval()  # a part of it is frozen
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert held_out().error(model) == held_out().error(model)  # no dropout
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_measuring_an_error_opens_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a file was opened")

    for name in ("os.open", "io.open", "builtins.open", "fcntl.flock"):
        monkeypatch.setattr(name, refuse)
    assert held_out().error(heat()) < 1e-5


def test_a_rollout_that_diverges_has_an_infinite_error() -> None:
    assert held_out().error(Growth(2.0, limit=1.0)) == math.inf


def test_held_out_data_that_cannot_score_are_refused() -> None:
    states = trajectories()
    mask = torch.ones_like(states, dtype=torch.bool)
    for scored_from in (0, 7):
        with pytest.raises(ValueError, match="lies in 1 to 6"):
            HeldOut(states, scored_from=scored_from)
    # A rollout from a state with holes would judge every model by made-up values.
    holed = mask.clone()
    holed[1, 0, 0, 3] = False
    with pytest.raises(ValueError, match=r"held-out trajectories \[1\]"):
        HeldOut(states, holed)
    missing = states.clone()
    missing[2, 0] = torch.nan
    with pytest.raises(ValueError, match=r"held-out trajectories \[2\]"):
        HeldOut(missing)
    later = states.clone()
    later[2, 5, 0, 1] = torch.inf
    with pytest.raises(ValueError, match="are not finite; set a mask"):
        HeldOut(later)
    mask[:, 4:] = False
    with pytest.raises(ValueError, match="nothing is observed"):
        HeldOut(states, mask, scored_from=4)
    assert LAYOUT.channels == states.shape[2]


def with_a_constant(states: Tensor, value: float) -> Tensor:
    """The same, with a second channel that is the same everywhere, to rounding."""
    constant = torch.full_like(states, value)
    return torch.cat([states, constant * (1 + 5e-8 * torch.randn(states.shape))], dim=2)


BESIDE = Layout.box([Field("u"), Field("p")], grid=(POINTS,), extent=[(0, 1)], boundary="periodic", dt=0.1)


@pytest.mark.parametrize("unit", [1e-12, 1e-4, 1.0, 1e9])
def test_what_decides_depends_on_no_unit_and_no_constant_channel(unit: float) -> None:
    train, states = trajectories(seed=3), trajectories(seed=4)
    plain = HeldOut(states, variance=variances(train)).measure(Growth(0.9))
    beside = HeldOut(
        with_a_constant(unit * states, 1e5 * unit), variance=variances(with_a_constant(unit * train, 1e5 * unit))
    ).measure(Growth(0.9, layout=BESIDE))
    assert beside.nrmse == pytest.approx(plain.nrmse, rel=1e-5)
    assert beside.nrmse_of_trajectories == pytest.approx(plain.nrmse_of_trajectories, rel=1e-5)
    assert beside.nrmse_over_time == pytest.approx(plain.nrmse_over_time, rel=1e-5)
    # The Well's does depend on both.
    assert beside.vrmse != pytest.approx(plain.vrmse, rel=0.5)


def test_the_error_that_decides_is_the_mean_square_over_the_variance_of_the_training_data() -> None:
    states, model = torch.randn(2, 4, 2, POINTS), Growth(0.7, layout=BESIDE)
    data = HeldOut(states, variance=torch.tensor([4.0, 0.25], dtype=torch.float64))
    squares = (data.predict(model) - states)[:, 1:].square().mean(dim=(0, 1, 3))
    assert data.error(model) == pytest.approx(float((squares / torch.tensor([4.0, 0.25])).sqrt().mean()))
    hidden = torch.rand(states.shape) < 0.5
    hidden[:, 0] = False
    holed = HeldOut(torch.where(hidden, torch.nan, states), ~hidden, variance=torch.ones(2).double())
    square = (data.predict(model) - states)[:, 1:].square()
    expected = [square[:, :, c][~hidden[:, 1:, c]].mean().sqrt() for c in (0, 1)]
    assert holed.error(model) == pytest.approx(float(torch.stack(expected).mean()))
    with pytest.raises(ValueError, match="nothing to judge a model by"):
        HeldOut(torch.ones(2, 4, 2, POINTS)).error(model)
    # Only what does not vary in the training data was observed.
    half = torch.ones_like(states, dtype=torch.bool)
    half[:, 1:, 0] = False
    with pytest.raises(ValueError, match="nothing to judge a model by"):
        HeldOut(states, half, variance=torch.tensor([1.0, 0.0])).error(model)


def test_the_variance_is_over_all_that_was_observed() -> None:
    states = 1e3 + torch.randn(3, 5, 2, 7)
    torch.testing.assert_close(variances(states), states.double().var(dim=(0, 1, 3), correction=0))
    mask = torch.rand(states.shape) < 0.7
    expected = torch.stack([states[:, :, c][mask[:, :, c]].double().var(correction=0) for c in (0, 1)])
    torch.testing.assert_close(variances(torch.where(mask, states, torch.nan), mask), expected)
    assert not variances(states, torch.zeros_like(mask)).any()


def test_rounding_is_that_of_the_precision_in_which_values_were_stored() -> None:
    noise = torch.randn(1, 5, 1, 40, dtype=torch.float64)
    stored = (1e5 * (1 + 5e-8 * noise)).float()
    assert len(stored.unique()) > 2
    assert not variances(stored).any()
    assert not variances(stored.double()).any()
    assert not variances(1e5 * (1 + 1e-14 * noise)).any()
    # In double precision a signal of a thousandth on an offset of 10⁵ is one.
    signal = 1e5 + 1e-3 * noise
    torch.testing.assert_close(variances(signal)[0], 1e-6 * noise.var(correction=0), rtol=1e-6, atol=0)


def test_baselines_know_what_came_before_the_first_scored_frame() -> None:
    states = torch.arange(6.0).view(1, 6, 1, 1).expand(1, 6, 1, POINTS) + torch.arange(POINTS) / POINTS
    mask = torch.ones_like(states, dtype=torch.bool)
    mask[0, 3, 0, 0] = False  # there the frame before it is the last that is known
    data = HeldOut(states, mask, scored_from=4, variance=torch.ones(1).double())
    found = {name: errors.nrmse for name, errors in data.baselines(LAYOUT).items()}
    square = torch.tensor([1.0, 4.0]).repeat_interleave(POINTS)
    square[[0, POINTS]] = torch.tensor([4.0, 9.0])
    assert found["the last known state"] == pytest.approx(float(square.mean().sqrt()))
    assert found["the mean in time of what is known"] > found["the last known state"]
    assert set(HeldOut(states).baselines(LAYOUT)) == {"the last known state", "its mean in space"}


@pytest.mark.parametrize("together", [1, 700, 1500])
def test_long_rollouts_are_compared_a_stretch_after_the_other(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    states = torch.randn(3, 9, 1, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.rand(states.shape, generator=torch.Generator().manual_seed(1)) < 0.8
    mask[:, 0] = True
    for scored_from in (1, 4):
        data = HeldOut(states, mask, scored_from, given=Given.of(3))
        model = Growth(0.1)
        whole, kept, rollout = data.measure(model), data.baselines(model.layout), data.predict(model)
        with monkeypatch.context() as patch:
            patch.setattr("cotwin.training.held_out.TOGETHER", together)
            patch.setattr("cotwin.pieces.AT_ONCE", together)
            assert len(list(data.predictions(model))) > 1
            found, constant = data.measure(model), data.baselines(model.layout)
            torch.testing.assert_close(data.predict(model), rollout, rtol=1e-12, atol=0)
        for one, other in ((found, whole), *((constant[name], kept[name]) for name in kept)):
            torch.testing.assert_close(one.squares, other.squares, rtol=1e-12, atol=0)
            torch.testing.assert_close(one.vrmse_of_frames, other.vrmse_of_frames, equal_nan=True)
            assert torch.equal(one.counts, other.counts)


def test_a_rollout_that_diverges_late_has_no_finite_error(monkeypatch: pytest.MonkeyPatch) -> None:
    states = torch.randn(2, 60, 1, 16, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("cotwin.training.held_out.TOGETHER", 4 * 16 * 20)
    assert bool(HeldOut(states).measure(Growth(10.0)).squares.isinf().all())
