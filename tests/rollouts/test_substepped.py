"""Substepped: every so many-th state of the stepper with shorter steps."""

from __future__ import annotations

import pytest
import torch
from physics_cases import box, scalar, smooth

from cotwin.layout import Field
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.rollouts import Substepped
from cotwin.rollouts.substepped import shortened
from cotwin.stepper import rollout

LAYOUT = box([Field("u")], (24,))


@pytest.mark.parametrize("factor", [1, 3])
def test_it_takes_as_many_steps_in_an_interval_as_the_model_with_so_many_substeps(factor: int) -> None:
    inner = SpectralBurgers(shortened(LAYOUT, factor), scalar(0.01), substeps=2)
    whole = SpectralBurgers(LAYOUT, scalar(0.01), substeps=2 * factor)
    states = rollout(Substepped(inner, LAYOUT, factor), smooth(LAYOUT), 5)
    assert torch.allclose(states, rollout(whole, smooth(LAYOUT), 5), atol=1e-12)


def test_an_inner_stepper_with_other_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="build it on shortened"):
        Substepped(SpectralBurgers(LAYOUT, scalar(0.01)), LAYOUT, 2)
