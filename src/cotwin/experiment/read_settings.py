"""From YAML files and overrides to plain values; nothing is known of their meaning here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cotwin.experiment.presets import preset_text, presets

Values = dict[str, Any]
# What one kind (`kind`, `model`, `network`) shares with another, by the name of what chooses.
Shared = Mapping[str, frozenset[str]]
# The names of a simulator's settings that the data decide, by the simulator's name.
ByData = Callable[[Any], Iterable[str]]
# The names of a network's settings that a size of it sets, by the network's name.
BySize = Callable[[Any], Iterable[str]]
Meaning = tuple[Shared, ByData, BySize]

MOST_VALUES, DEEPEST = 100_000, 50
UNREADABLE = (OmegaConfBaseException, yaml.YAMLError, ValueError, RecursionError)


class ConfigError(ValueError):
    """Settings that cannot be used; the message says where and what to do."""


def read_settings(config: str, overrides: Sequence[str], shared: Shared, by_data: ByData, by_size: BySize) -> Values:
    """A preset or file with what it builds on, changed by `key.path=value` overrides, `${other.key}` filled in.

    by_data: what of a simulator's settings the data decide where they are left open. That of a preset was made for
    the preset's own data: it is left open again where the data are of another kind.
    by_size: what a size sets of a network's settings. What it is said over loses these; what is said with it stands.
    Nothing is taken from the environment, nor called: what is resolved here is written into every run.
    Raises ConfigError.
    """
    meaning = (shared, by_data, by_size)
    merged = _read(config, Path(), meaning, ())
    for override in sorted(overrides, key=_rank):
        merged = _over(merged, override_of(override), meaning)
    for path, text in _strings(merged):
        if _calls(text):
            raise ConfigError(
                f"{path} is {text!r}: the environment is not read and nothing is called, since resolved settings are "
                f"written into the run. Give the value itself, say {path}=$NAME in the shell; only other settings "
                "may be named, as in ${data.dt}."
            )
    try:
        resolved: Values = OmegaConf.to_container(OmegaConf.create(merged), resolve=True)  # type: ignore[assignment]
    except UNREADABLE as error:
        raise ConfigError(f"{config}: a setting names another that it cannot have: {_first_line(error)}") from None
    return resolved


def merge(base: Any, change: Any, shared: Shared) -> Any:
    """`change` over `base`. A mapping whose kind changes keeps of the old one only what kinds share."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    if ("given" in change) != ("given" in base) and not {*base, *change} & {"kind", "model", "network"}:
        # What the data give has nothing of an unknown, nor an unknown of it.
        return change
    for tag, kept in shared.items():
        if tag in change and tag in base and change[tag] != base[tag]:
            return {**{key: value for key, value in base.items() if key in kept}, **change}
    return {**base, **{key: merge(base.get(key), value, shared) for key, value in change.items()}}


def _kind(data: Any) -> Any:
    return data.get("kind") if isinstance(data, dict) else None


def _rank(override: str) -> int:
    """Data first, then the network's size: what is stated beside them is for them."""
    return next((rank for rank, key in enumerate(("data[.=]", r"synthetic\.size=")) if re.match(key, override)), 2)


def _over(base: Values, change: Values, meaning: Meaning) -> Values:
    """`merge`, without what settings in `base` were made for other data, and those that a size sets anew."""
    shared, by_data, by_size = meaning
    physical, before, after = base.get("physical"), _kind(base.get("data")), _kind(change.get("data"))
    if isinstance(physical, dict) and before and after and before != after:
        base = {**base, "physical": physical | dict.fromkeys(by_data(physical.get("model")))}
    synthetic, sized = base.get("synthetic"), change.get("synthetic")
    if isinstance(synthetic, dict) and isinstance(sized, dict) and sized.get("size") is not None:
        left = {*synthetic} - {*by_size(synthetic.get("network", "resnet"))}
        base = {**base, "synthetic": {key: value for key, value in synthetic.items() if key in left}}
    merged: Values = merge(base, change, shared)
    return merged


def _read(config: str, relative_to: Path, meaning: Meaning, above: tuple[str, ...]) -> Values:
    path = relative_to / config
    is_file = path.suffix in (".yaml", ".yml")
    name = str(path.resolve()) if is_file else config
    if name in above:
        raise ConfigError(f"{' builds on '.join([*above[above.index(name) :], name])}; take one of these out.")
    values = _parsed(config, _text(path) if is_file else _preset(config))
    bases = values.pop("defaults", [])
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigError(f"{config}: defaults is {bases!r}; it is a list of names, as in defaults: [burgers].")
    merged: Values = {}
    for base in bases:
        below = _read(base, path.parent if is_file else Path(), meaning, (*above, name))
        merged = _over(merged, below, meaning)
    return _over(merged, values, meaning)


def _preset(name: str) -> str:
    if name not in presets():
        raise ConfigError(f"{name!r} is neither a preset ({', '.join(presets())}) nor the path of a .yaml file.")
    return preset_text(name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {path}; presets are named without ending: {', '.join(presets())}."
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8 (byte {error.start}); name a YAML file.") from None


def _parsed(config: str, text: str) -> Values:
    try:
        # Before anything is made: aliases of aliases can stand for more values than there is memory.
        values = _values(yaml.compose(text, Loader=yaml.SafeLoader))
        if any(depth > DEEPEST or count > MOST_VALUES for count, depth in enumerate(values)):
            raise ValueError(f"it is nested deeper than {DEEPEST}, or has more than {MOST_VALUES} values")
        read = OmegaConf.to_container(OmegaConf.create(text))
    except UNREADABLE as error:
        raise ConfigError(f"{config} is not readable YAML: {_first_line(error)}") from None
    if not isinstance(read, dict) or not read:
        raise ConfigError(f"{config} must hold a mapping of settings, such as defaults: [burgers].")
    _check_keys(config, read)
    return {str(key): value for key, value in read.items()}


def override_of(override: str) -> Values:
    """The values that `key.path=value` says, below their keys. Raises ConfigError."""
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key) or key.count(".") > DEEPEST:
        raise ConfigError(f"override {override!r} is not of the form key.path=value.")
    try:
        list(_values(yaml.compose(value, Loader=yaml.SafeLoader)))
        read = OmegaConf.to_container(OmegaConf.from_dotlist([override]))
    except UNREADABLE as error:
        raise ConfigError(f"override {override!r} cannot be read: {_first_line(error)}") from None
    assert isinstance(read, dict)
    _check_keys(f"override {override!r}", read)
    return {str(key): value for key, value in read.items()}


def _values(node: yaml.Node | None, depth: int = 0) -> Iterator[int]:
    """The depth of every value; what an alias stands for counts each time."""
    yield depth
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode):
        children = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        for child in children:
            yield from _values(child, depth + 1)


def _check_keys(source: str, values: Any) -> None:
    for key in values if isinstance(values, dict) else ():
        if not isinstance(key, str):
            raise ConfigError(f"{source}: the key {key!r} is no name; settings have names, quoted if need be.")
    for value in values.values() if isinstance(values, dict) else values if isinstance(values, list) else ():
        _check_keys(source, value)


def _strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text and where it stands; keys too."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield path, key
            yield from _strings(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, path)


def _calls(text: str) -> bool:
    """Whether `${…}` in it has a colon, which is how OmegaConf calls a function, `${oc.env:HOME}` among them."""
    depth = 0
    for mark in re.findall(r"\$\{|\}|:", text):
        if mark == ":" and depth:
            return True
        depth = depth + 1 if mark == "${" else max(depth - (mark == "}"), 0)
    return False


def _first_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split("\n    full_key")[0].split())
