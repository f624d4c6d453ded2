"""What can be set of a class or function: its arguments, and what its docstring says of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from cotwin.parameters import Parameter, Walls

PositiveFloat = Annotated[float, Field(gt=0, le=1e30)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Few = Annotated[int, Field(ge=1, le=1000)]
Sizes = Mapping[str, Mapping[str, int]]
"""Of a network, by the names tiny, small and base: what each sets of its arguments."""


class Settings(BaseModel):
    """Frozen; an unknown key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RegistryError(ValueError):
    """A name that cannot be used; the message says why and what to do. Other names are not concerned."""


@dataclass(frozen=True)
class Setting:
    """An argument that is a setting. default: `inspect.Parameter.empty` where it is required."""

    name: str
    annotation: Any
    default: Any
    meaning: str


def settings_of(thing: Any, supplied: set[str]) -> list[Setting]:
    """Its arguments that can be set; `supplied` ones are not.

    Raises RegistryError for an argument that nothing can give.
    """
    hints, settings, meanings = _hints(thing), [], _meanings(thing)
    for name, argument in arguments(thing).items():
        if name in supplied:
            continue
        if name in hints and _is_setting(hints[name]):
            settings.append(Setting(name, hints[name], argument.default, meanings.get(name, "")))
        elif argument.default is inspect.Parameter.empty:
            what = f"is a {hints[name]}" if name in hints else "says no type"
            raise RegistryError(
                f"argument {name!r} of {thing.__module__}.{thing.__qualname__} {what}: no setting can give it. "
                f"Write {name}: Parameter for an unknown, or a plain type such as float, or give it a default."
            )
    return settings


def arguments(thing: Any) -> Mapping[str, inspect.Parameter]:
    """By name, without `self`, and without *names and **names, which take what has no name here."""
    every = iter(inspect.signature(_function(thing)).parameters.items())
    if isinstance(thing, type):
        next(every)
    return {name: one for name, one in every if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}


def made_by(thing: Any) -> Any:
    """The class itself, or that of what a function returns."""
    return thing if isinstance(thing, type) else _hints(thing).get("return")


def summary(thing: Any) -> str:
    """The first line of its docstring, or of the class's that it makes."""
    docs = (inspect.getdoc(one) for one in (thing, made_by(thing)))
    return first_line(next(filter(None, docs), ""))


def first_line(text: str) -> str:
    """Of a docstring."""
    return text.partition("\n")[0].strip()


def _hints(thing: Any) -> dict[str, Any]:
    return get_type_hints(_function(thing), include_extras=True)


def _function(thing: Any) -> Callable[..., Any]:
    """What takes the arguments: a class's own __init__, or a base's."""
    owners = [one for one in getattr(thing, "__mro__", ()) if "__init__" in vars(one)]
    function: Callable[..., Any] = inspect.unwrap(vars(owners[0])["__init__"] if owners else thing)
    return function


def _is_setting(annotation: Any) -> bool:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_setting(inner[0])
    if origin in (Union, UnionType, tuple, dict):
        return all(_is_setting(part) for part in inner if part is not Ellipsis)
    if origin is Literal or annotation in (bool, int, float, str, NoneType, Parameter, Walls):
        return True
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def _meanings(thing: Any) -> dict[str, str]:
    """What lines `name: …` say, first sentences; of the thing, else of what it makes and of that one's bases."""
    found: dict[str, str] = {}
    made = made_by(thing)
    for one in (thing, *(made.__mro__ if isinstance(made, type) else ())):
        text = inspect.cleandoc((vars(one).get("__doc__") if isinstance(one, type) else one.__doc__) or "")
        starts = list(re.finditer(r"(?:^[ \t]*|(?<=[.;]\s))(\w+(?:, \w+)*): ", text, flags=re.MULTILINE))
        for start, after in zip(starts, [*starts, None][1:], strict=True):
            words = text[start.end() : None if after is None else after.start()].split("\n\n")[0]
            sentence = re.split(r"\.\s+(?=[A-Z])|;\s", " ".join(words.split()))[0].rstrip(".; ")
            for name in start[1].split(", "):
                if not sentence.startswith("see "):
                    found.setdefault(name, sentence)
    return found
