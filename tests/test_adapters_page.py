"""What docs/adapters.md shows works."""

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parents[1] / "docs" / "adapters.md"


def test_every_example_runs_and_has_gradients() -> None:
    scope: dict[str, object] = {}
    models = 0
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), scope)
        model = scope.pop("model", None)
        if isinstance(model, torch.nn.Module):
            models += 1
            assert all(value.grad is not None and bool(value.grad.any()) for value in model.parameters())
    assert models == 3
    assert tuple(scope["states"].shape) == (3, 5, 11, 1, 64)  # type: ignore[attr-defined]
    assert tuple(scope["jacobian"]["diffusivity.raw"].shape) == (5, 1, 64)  # type: ignore[index]
