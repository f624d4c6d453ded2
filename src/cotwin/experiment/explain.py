"""Every setting in words, from the settings classes themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cotwin.experiment.declared import OPEN, every_class
from cotwin.experiment.load import settings_classes, tags
from cotwin.experiment.settings import Experiment
from cotwin.layout import LARGEST
from cotwin.registry import Settings


def explain(owner: type[BaseModel] = Experiment, prefix: str = "", skip: Collection[str] = ()) -> Iterator[str]:
    """One line a setting: its path, what it may be, its default and what it means.

    skip: names of settings of `owner` that are explained elsewhere.

    >>> next(line for line in explain() if line.startswith("hybrid.cycles"))
    'hybrid.cycles: int >= 1, <= 1000 (default 6)'
    """
    for name, field in owner.model_fields.items():
        if name in skip:
            continue
        path = f"{prefix}{name}"
        classes = list(settings_classes(field.annotation))
        if isinstance(field.json_schema_extra, dict) and "as" in field.json_schema_extra:
            yield f"{path}: as {field.json_schema_extra['as']}{_default(field)}{_meaning(field)}"
        elif (base := next((one for one in OPEN if classes == [one]), None)) is not None:
            yield from _kinds(path, base)
        elif not classes:
            yield f"{path}: {_kind(field.annotation, field.metadata)}{_default(field)}{_meaning(field)}"
        elif len(classes) == 1:
            origin = get_origin(field.annotation)
            many = f"{field.description or 'a list'}; " if origin in (tuple, dict) else ""
            yield f"{path}: {many}{_doc(classes[0])}"
            yield from explain(classes[0], f"{path}.NAME." if origin is dict else f"{path}.")
        else:
            if field.description:
                yield f"{path}: {field.description}"
            yield from _choices(f"{path}.NAME" if get_origin(field.annotation) is dict else path, classes)


def _kinds(path: str, base: type[Settings]) -> Iterator[str]:
    """Of what is open to further kinds: all that are declared; those that cannot be loaded say why."""
    found = every_class(base)
    yield from _choices(path, [kind for kind in found.values() if isinstance(kind, type)])
    for name, error in found.items():
        if not isinstance(error, type):
            yield f"{path}.{OPEN[base][1]}={name}: {error}"


def _choices(path: str, classes: list[type[BaseModel]]) -> Iterator[str]:
    bases = (base for base in classes[0].__mro__[1:] if issubclass(base, BaseModel))
    common = next(base for base in bases if all(issubclass(choice, base) for choice in classes))
    shared = set(common.model_fields)
    yield from explain(common, f"{path}.")
    for choice in classes:
        (tag,) = tags(choice)
        name = next(key for key in ("kind", "model", "network") if key in choice.model_fields)
        yield f"{path}.{name}={tag}: {_doc(choice)}".rstrip(": ")
        for line in explain(choice, f"{path}.", skip={name, *shared}):
            yield f"  {line}"


def _kind(annotation: Any, metadata: list[Any]) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0], [m for extra in inner[1:] for m in getattr(extra, "metadata", [extra])])
    if origin in (Union, UnionType):
        return " or ".join(_kind(part, metadata) for part in inner if part is not NoneType)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin is tuple:
        repeated = len(inner) == 2 and inner[1] is Ellipsis
        return f"[{_kind(inner[0], []) + ', …' if repeated else ', '.join(_kind(part, []) for part in inner)}]"
    bounds = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    found = ((sign, getattr(m, key)) for m in metadata for key, sign in bounds.items() if hasattr(m, key))
    # What only keeps squares finite tells nobody anything.
    limits = [f"{sign} {limit}" for sign, limit in found if abs(limit) < LARGEST]
    return " ".join([annotation.__name__, ", ".join(limits)]).strip()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return " (required)"
    return " (default none)" if field.default is None else f" (default {field.default})"


def _meaning(field: FieldInfo) -> str:
    return f": {field.description}" if field.description else ""


def _doc(owner: type[BaseModel]) -> str:
    return " ".join((owner.__doc__ or "").split())
