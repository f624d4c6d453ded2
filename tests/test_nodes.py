"""Nodes, of which the outermost lie on the ends of the domain: what uses a layout counts their cells as halves."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from cotwin.data.coarsen import coarsened
from cotwin.estimation.observation import Regions, box_region
from cotwin.layout import Centring, Field, Layout
from cotwin.parameters import CoarseField, Known, PointSources, Positive
from cotwin.physics.heat import Heat
from cotwin.physics.incompressible import IncompressibleFlow
from cotwin.physics.initial import random_fourier
from cotwin.rollouts import Refined
from cotwin.rollouts.lift import lifted
from cotwin.stepper import rollout

F64 = torch.float64


def line(points: int, centring: Centring = "nodes", boundary: str = "neumann") -> Layout:
    return Layout.from_dict(
        {
            "fields": [{"name": "u"}], "grid": [points], "lower": [0.0], "upper": [1.0], "boundary": [boundary],
            "dt": 0.02, "centring": [centring],
        }
    )  # fmt: skip


def wave(layout: Layout) -> Tensor:
    x = torch.tensor(layout.points(0), dtype=F64)
    return (x.exp() * (3 * x).sin())[None, None]


def test_between_nodes_states_are_lifted_to_fourth_order_and_taken_back_as_they_are() -> None:
    errors = []
    for points in (17, 33, 65):
        layout = line(points)
        fine = lifted(wave(layout), layout, 3)
        assert torch.equal(coarsened(fine[:, None], layout, 3)[:, 0], wave(layout))
        errors.append(float((fine - wave(layout.refined(3))).abs().max()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([4, 4], abs=0.2)


def test_a_finer_grid_is_nearer_to_the_solution() -> None:
    layout = line(25, boundary="dirichlet")
    start = torch.sin(2 * math.pi * torch.tensor(layout.points(0), dtype=F64))[None, None]
    exact = math.exp(-0.1 * (2 * math.pi) ** 2 * 0.1) * start
    heat = [Refined(Heat(layout.refined(n), Known(0.1)), layout, n) for n in (1, 2, 4)]
    errors = [float((rollout(one, start, 5)[:, -1] - exact).abs().max()) for one in heat]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 2.9


def test_volumes_and_what_enters_at_points_add_up() -> None:
    layout = line(6)
    whole = box_region(layout, [(0.0, 1.0)])
    states = torch.ones(1, 1, 1, 6, dtype=F64)
    total = Regions.sums(layout, whole[None], torch.tensor([0.0]), ["u"])(states)
    assert total.tolist() == pytest.approx([1.0])
    half = box_region(layout, [(0.0, 0.05)])
    assert half.tolist() == pytest.approx([0.5, 0, 0, 0, 0, 0])
    for place in (0.0, 0.03, 0.5, 1.0):
        field = PointSources(Known(torch.tensor([2.0], dtype=F64)), [[place]], layout)()
        assert float(field @ torch.tensor(layout.widths(0), dtype=F64)) == pytest.approx(2.0)


def test_fields_of_coarse_coefficients_are_the_same_functions_on_cells_and_nodes() -> None:
    coefficients = Positive(torch.tensor([0.5, 1.0, 2.0, 1.5], dtype=F64))
    nodes, cells = CoarseField(coefficients, line(9))(), CoarseField(coefficients, line(24, "cells"))()
    # Cells of a third of a node's spacing: the middle one of three has its centre on a node.
    torch.testing.assert_close(nodes[1:-1], (cells[2:-2:3] + cells[3:-1:3]) / 2, rtol=5e-3, atol=0)


def test_random_states_meet_what_stands_on_the_nodes() -> None:
    states = random_fourier(line(17, boundary="dirichlet"), 3, torch.Generator().manual_seed(0), dtype=F64)
    assert float(states[..., [0, -1]].abs().max()) < 1e-14


def test_a_staggered_grid_refuses_them_with_the_cure() -> None:
    layout = Layout.box(
        [Field("u", 2)], grid=(8, 8), extent=[(0, 1)] * 2, boundary="dirichlet", dt=0.1, centring="nodes"
    )
    with pytest.raises(ValueError, match=r"needs cells, and the layout has nodes.*between neighbours"):
        IncompressibleFlow(layout, Known(0.1), 1.0)
