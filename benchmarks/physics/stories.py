"""What can be measured, by name; each imports what it needs in the process that measures it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

Results = list[dict[str, Any]]
Story = Callable[[list[int], int, float], Results]


def contest(module: str, problem: str, batches: list[int], repeats: int, least: float) -> Results:
    """One problem, natively and at the rivals."""
    import torch
    from contest import measure, report

    from cotwin.physics.phiflow import phiflow_context

    found = []
    torch.set_num_threads(1)
    with phiflow_context(torch.float32, torch.device("cpu")):
        for batch in batches:
            # Compiled steps of an earlier batch count against torch's limit of versions.
            torch._dynamo.reset()
            found.append(measure(getattr(import_module(module), problem)(), batch, repeats, least))
            report(found[-1])
    return found


def project(batches: list[int], repeats: int, least: float) -> Results:
    import projection
    import torch

    from cotwin.physics.phiflow import phiflow_context

    torch.set_num_threads(1)
    with phiflow_context(torch.float32, torch.device("cpu")):
        found = [projection.measure(batch, repeats, least) for batch in batches]
    projection.report(found)
    return found


def adapt(batches: list[int], repeats: int, least: float) -> Results:
    import adapter
    import torch

    torch.set_num_threads(1)
    found = [result for batch in batches for result in adapter.measure(batch, repeats, least)]
    adapter.report(found)
    return found


STORIES: dict[str, Story] = {
    "burgers_1d": partial(contest, "burgers", "line"),
    "burgers_2d": partial(contest, "burgers", "plane"),
    "heat": partial(contest, "heat", "plane"),
    "advection": partial(contest, "advection", "plane"),
    "navier_stokes": partial(contest, "navier_stokes", "same_scheme"),
    "navier_stokes_operators": partial(contest, "navier_stokes", "operators"),
    "flow": partial(contest, "flow", "closed_box"),
    "projection": project,
    "adapter": adapt,
}
