"""From YAML files and overrides to validated settings; every mistake named with its place and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from yaml import YAMLError

from cotwin.experiment.physical_settings import PhysicalSettings
from cotwin.experiment.presets import preset_text, presets
from cotwin.experiment.settings import Experiment, NetworkSettings

# What settings of one kind mean to another too.
SHARED = {"model": PhysicalSettings.model_fields, "network": NetworkSettings.model_fields}


class ConfigError(ValueError):
    """Settings that cannot be used; the message says where and what to do."""


def load(config: str, overrides: Sequence[str] = ()) -> Experiment:
    """Settings from a preset's name or the path of a YAML file, changed by `key.path=value` overrides.

    A file may build on others, as in Hydra: `defaults: [burgers]` names presets, or paths relative to the
    file; what the file itself says comes last. A mapping whose kind (`kind`, `model`, `network`) changes
    replaces what it stood on, since the settings of one kind mean nothing to another.

    Raises ConfigError.
    """
    merged = _read(config, Path())
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"override {override!r} is not of the form key.path=value.")
        try:
            change = OmegaConf.to_container(OmegaConf.from_dotlist([override]))
        except (OmegaConfBaseException, YAMLError) as error:
            raise ConfigError(f"override {override!r} cannot be read: {error}") from error
        merged = _merged(merged, change)
    return validate(merged)


def validate(values: Mapping[str, Any]) -> Experiment:
    """Typed settings from plain values. Raises ConfigError listing every mistake."""
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise ConfigError("the configuration cannot be used:\n" + "\n".join(f"  {line}" for line in lines)) from None


def dump(experiment: Experiment) -> str:
    """The resolved settings as YAML, which `load` reads back to the same."""
    return OmegaConf.to_yaml(OmegaConf.create(experiment.model_dump(mode="json")))


def _read(config: str, relative_to: Path) -> dict[str, Any]:
    path = relative_to / config
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"there is no file {path}; presets are named without ending: {', '.join(presets())}.")
        text, folder = path.read_text(encoding="utf-8"), path.parent
    elif config in presets():
        text, folder = preset_text(config), Path()
    else:
        raise ConfigError(f"{config!r} is neither a preset ({', '.join(presets())}) nor the path of a .yaml file.")
    try:
        values: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(f"{config} is not readable YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{config} must hold a mapping of settings.")
    merged: Any = {}
    for base in values.pop("defaults", []):
        merged = _merged(merged, _read(str(base), folder))
    result: dict[str, Any] = _merged(merged, values)
    return result


def _merged(base: Any, change: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    for tag in ("kind", "model", "network"):
        if tag in change and tag in base and change[tag] != base[tag]:
            shared = SHARED.get(tag, {})
            return {**{key: value for key, value in base.items() if key in shared}, **change}
    return {**base, **{key: _merged(base.get(key), value) for key, value in change.items()}}


def _explain(problem: ErrorDetails) -> str:
    """One mistake in one line: where, what, and the nearest known keys."""
    where, owner = _locate(problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = sorted(owner.model_fields)
        near = difflib.get_close_matches(where[-1], known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known here: {', '.join(known)}."
        return f"{'.'.join(where)}: there is no such setting; {hint}"
    if problem["type"] == "missing":
        return f"{'.'.join(where)}: is required."
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) or given is None else ""
    return f"{'.'.join(where) or 'settings'}: {message}{shown}"


def _locate(location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """The path as the user writes it, and the settings class that holds its last key.

    pydantic names the chosen kind of a union within the path; users do not write it.
    """
    owner: type[BaseModel] = Experiment
    path: list[str] = []
    candidates: list[type[BaseModel]] = []
    named = False
    for part in location:
        tagged = [model for model in candidates if len(candidates) > 1 and str(part) in tags(model)]
        if tagged:
            owner, candidates = tagged[0], []
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
    """The names by which a kind is chosen."""
    for name in ("kind", "model", "network"):
        if name in model.model_fields:
            return get_args(model.model_fields[name].annotation)
    return ()
