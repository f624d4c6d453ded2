"""Networks by size: what the table in the docs counts, and what a configuration means by a size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cotwin.experiment.declared import sizes
from cotwin.experiment.load import ConfigError, load
from cotwin.layout import Field, Layout
from cotwin.registry import network

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
GRIDS = ((128,), (64, 64), (32, 32, 32))


def parameters(name: str, grid: tuple[int, ...], **settings: int) -> int:
    layout = Layout.box([Field("u")], grid=grid, extent=[(0, 1)] * len(grid), boundary="periodic", dt=0.1)
    with torch.device("meta"):
        return sum(weight.numel() for weight in network.find(name)(layout, **settings).parameters())


@pytest.mark.parametrize("name", network.own())
def test_the_docs_count_what_networks_have(name: str) -> None:
    every = {"not said": {}, **sizes(network.find(name))}
    assert set(every) == {"not said", "tiny", "small", "base"}
    for size, settings in every.items():
        said = ", ".join(f"{key} {value}" for key, value in settings.items()) or "its defaults"
        counts = " | ".join(f"{parameters(name, grid, **settings):,}" for grid in GRIDS)
        assert f"| `{name}` | {size} | {said} | {counts} |\n" in DOCS.read_text(encoding="utf-8")


def test_a_size_sets_what_is_not_stated_beside_it() -> None:
    plain = load("burgers").synthetic
    assert (plain.size, plain.width, plain.depth) == (None, 16, 4)
    sized = load("burgers", ["synthetic.size=base"]).synthetic
    assert (sized.width, sized.depth) == (64, 6)  # the preset's width was of no size
    for order in (["synthetic.size=base", "synthetic.width=8"], ["synthetic.width=8", "synthetic.size=base"]):
        stated = load("burgers", order).synthetic
        assert (stated.width, stated.depth) == (8, 6)
    assert load("burgers", ["synthetic={network: unet, size: tiny}"]).synthetic.width == 6
    assert load("gray_scott", ["synthetic.network=fno", "synthetic.size=tiny"]).synthetic.modes == 8


def test_a_size_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"synthetic\.size"):
        load("burgers", ["synthetic.size=huge"])
