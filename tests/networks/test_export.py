"""A surrogate leaves Python with a free batch size, and gives the same numbers there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cotwin.layout import Field, Layout
from cotwin.networks import FourierOperator, ResidualConvNet, Surrogate, UNet, WithPositions

BUILDERS: dict[str, Callable[[Layout], nn.Module]] = {
    "resnet": lambda layout: ResidualConvNet(layout, width=8, depth=2),
    "unet": lambda layout: UNet(layout, width=4, levels=2),
    "fno": lambda layout: FourierOperator(layout, width=4, depth=2, modes=3),
}
FIELDS = {"moving": [Field("u")], "static": [Field("k", static=True), Field("u"), Field("v", components=2)]}

each = pytest.mark.parametrize(
    ("network", "fields"),
    [("resnet", "static"), ("unet", "moving"), pytest.param("fno", "static", marks=pytest.mark.slow)],
)


def surrogate(network: str, fields: str) -> Surrogate:
    # With halves that are not whole.
    layout = Layout.box(FIELDS[fields], grid=(16, 11), extent=[(0, 1)] * 2, boundary=("periodic", "neumann"), dt=0.1)
    generator = torch.Generator().manual_seed(0)
    data = 2 + 3 * torch.randn(2, 10, *layout.state_shape, generator=generator)
    model = Surrogate.fitted(WithPositions(layout, BUILDERS[network]), layout, data)
    for weight in model.parameters():  # a fresh network predicts no change at all
        nn.init.normal_(weight, std=0.1, generator=generator)
    return model.eval()


def states(model: Surrogate, count: int) -> Tensor:
    return 2 + 3 * torch.randn(count, *model.layout.state_shape, generator=torch.Generator().manual_seed(count))


@each
def test_it_is_exported_for_any_batch(network: str, fields: str) -> None:
    model = surrogate(network, fields)
    program = torch.export.export(model, (states(model, 3),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for count in (1, 3, 7):
        found = program.module()(states(model, count))
        assert torch.allclose(found, model(states(model, count)), rtol=0, atol=1e-5)


@each
def test_onnx_gives_the_same_numbers(network: str, fields: str, tmp_path: Path) -> None:
    """Optimised, as by default: index_add came out of it wrong by order two."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, path = surrogate(network, fields), tmp_path / "surrogate.onnx"
    batch = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own
        torch.onnx.export(model, (states(model, 3),), path, dynamo=True, dynamic_shapes=batch)
    session = onnxruntime.InferenceSession(path)
    for count in (1, 3, 7):
        state = states(model, count)
        (found,) = session.run(None, {session.get_inputs()[0].name: state.numpy()})
        assert np.abs(found - model(state).detach().numpy()).max() < 1e-5
