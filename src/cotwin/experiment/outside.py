"""What settings leave to what is given with the trajectories: largest values, and groups that share an unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor

from cotwin.experiment.parameter_settings import Component, FromData
from cotwin.given import Given
from cotwin.parameters import largest

S = TypeVar("S")
EACH = "trajectory"
"""Of `per`: a group of its own for each trajectory."""


def with_data(settings: S, parts: Sequence[Given], duration: float | None = None) -> S:
    """The settings with what the data decide of parameters filled in.

    parts: those that train first. duration: of the training trajectories.

    Raises ValueError for a name that is not given, and for groups that are none.
    """

    def filled(one: Component | FromData) -> Component | FromData:
        if isinstance(one, FromData):
            return one if one.largest is not None or not parts else _found(one, parts)
        if one.times is not None and one.duration is None:
            return one.model_copy(update={"duration": duration})
        return one if one.per is None or one.groups is not None or not parts else _grouped(one, parts)

    settled: S = _mapped(settings, filled)
    return settled


def names_given(settings: Any) -> list[str]:
    """What parameters are named to be given, or to be grouped by."""
    found = [one.given if isinstance(one, FromData) else one.per for one in _parameters(settings)]
    return sorted({name for name in found if name is not None} - {EACH})


def of_no_group(settings: Any, parts: Sequence[Given]) -> list[int]:
    """Held-out trajectories without a value of their own of some unknown: no trajectory of their group trains."""
    grouped = [one for one in _parameters(with_data(settings, parts)) if isinstance(one, Component) and one.groups]
    held_out = [number for part in parts[1:] for number in part.trajectory.tolist()]
    trained = set(parts[0].trajectory.tolist())
    return [n for n in held_out if n not in trained and any((one.groups or ())[n] < 0 for one in grouped)]


def _found(settings: FromData, parts: Sequence[Given]) -> FromData:
    known, course = [], settings.given in parts[0].inputs
    for part in parts:
        if settings.given not in part.names:
            have = ", ".join(sorted(part.names)) or "nothing"
            raise ValueError(f"{settings.given} is not given by the data; they give {have}.")
        known.append(part.inputs[settings.given].values if course else part.conditions[settings.given])
    values = torch.cat([one.flatten() for one in known])
    return settings.model_copy(update={"largest": float(largest(values)), "course": course})


def _grouped(settings: Component, parts: Sequence[Given]) -> Component:
    assert settings.per is not None
    labels = [_labels(settings.per, part) for part in parts]
    trained = labels[0].unique()
    groups = torch.full((1 + int(max(part.trajectory.max() for part in parts)),), -1)
    for part, own in zip(parts, labels, strict=True):
        place = torch.searchsorted(trained, own).clamp(max=len(trained) - 1)
        groups[part.trajectory] = torch.where(trained[place] == own, place, -1)
    names = tuple(f"{settings.per} {label:g}" for label in trained.tolist())
    return settings.model_copy(update={"groups": tuple(groups.tolist()), "labels": names})


def _labels(name: str, part: Given) -> Tensor:
    """Of each trajectory its group's."""
    if name == EACH:
        return part.trajectory
    if name not in part.conditions or part.conditions[name].dim() != 1:
        have = [one for one, values in part.conditions.items() if values.dim() == 1]
        raise ValueError(
            f"per is {name!r}; give {EACH!r}, or a number of the file that is the same throughout a trajectory"
            f"{': ' + ', '.join(sorted(have)) if have else ', of which it has none'}."
        )
    return part.conditions[name]


def _mapped(value: Any, change: Callable[[Component | FromData], Component | FromData]) -> Any:
    """Settings with a function of every parameter in them."""
    if isinstance(value, Component | FromData):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_mapped(part, change) for part in value)
    if isinstance(value, dict):
        return {name: _mapped(part, change) for name, part in value.items()}
    if isinstance(value, BaseModel):
        return value.model_copy(update={name: _mapped(part, change) for name, part in value})
    return value


def _parameters(value: Any) -> Iterator[Component | FromData]:
    found: list[Component | FromData] = []

    def noted(one: Component | FromData) -> Component | FromData:
        found.append(one)
        return one

    _mapped(value, noted)
    return iter(found)
