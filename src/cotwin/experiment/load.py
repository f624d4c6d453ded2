"""From YAML files and overrides to validated settings; every mistake named with its place and the cure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from omegaconf import OmegaConf
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cotwin.experiment.declared import experiment_class, sizes, suggested
from cotwin.experiment.learner_settings import NetworkSettings, PhysicalSettings
from cotwin.experiment.read_settings import ConfigError, read_settings
from cotwin.experiment.settings import Experiment
from cotwin.registry import RegistryError, network, simulator

# What settings of one kind mean to another too.
SHARED = {
    "kind": frozenset[str](),
    "model": frozenset(PhysicalSettings.model_fields),
    "network": frozenset(NetworkSettings.model_fields),
}


def load(config: str, overrides: Sequence[str] = ()) -> Experiment:
    """Settings from a preset's name or the path of a YAML file, changed by `key.path=value` overrides.

    A file may build on others, as in Hydra: `defaults: [burgers]` names presets, or paths relative to the
    file; what the file itself says comes last. A mapping whose kind (`kind`, `model`, `network`) changes
    replaces what it stood on, since the settings of one kind mean nothing to another. `${other.key}` names another
    setting, whichever file or override says it; the environment is not read.

    What the data may decide (`Stepper.suggested`), such as substeps, a file's data do unless it is stated for them:
    neither a preset's number, made for other data, nor a default is taken.

    Raises ConfigError.
    """
    values = read_settings(config, overrides, SHARED, _by_data, _by_size)
    data, physical = values.get("data"), values.get("physical")
    if isinstance(data, dict) and isinstance(physical, dict) and data.get("kind") == "file":
        values["physical"] = dict.fromkeys(_by_data(physical.get("model"))) | physical
    # A file that says no more than data and model is a whole experiment: every block has defaults, the file a name.
    return validate({"name": Path(config).stem, **values})


def _by_data(model: object) -> Mapping[str, object]:
    try:
        return suggested(simulator.find(model)) if isinstance(model, str) else {}
    except RegistryError:
        return {}  # validation says so


def _by_size(name: object) -> set[str]:
    try:
        every = sizes(network.find(name)).values() if isinstance(name, str) else ()
    except RegistryError:
        return set()  # validation says so
    return {setting for one in every for setting in one}


def validate(values: Mapping[str, Any]) -> Experiment:
    """Typed settings from plain values. Raises ConfigError listing every mistake."""
    try:
        chosen = experiment_class(values)
    except RegistryError as error:
        raise ConfigError(str(error)) from error
    try:
        return chosen.model_validate(values)
    except ValidationError as error:
        lines = [_explain(problem, chosen) for problem in error.errors()]
        raise ConfigError("the configuration cannot be used:\n" + "\n".join(f"  {line}" for line in lines)) from None


def dump(experiment: Experiment) -> str:
    """The resolved settings as YAML, which `load` reads back to the same."""
    return OmegaConf.to_yaml(OmegaConf.create(experiment.model_dump(mode="json")))


def _explain(problem: ErrorDetails, experiment: type[Experiment]) -> str:
    """One mistake in one line: where, what, and the nearest known keys."""
    where, owner = _locate(problem["loc"], experiment)
    if problem["type"] == "extra_forbidden":
        known = sorted(owner.model_fields)
        near = difflib.get_close_matches(where[-1], known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known here: {', '.join(known)}."
        others = _kinds_with(where, experiment) if len(where) == 2 else []
        if others:
            hint = f"it belongs to {' or '.join(others)}, and the {where[0]} here are of kind {tags(owner)[0]}."
        return f"{'.'.join(where)}: there is no such setting; {hint}"
    if problem["type"] == "missing":
        return f"{'.'.join(where)}: is required."
    given = problem["input"]
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
    field = owner.model_fields.get(where[-1]) if where else None
    # Where a kind was chosen by what is given, its class holds no setting of the last name: it is that setting.
    choices = [owner] if field is None else list(settings_classes(field.annotation))
    if problem["type"].startswith("union_tag") and choices:
        key = problem["ctx"]["discriminator"].strip("'")
        said = f" (given: {problem['ctx']['tag']!r})" if "tag" in problem["ctx"] else ""
        return f"{'.'.join(where)}.{key}: choose {' or '.join(tag for one in choices for tag in tags(one))}{said}"
    if problem["type"] in ("model_type", "model_attributes_type") and choices:
        keys = [key for key, one in choices[0].model_fields.items() if one.is_required()] or ["…"]
        return f"{'.'.join(where)}: is a block of settings, {{{keys[0]}: …}}{shown}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{'.'.join(where) or 'settings'}: {message}{shown}"


def _kinds_with(where: list[str], experiment: type[Experiment]) -> list[str]:
    """The kinds of a block that have a setting of this name, in the words that choose them."""
    field = experiment.model_fields.get(where[0])
    kinds = [] if field is None else settings_classes(field.annotation)
    return [
        f"{where[0]}.kind={tags(kind)[0]}"
        for kind in kinds
        if "kind" in kind.model_fields and where[1] in kind.model_fields
    ]


def _locate(location: tuple[int | str, ...], experiment: type[Experiment]) -> tuple[list[str], type[BaseModel]]:
    """The path as the user writes it, and the settings class that holds its last key.

    pydantic names the chosen kind of a union within the path, and the type that it tried; users write neither.
    """
    owner: type[BaseModel] = experiment
    path: list[str] = []
    candidates: list[type[BaseModel]] = []
    named = False
    for part in location:
        tagged = [model for model in candidates if len(candidates) > 1 and str(part) in tags(model)]
        if tagged:
            owner, candidates = tagged[0], []
            continue
        if re.fullmatch(r"(constrained-)?(float|int|str|bool)|\w+\[.*\]", str(part)):
            continue
        if isinstance(part, int) and candidates:
            path.append(str(part))  # one of several of a kind
            continue
        if len(candidates) == 1:
            owner = candidates[0]
        path.append(str(part))
        if named:
            named = False  # the key of a mapping that the user names; its kinds come next
            continue
        field = owner.model_fields.get(str(part))
        candidates = [] if field is None else list(settings_classes(field.annotation))
        named = field is not None and get_origin(field.annotation) is dict and bool(candidates)
    return path, owner


def settings_classes(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings classes in an annotation: several where kinds are to choose among."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated, tuple, dict):
        for inner in get_args(annotation):
            yield from settings_classes(inner)


def tags(model: type[BaseModel]) -> tuple[str, ...]:
    """The names by which a kind is chosen; that of the class where what it holds tells which it is."""
    for name in ("kind", "model", "network"):
        if name in model.model_fields:
            return get_args(model.model_fields[name].annotation)
    return (model.__name__,)
