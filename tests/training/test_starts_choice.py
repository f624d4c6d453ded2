"""Among kinds of starts held-out data choose."""

from __future__ import annotations

from dataclasses import replace

import torch
from tiny import LAYOUT, hybrid, same, through_a_file, trajectories
from torch import Tensor

from cotwin.stepper import Stepper
from cotwin.training.alpha import fixed
from cotwin.training.hybrid import HybridTrainer
from cotwin.windows import StartStates, as_start_states
from cotwin.windows.starts import real, simulated


def unlike(count: int, teacher: Stepper, generator: torch.Generator) -> StartStates:
    """As no state of the data is."""
    return as_start_states(20 * torch.randn(count, 1, *LAYOUT.grid, generator=generator))


def broken(count: int, teacher: Stepper, generator: torch.Generator) -> StartStates:
    return as_start_states(torch.full((count, 1, *LAYOUT.grid), torch.nan))


def choosing(*names: str, steps: int = 40) -> HybridTrainer:
    initial: Tensor = trajectories()[:, 0]
    every = {
        "broken": broken,
        "unlike": unlike,
        "real": real(initial),
        "simulated": simulated(initial, LAYOUT, 5),
    }
    built = hybrid(alpha=fixed(1000.0), generated_per_real=2.0, steps=steps)
    learner = built.learners["synthetic"]
    built.learners["synthetic"] = replace(learner, starts={name: every[name] for name in names})
    return built


def test_the_kind_with_the_least_held_out_error_goes_on_and_is_kept() -> None:
    built = choosing("unlike", "real")
    first, *_, second, _ = built.run(2)[2:]
    assert first.starts == second.starts == "real"
    assert (first.steps, first.trial_steps) == (40, 40)
    assert (second.steps, second.trial_steps) == (40, 0)


def test_a_kind_from_which_the_teacher_diverges_is_not_taken() -> None:
    assert choosing("broken", "unlike").run(1)[2].starts == "unlike"
    nothing = choosing("broken", "broken").run(1)[2]
    assert (nothing.starts, nothing.generated) == ("", 0)


def test_to_choose_among_one_kind_changes_nothing() -> None:
    one, other = choosing("real"), choosing("real")
    other.learners["synthetic"] = replace(other.learners["synthetic"], starts=real(trajectories()[:, 0]))
    for built in (one, other):
        built.run(1)
    assert same(one.learners["synthetic"].trainer.state_dict(), other.learners["synthetic"].trainer.state_dict())


def test_a_resumed_run_keeps_what_was_chosen() -> None:
    def build() -> HybridTrainer:
        return choosing("simulated", "real", steps=6)

    once, resumed = build(), build()
    once.run(2)
    for phase in resumed.phases(2):
        resumed.advance(phase)
        state = through_a_file(resumed.state_dict())
        resumed = build()
        resumed.load_state_dict(state)
    assert same(once.state_dict(), resumed.state_dict())
    assert resumed.chosen["synthetic"] == once.chosen["synthetic"]
