"""Every setting in words, from the settings classes; what is chosen by name is loaded when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cotwin.experiment.declared import OPEN, settings_class
from cotwin.experiment.load import settings_classes, tags
from cotwin.experiment.settings import Experiment
from cotwin.layout import LARGEST
from cotwin.registry import Settings


@dataclass(frozen=True)
class Line:
    """One line of an explanation.

    path: of the setting, or of the block of which a kind is chosen. kind: the name of that kind.
    below: what else there is to say of the kind. loads: whether that imports its module, and may raise RegistryError.
    """

    path: str
    text: str
    kind: str | None = None
    below: Callable[[], Iterator[Line]] = lambda: iter(())
    loads: bool = False


def explain(owner: type[BaseModel] = Experiment, prefix: str = "", skip: Collection[str] = ()) -> Iterator[Line]:
    """One line a setting: its path, what it may be, its default and what it means.

    skip: names of settings of `owner` that are explained elsewhere.

    >>> next(line.text for line in explain() if line.path == "hybrid.cycles")
    'hybrid.cycles: int >= 1, <= 1000 (default 6)'
    """
    for name, field in owner.model_fields.items():
        if name in skip:
            continue
        path = f"{prefix}{name}"
        classes = list(settings_classes(field.annotation))
        if isinstance(field.json_schema_extra, dict) and "as" in field.json_schema_extra:
            yield Line(path, f"{path}: as {field.json_schema_extra['as']}{_default(field)}{_meaning(field)}")
        elif (base := next((one for one in OPEN if classes == [one]), None)) is not None:
            yield from _open(path, base)
        elif not classes:
            kind = _kind(field.annotation, field.metadata)
            yield Line(path, f"{path}: {kind}{_default(field)}{_meaning(field)}")
        elif len(classes) == 1:
            origin = get_origin(field.annotation)
            many = f"{field.description or 'a list'}; " if origin in (tuple, dict) else ""
            yield Line(path, f"{path}: {many}{_doc(classes[0])}")
            yield from explain(classes[0], f"{path}.NAME." if origin is dict else f"{path}.")
        else:
            if field.description:
                yield Line(path, f"{path}: {field.description}")
            yield from _choices(f"{path}.NAME" if get_origin(field.annotation) is dict else path, classes)


def _open(path: str, base: type[Settings]) -> Iterator[Line]:
    """Of what is open to further kinds: what all have, and the names."""
    yield from explain(base, f"{path}.")
    for name, said in OPEN[base][0].summaries().items():
        yield one_of(path, base, name, said)


def one_of(path: str, base: type[Settings], name: str, said: str) -> Line:
    """A kind of what is open to further ones; its settings are read when they are asked for."""

    def below() -> Iterator[Line]:
        return explain(settings_class(base, name), f"{path}.", set(base.model_fields))

    return Line(path, f"{path}.{OPEN[base][1]}={name}: {said}".rstrip(": "), name, below, loads=True)


def _choices(path: str, classes: list[type[BaseModel]]) -> Iterator[Line]:
    bases = (base for base in classes[0].__mro__[1:] if issubclass(base, BaseModel))
    common = next(base for base in bases if all(issubclass(choice, base) for choice in classes))
    yield from explain(common, f"{path}.")
    for choice in classes:
        below = partial(explain, choice, f"{path}.", {"kind", *common.model_fields})
        (tag,) = tags(choice)
        if "kind" in choice.model_fields:
            yield Line(path, f"{path}.kind={tag}: {_doc(choice)}", tag, below)
        else:
            yield Line(path, f"{path}: {_doc(choice)}")
            yield from below()


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
