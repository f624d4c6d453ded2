"""What speaks against a model on held-out data is said; nothing else is."""

from __future__ import annotations

from cotwin.estimation.judge import no_better, smallest, worse_than_start


def test_an_estimate_that_is_worse_than_the_start_is_told_so() -> None:
    assert worse_than_start("estimate", 0.2, 0.2, "validation") == []
    said = worse_than_start("estimate", 0.21, 0.2, "validation")
    assert said == ["The estimate is worse than the start: validation NRMSE 0.21, 0.2 at the start."]
    assert len(worse_than_start("estimate", float("inf"), 0.2, "validation")) == 1


def test_a_rival_that_is_as_good_within_a_percent_is_named() -> None:
    rivals = {"the surrogate": 0.3, "the last known state": 0.2}
    assert no_better("simulator", 0.1, rivals, "test") == []
    assert no_better("simulator", 0.199, smallest(rivals), "test") == [
        "The simulator is no better than the last known state: test NRMSE 0.199 against 0.2."
    ]
    assert len(no_better("simulator", float("inf"), rivals, "test")) == 2
