"""What settings that are left open follow from."""

import math

import pytest
import torch
from physics_cases import box

from cotwin.layout import Field, Layout
from cotwin.parameters import Positive
from cotwin.physics import KortewegDeVries
from cotwin.physics.suggestions import beyond_fastest, beyond_largest, sufficient_substeps


def test_what_does_not_move_has_no_speed() -> None:
    layout = box([Field("depth", static=True), Field("u"), Field("smoke")], (8,))
    states = torch.ones(2, 3, *layout.state_shape)
    states[:, :, 0], states[0, 1, 1, 4], states[:, :, 2] = 1e5, -2.0, 7.0
    states[1, 1, 1, 1] = torch.nan

    def make(**_: object) -> None: ...

    assert beyond_largest(make, layout, states) == pytest.approx(1.5 * 7)
    assert beyond_fastest(make, layout, states) == pytest.approx(1.5 * 2)


def test_substeps_beyond_all_reason_are_no_suggestion() -> None:
    class Stiff:
        def largest_stable_step(self, state: torch.Tensor) -> float:
            return 1e-12

    layout = box([Field("u")], (8,))
    with pytest.raises(ValueError, match=r"1e\+11 substeps per dt seem needed.*units of the data"):
        sufficient_substeps(lambda **_: Stiff(), layout, torch.ones(1, 2, *layout.state_shape))


def test_substeps_are_as_many_as_a_steep_wave_needs() -> None:
    """Two solitons of Korteweg and de Vries, on which what is stable is far from accurate."""
    layout = Layout.box([Field("u")], grid=(128,), extent=[(-12.0, 12.0)], boundary="periodic", dt=0.05)
    x = torch.tensor(layout.points(0))
    states = (8 / torch.cosh(2 * x) ** 2).view(1, 1, 1, -1).repeat(1, 11, 1, 1)

    def make(substeps: int) -> KortewegDeVries:
        return KortewegDeVries(layout, Positive(6.0), Positive(1.0), substeps=substeps)

    needed = sufficient_substeps(make, layout, states)
    with torch.no_grad():
        short, shorter = (
            make(count).double().rollout(states[:, 0].double(), 10)[0, -1] for count in (needed, 8 * needed)
        )
    assert (short - shorter).square().mean().sqrt() < 5e-3 * states.std()
    stable = 2 * layout.dt / make(1).largest_stable_step(states[:, 0])
    assert stable < needed <= 16 * math.ceil(stable)


def test_noise_asks_for_no_more_substeps() -> None:
    layout = Layout.box([Field("u")], grid=(64,), extent=[(0.0, 2.0)], boundary="periodic", dt=0.02)
    x = torch.tensor(layout.points(0))
    states = (math.pi * x).cos() + 0.02 * torch.randn(1, 40, 1, 64, generator=torch.Generator().manual_seed(0))

    def make(substeps: int) -> KortewegDeVries:
        return KortewegDeVries(layout, Positive(1.0), Positive(0.0025), substeps=substeps)

    assert sufficient_substeps(make, layout, states) <= 4 * layout.dt / make(1).largest_stable_step(states[0])
