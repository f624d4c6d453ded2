"""VRMSE is The Well's; held-out errors are of full rollouts and of scored frames only."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import LAYOUT, POINTS, Growth, Network, heat, held_out, trajectories

from cotwin.layout import Field, Layout
from cotwin.training.held_out import HeldOut
from cotwin.training.metrics import vrmse


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
    torch.testing.assert_close(data.errors(model), vrmse(data.predict(model), data.states)[:, 1:])
    assert data.predict(model).shape == data.states.shape


def test_only_scored_frames_and_channels_that_change_count() -> None:
    late = HeldOut(trajectories(), scored_from=4)
    assert late.errors(heat(0.3)).shape == (3, 3, 1)
    torch.testing.assert_close(late.errors(heat(0.3)), HeldOut(trajectories()).errors(heat(0.3))[:, 3:])
    layout = Layout.box(
        [Field("k", static=True), Field("u")], grid=(POINTS,), extent=[(0, 1)], boundary="periodic", dt=0.1
    )
    states = torch.randn(2, 4, 2, POINTS)
    model = Growth(1.0, layout=layout)
    expected = vrmse(states[:, :1].expand_as(states), states)[:, 1:, 1:]
    torch.testing.assert_close(HeldOut(states).errors(model), expected)


def test_looking_at_a_model_leaves_it_as_it_was() -> None:
    model = Network(moody=True).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert held_out().error(model) == held_out().error(model)  # no dropout
    assert model.training
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
    mask[:, 4:] = False
    with pytest.raises(ValueError, match="nothing is observed"):
        HeldOut(states, mask, scored_from=4)
    assert LAYOUT.channels == states.shape[2]
