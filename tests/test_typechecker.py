"""Signatures are checked in every test, though not in every call."""

import pytest
import torch
from jaxtyping import TypeCheckError
from typechecker import FIRST, check_all

from cotwin.physics.finite_volume import lower


def test_the_first_calls_of_each_test_are_checked() -> None:
    whole, real = torch.arange(3), torch.arange(3.0)
    with pytest.raises(TypeCheckError, match="values"):
        lower(whole, 0)
    for _ in range(FIRST):
        lower(real, 0)
    assert lower(whole, 0).tolist() == [0, 1]
    check_all()
    with pytest.raises(TypeCheckError, match="values"):
        lower(whole, 0)
