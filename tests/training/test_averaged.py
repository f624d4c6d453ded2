"""The mean of the weights over the last steps."""

from __future__ import annotations

from math import comb

import pytest
import torch
from tiny import Growth, Network, same, trainer, windows

from cotwin.training.averaged import AveragedWeights


def test_step_i_of_n_weighs_as_a_binomial_coefficient_about_i_to_the_eighth() -> None:
    stepper = Growth(1.0)
    mean, path = AveragedWeights(stepper), [0.3, -1.0, 2.0, 0.7, 0.1, 5.0]
    for value in path:
        with torch.no_grad():
            next(stepper.parameters()).fill_(value)
        mean.add()
    shares = [comb(step + 8, 8) / comb(len(path) + 8, 9) for step in range(len(path))]
    expected = sum(share * value for share, value in zip(shares, path, strict=True))
    assert sum(shares) == pytest.approx(1)
    assert next(mean.model().parameters()).item() == pytest.approx(expected, rel=1e-6)
    assert next(stepper.parameters()).item() == 5.0


def test_steps_go_on_from_the_latest_weights_and_the_mean_is_what_is_kept() -> None:
    plain, averaging = trainer(Network()), trainer(Network(), averaging=True)
    for one in (plain, averaging):
        one.fit(windows(), 12)
    assert averaging.averaged is not None
    mean = averaging.averaged.model()
    assert same(plain.stepper.state_dict(), averaging.stepper.state_dict())
    assert averaging.held_out.error(mean) == averaging.validate() != plain.validate()
    assert averaging.held_out.error(averaging.best()) == averaging.best_error
