"""Staggered Navier-Stokes in a closed box; PhiFlow by central differences, explicit Euler and conjugate gradients."""

from __future__ import annotations

import torch
from phi.field import Field as PhiField
from phi.physics import advect, diffuse
from phi.physics.fluid import make_incompressible
from phiml.math import Solve
from phiml.math import Tensor as PhiTensor
from problem import ALONE, Bound, PhiFlow, Problem

from cotwin import Field, Layout
from cotwin.physics import IncompressibleFlow, random_flow

LAYOUT = Layout.box(
    [Field("velocity", components=2)], grid=(64, 64), extent=[(0, 1), (0, 1)], boundary="dirichlet", dt=0.002
)


def closed_box() -> Problem:
    """Three projections a step against one, to a tolerance of 1e-5, PhiFlow's own default.

    PhiFlow's semi-Lagrangian advection takes a third of the time of its differences, but adds a viscosity of up to
    Δx²/(8 dt), many times that of this flow: its states would differ by half of the change.
    """
    return Problem(
        "staggered Navier-Stokes, 64²",
        LAYOUT,
        torch.tensor(0.002),
        {"IncompressibleFlow (SSP-RK3)": lambda viscosity: IncompressibleFlow(LAYOUT, viscosity, max_speed=4.0)},
        PhiFlow(step, staggered=True, complete=False),
        (Bound(ALONE, 1000, batches=(64,)),),
        start=random_flow,
        tolerance=0.05,
    )


def step(velocity: PhiField, viscosity: PhiTensor) -> PhiField:
    rate = diffuse.finite_difference(velocity, viscosity) + advect.finite_difference(velocity, velocity)
    return projected(velocity + LAYOUT.dt * rate, 1e-5)


def projected(velocity: PhiField, tolerance: float) -> PhiField:
    solve = Solve("CG", rel_tol=tolerance, abs_tol=tolerance, rank_deficiency=0)
    after: PhiField = make_incompressible(velocity, solve=solve)[0]
    return after
