"""What a simulator says of itself reaches its surrogate, unless settings or data say otherwise."""

import torch

from cotwin.experiment.build import settled_synthetic
from cotwin.experiment.load import load
from cotwin.experiment.train import prepare
from cotwin.networks import Surrogate, WithPositions

SMALL = ["data.grid=[24]", "data.num_steps=12", "data.train=1", "data.test=1", "synthetic.width=4"]


def surrogate(preset: str, *overrides: str) -> Surrogate:
    session = prepare(load(preset, [*SMALL, *overrides]))
    model = session.trainings["together"].learners["synthetic"].trainer.stepper
    assert isinstance(model, Surrogate)
    return model


def test_what_it_conserves_and_where_it_is_the_same() -> None:
    model = surrogate("korteweg_de_vries")
    assert model.volumes.numel()
    assert not isinstance(model.network, WithPositions)
    told = surrogate("korteweg_de_vries", "synthetic.conserve=false", "synthetic.positions=true")
    assert not told.volumes.numel()
    assert isinstance(told.network, WithPositions)


def test_a_mean_that_data_do_not_keep_is_not_held_and_a_note_says_so() -> None:
    session = prepare(load("korteweg_de_vries", SMALL))
    data, physical = session.data, session.start
    data.__dict__.pop("keeping")
    data.train.states.add_(torch.linspace(0, 1, 13).view(1, -1, 1, 1))
    for _ in range(2):
        assert settled_synthetic(session.experiment.synthetic, data, physical).conserved == ()
    forced = session.experiment.synthetic.model_copy(update={"conserve": True})
    assert settled_synthetic(forced, data, physical).conserved == (0,)
    assert sum("conserves the mean of u" in note for note in data.notes) == 1
