"""The pressure projection: what it removes, what it leaves, and PhiFlow's iterative one."""

from __future__ import annotations

import pytest
import torch
from physics_cases import F64, UV, box
from torch import Tensor

from cotwin.layout import Boundary, Layout
from cotwin.physics.ends import with_ghosts
from cotwin.physics.finite_volume import difference
from cotwin.physics.projection import Projection, divergence, second_difference, with_end_face, without_gradient

Ends = tuple[Boundary, Boundary]

ENDS: list[Ends] = [
    ("periodic", "periodic"),
    ("dirichlet", "dirichlet"),
    ("periodic", "dirichlet"),
    ("neumann", "periodic"),
    ("dirichlet", "neumann"),
]
every_box = pytest.mark.parametrize("ends", ENDS)
every_closed_box = pytest.mark.parametrize("ends", [ends for ends in ENDS if "neumann" not in ends])


def layout_with(ends: Ends, grid: tuple[int, int] = (9, 12)) -> Layout:
    return box(list(UV), grid, ends)


def noise(layout: Layout, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    velocity = torch.randn(3, 2, *layout.grid, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return velocity.to(dtype)


def largest_divergence(velocity: Tensor, layout: Layout) -> float:
    """Of all cells, relative to speed over spacing."""
    scale = float(velocity.abs().max()) / min(layout.spacing)
    return float(divergence(with_end_face(velocity, layout), layout).abs().max()) / scale


@every_box
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("grid", [(9, 12), (32, 21)])
def test_no_divergence_is_left(grid: tuple[int, int], dtype: torch.dtype, ends: Ends) -> None:
    layout = layout_with(ends, grid)
    velocity = noise(layout, dtype=dtype)
    projected = Projection(layout)(velocity)
    assert projected.dtype == dtype
    assert largest_divergence(projected, layout) < 20 * torch.finfo(dtype).eps
    assert (projected - velocity).abs().mean() > 0.1
    for axis, kind in enumerate(ends):
        if kind == "dirichlet":
            assert projected[:, axis].select(axis + 1, 0).abs().max() == 0, "nothing passes a wall"


@every_box
def test_what_is_free_of_divergence_is_left_alone(ends: Ends) -> None:
    layout = layout_with(ends)
    projection = Projection(layout)
    projected = projection(noise(layout))
    assert torch.allclose(projection(projected), projected, rtol=0, atol=1e-14)


@every_closed_box
def test_a_gradient_is_removed_whole(ends: Ends) -> None:
    layout = layout_with(ends)
    slope = -without_gradient(torch.zeros(3, 2, *layout.grid, dtype=F64), noise(layout)[:, :1], layout)
    assert Projection(layout)(slope).abs().max() < 1e-13 * slope.abs().max()


@every_closed_box
def test_symmetric_where_nothing_is_open(ends: Ends) -> None:
    layout = layout_with(ends)
    projection, u, v = Projection(layout), noise(layout, 1), noise(layout, 2)
    assert float((projection(u) * v).sum()) == pytest.approx(float((u * projection(v)).sum()), rel=1e-12)


def test_what_is_removed_is_orthogonal_to_what_is_left_half_faces_at_open_ends() -> None:
    layout = layout_with(("periodic", "neumann"))
    velocity = noise(layout)
    projected = Projection(layout)(velocity)
    one, other = with_end_face(velocity, layout) - with_end_face(projected, layout), with_end_face(projected, layout)
    # Both ends' faces belong to one cell only; the other component has no face beyond the last cell.
    weights = torch.ones(2, layout.grid[0], layout.grid[1] + 1, dtype=F64)
    weights[1, :, 0] = weights[1, :, -1] = 0.5
    weights[0, :, -1] = 0
    # The given state's outer face follows from its last cell; the projection starts from that.
    assert (weights * one * other).sum(dim=(1, 2, 3)).abs().max() < 1e-12 * (weights * other**2).sum()


@every_box
def test_the_pressure_solves_its_equation_and_has_no_free_mean(ends: Ends) -> None:
    layout = layout_with(ends)
    right_side = noise(layout)[:, :1]
    if "neumann" not in ends:
        right_side = right_side - right_side.mean(dim=(2, 3), keepdim=True)
    pressure = Projection(layout).prepare(right_side)(right_side)
    laplacian = torch.zeros_like(pressure)
    for axis, kind in enumerate(ends):
        ghost: Boundary = {"periodic": "periodic", "dirichlet": "neumann", "neumann": "dirichlet"}[kind]
        slopes = difference(with_ghosts(pressure, axis + 2, ghost), axis + 2)
        laplacian += difference(slopes, axis + 2) / layout.spacing[axis] ** 2
    assert torch.allclose(laplacian, right_side, rtol=0, atol=1e-12)
    if "neumann" not in ends:
        assert pressure.mean(dim=(2, 3)).abs().max() < 1e-16


@pytest.mark.parametrize("kind", ["periodic", "dirichlet", "neumann"])
@pytest.mark.parametrize("points", [2, 5, 8])
def test_eigenvectors_of_the_second_difference(points: int, kind: Boundary) -> None:
    vectors, rates = second_difference(torch.arange(points), kind)
    identity = torch.eye(points, dtype=F64)
    matrix = difference(difference(with_ghosts(identity, 0, kind), 0), 0)
    assert torch.allclose(vectors.mT @ vectors, identity, rtol=0, atol=1e-14)
    assert torch.allclose(matrix @ vectors, vectors * rates, rtol=0, atol=1e-13)


@every_box
def test_samples_do_not_influence_each_other_and_casting_costs_nothing(ends: Ends) -> None:
    layout = layout_with(ends)
    projection, velocity = Projection(layout), noise(layout)
    together = projection(velocity)
    alone = torch.cat([projection(sample[None]) for sample in velocity])
    assert torch.allclose(together, alone, rtol=0, atol=1e-14)
    assert torch.equal(projection.float()(velocity), together)
    assert not projection.state_dict()


@every_box
def test_its_gradient_is_its_own_map(ends: Ends) -> None:
    """Linear: the directional derivative along v is P v."""
    layout = layout_with(ends)
    u, v, w = (noise(layout, seed) for seed in range(3))
    projection = Projection(layout)
    (pulled,) = torch.autograd.grad((projection(u.requires_grad_()) * w).sum(), u)
    assert float((pulled * v).sum()) == pytest.approx(float((projection(v) * w).sum()), rel=1e-12)


@every_closed_box
def test_phiflow_finds_the_same_by_conjugate_gradients(ends: Ends) -> None:
    pytest.importorskip("phi")
    from phi.physics.fluid import make_incompressible
    from phiml.math import Solve

    from cotwin.physics.phiflow import from_fields, phiflow_context, to_fields

    layout = layout_with(ends)
    velocity = noise(layout)
    fields = to_fields(velocity, layout, {"u"})
    with phiflow_context(F64, torch.device("cpu")):
        solve = Solve("CG", rel_tol=1e-12, abs_tol=1e-12, rank_deficiency=0)
        theirs, _ = make_incompressible(fields["u"], solve=solve)
    assert torch.allclose(Projection(layout)(velocity), from_fields({"u": theirs}, layout), rtol=0, atol=1e-10)


def test_what_cannot_be_projected_is_refused() -> None:
    with pytest.raises(ValueError, match="both axes have open"):
        Projection(layout_with(("neumann", "neumann")))
    with pytest.raises(ValueError, match="made for two"):
        Projection(box(list(UV), (6, 7, 8)))
