"""What a program reads of notes."""

from __future__ import annotations

import copy
import json
import pickle
import re
from pathlib import Path
from typing import get_args

import torch
from estimation_cases import heat, measured, starts

from cotwin.estimation import estimate
from cotwin.estimation.note import Harmful, Harmless, Note, reasons

PAGE = Path(__file__).parents[2] / "docs/estimation.md"


def test_a_copy_has_its_code_and_json_the_sentence() -> None:
    note = Note("on_bound", "on a bound: rate.")
    for twin in (copy.deepcopy(note), pickle.loads(pickle.dumps(note))):
        assert (twin, twin.code) == ("on a bound: rate.", "on_bound")
    assert json.dumps([note]) == '["on a bound: rate."]'


def test_reasons_are_the_harmful_codes_each_once() -> None:
    notes = [Note("interpolated", ""), Note("grid", "a"), Note("on_bound", ""), Note("grid", "b")]
    assert reasons(notes) == ["grid", "on_bound"]


def test_the_page_lists_every_code_under_what_it_does() -> None:
    harmful, _, harmless = PAGE.read_text().partition("| only tells |")
    for text, codes in ((harmful, get_args(Harmful)), (harmless, get_args(Harmless))):
        rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", text, flags=re.MULTILINE)
        assert {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)} >= set(codes)


def test_an_estimate_that_nothing_speaks_against_is_reliable_until_a_note_comes() -> None:
    states = starts(heat().layout)
    found = estimate(heat(0.03), states, measured(heat(), states, 4, 0.01))
    assert (found.reliable, found.reasons) == (True, [])
    found.warnings.append(Note("profile_open", "an end is open."))
    assert found.reliable
    found.warnings.append(Note("other_minimum", "there is a better fit."))
    assert (found.reliable, found.reasons) == (False, ["other_minimum"])


def test_data_of_another_model_are_not_reliable() -> None:
    """Heat with a source that the model does not have."""
    states = starts(heat().layout)
    measurements = measured(heat(), states, 4, 0.01)
    pushed = measurements.values + 0.05 * torch.sin(6 * measurements.observation.time)
    found = estimate(heat(0.03), states, type(measurements)(measurements.observation, pushed, 0.01))
    assert {"residuals_large", "residuals_correlated"} <= set(found.reasons)
