"""What a person should know before using estimates, with a code that a program can read."""

from __future__ import annotations

from typing import Literal, get_args

Harmful = Literal[
    "not_converged",
    "second_minimum",
    "other_minimum",
    "not_at_minimum",
    "noise_hides_fit",
    "residuals_large",
    "residuals_correlated",
    "discrepancy_decides",
    "discrepancy_large",
    "noise_in_starts",
    "trajectories_disagree",
    "on_bound",
    "out_of_range",
    "blind",
    "hardly_determined",
    "weights_held",
    "nonlinear",
    "rough",
    "not_normal",
    "grid",
    "time_step",
    "time_between",
    "place_between",
    "field_too_coarse",
    "worse_than_start",
]
"""Codes that make an estimate unreliable."""
Harmless = Literal[
    "lone_minimum",
    "by_ensemble",
    "interpolated",
    "few_determined",
    "level_said",
    "numerics_unchecked",
    "not_repeated",
    "profile_open",
    "no_bootstrap",
    "resamplings_left_out",
    "few_resamplings",
    "no_posterior",
    "chains_not_mixed",
    "no_better_than_baseline",
]
"""Codes of what is good to know, or says something of intervals that were asked for besides."""


class Note(str):
    """A sentence with its code.

    >>> note = Note("on_bound", "on a bound: viscosity.")
    >>> note, note.code, note.harmful
    ('on a bound: viscosity.', 'on_bound', True)
    """

    code: Harmful | Harmless

    def __new__(cls, code: Harmful | Harmless, sentence: str) -> Note:
        note = super().__new__(cls, sentence)
        note.code = code
        return note

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.code, str(self)  # to be copied with its code

    @property
    def harmful(self) -> bool:
        """Whether it makes an estimate unreliable."""
        return self.code in get_args(Harmful)


def reasons(notes: list[Note]) -> list[str]:
    """The codes that make an estimate unreliable, each once."""
    return list(dict.fromkeys(note.code for note in notes if note.harmful))
