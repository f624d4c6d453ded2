"""What the README shows works."""

import re
from pathlib import Path

import pytest

from cotwin.experiment.load import load

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_script_runs_and_finds_the_viscosity(capsys: pytest.CaptureFixture[str]) -> None:
    (script,) = blocks("python")
    scope: dict[str, object] = {}
    exec(compile(script, "README.md", "exec"), scope)
    estimated = scope["estimates"](scope["simulator"].trainer.best())["viscosity"]  # type: ignore[operator, attr-defined]
    assert float(estimated) == pytest.approx(0.1, rel=0.05)
    assert capsys.readouterr().out.count("PhaseResult") == 6


def test_the_short_configuration_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert load(str(tmp_path / "mine.yaml")).physical.viscosity.grid is None  # type: ignore[union-attr]
