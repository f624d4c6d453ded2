"""Compiled steppers: the same numbers and gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from compiled_models import MAKERS
from physics_cases import U, box, scalar

from cotwin.physics.heat import Heat
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.rollouts import Compiled


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_numbers_and_gradients_are_the_same_to_rounding(name: str) -> None:
    """Compiled in one piece, and once for all values of the parameters: see compiled_models.py."""
    run_apart(name)


@pytest.mark.slow
def test_every_finite_volume_step_is_captured_whole() -> None:
    run_apart()


def run_apart(*arguments: str) -> None:
    """In a process whose shapes are not checked: what checks them cannot be compiled."""
    script = Path(__file__).with_name("compiled_models.py")
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, script, *arguments], env=paths, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_only_stencils_are_compiled() -> None:
    with pytest.raises((TypeError, ValueError), match="FiniteVolumeStepper"):
        Compiled(SpectralBurgers(box([*U], (24,)), scalar(0.1)))  # type: ignore[arg-type]


def test_it_has_the_pace_of_the_inner_stepper_and_can_be_given_another() -> None:
    heat = Heat(box([*U], (24,)), scalar(0.1))
    assert Compiled(heat).pace() == heat.pace()
    assert Compiled(heat).paced((31,)).pace() == (31,)
    assert heat.pace() != (31,)
