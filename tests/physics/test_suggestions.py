"""What settings that are left open follow from."""

import pytest
import torch
from physics_cases import box

from cotwin.layout import Field
from cotwin.physics.suggestions import beyond_fastest, beyond_largest, stable_substeps


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
        stable_substeps(lambda **_: Stiff(), layout, torch.ones(1, 2, *layout.state_shape))
