"""What docs/estimation.md shows works, and finds what made the data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cotwin.estimation import Estimation
from cotwin.experiment.load import load

PAGE = Path(__file__).parents[1] / "docs" / "estimation.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_example_finds_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, object] = {}
    (example,) = blocks("python")
    exec(compile(example, str(PAGE), "exec"), scope)
    found = scope["found"]
    assert isinstance(found, Estimation)
    assert found.converged
    for name, truth in (("diffusivity.value", 0.5), ("growth.rate", 1.0), ("growth.capacity", 1.2)):
        one = found.intervals[name]
        assert abs(float(one.value) - truth) < 4 * float(one.deviation)
        assert float(one.deviation) < 0.1 * truth
    assert any("interpolated" in note for note in found.warnings)
    assert "90 % between" in capsys.readouterr().out


def test_the_priors_are_settings(tmp_path: Path) -> None:
    (block,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text("defaults: [burgers]\n" + block)
    experiment = load(str(tmp_path / "mine.yaml"))
    assert set(experiment.priors) == set(yaml.safe_load(block)["priors"])
