"""Settings of simulators, networks and samplers, made from signatures; only those that are named are imported."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from inspect import Parameter as Argument
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import Field, create_model

from cotwin.experiment.learner_settings import NetworkSettings, PhysicalSettings
from cotwin.experiment.parameter_settings import Number, Part, SourceTerm
from cotwin.experiment.settings import Experiment, FileData, Simulated, SimulatedBurgers, Starts
from cotwin.experiment.wall_settings import WallsSettings
from cotwin.parameters import Parameter, Source, Walls
from cotwin.registry import Registry, RegistryError, Settings, made_by, network, sampler, simulator, summary

OPEN: dict[type[Settings], tuple[Registry, str]] = {
    PhysicalSettings: (simulator, "model"),
    NetworkSettings: (network, "network"),
    Starts: (sampler, "kind"),
}
"""Settings that are open to further kinds: who knows their names, and by which key one is chosen."""


def experiment_class(values: Mapping[str, Any]) -> type[Experiment]:
    """`Experiment` with the settings of what these values name.

    Where a block is missing or is no mapping, it stays open: validation says so. Raises RegistryError, with the
    place, for a name that cannot be used.
    """
    data = values.get("data")
    return _experiment(
        _named(values, "physical", PhysicalSettings),
        _named(values, "synthetic", NetworkSettings, otherwise="resnet"),
        _named(data if isinstance(data, Mapping) else {}, "data.starts", Starts, otherwise="smooth"),
    )


def settings_class(base: type[Settings], name: str) -> type[Settings]:
    """The settings of one kind: those of `base`, and its signature's. Raises RegistryError if it has none."""
    return _made(base, name, OPEN[base][0].find(name))


@cache
def _made(base: type[Settings], name: str, thing: Any) -> type[Settings]:
    registry, tag = OPEN[base]
    fields: dict[str, Any] = {tag: (Literal[name], name)}
    opened = suggested(thing)
    for setting in registry.settings(thing):
        if setting.name in base.model_fields:
            raise RegistryError(
                f"{registry.kind} {name!r} has an argument {setting.name!r}, which is a setting of every "
                f"{registry.kind}; give it another name."
            )
        annotation, default, meaning = as_setting(setting.annotation), setting.default, setting.meaning
        if setting.name in opened:
            annotation = annotation | None
            default = None if default is Argument.empty else default
            meaning = f"{meaning}; null: {opened[setting.name].__doc__}".removeprefix("; ")
        fields[setting.name] = (annotation, Field(... if default is Argument.empty else default, description=meaning))
    called = getattr(made_by(thing), "__name__", name)
    made = cast(type[Settings], create_model(called, __base__=base, __doc__=summary(thing), **fields))
    if issubclass(made, NetworkSettings):
        made.sizes = sizes(thing)
    return made


def suggested(thing: Any) -> Mapping[str, Any]:
    """Which of a simulator's arguments may be left open, and what is then asked: see `Stepper.suggested`."""
    asked: Mapping[str, Any] = getattr(made_by(thing), "suggested", {})
    return {name: suggest for name, suggest in asked.items() if simulator.takes(thing, name)}


def sizes(thing: Any) -> Mapping[str, Mapping[str, Any]]:
    """What each size of a network sets: the attribute `sizes` of its class; none if it has none."""
    said: Mapping[str, Mapping[str, Any]] = getattr(made_by(thing), "sizes", {})
    return said


def as_setting(annotation: Any) -> Any:
    """The type of a setting for an argument of this type: parameters are unknowns, in a tuple components."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is Parameter:
        return Number
    if annotation is Walls:
        return WallsSettings
    if annotation == Source:
        return SourceTerm
    if origin is tuple and inner == (Parameter, ...):
        return tuple[Part, ...]
    if origin is dict and inner == (str, Parameter):
        return dict[str, Number]
    if origin in (Union, UnionType):
        vector = any(get_origin(part) is tuple and Parameter in get_args(part) for part in inner)
        # A vector may also be given as one parameter, in a script; its settings are those of its components.
        return Union[tuple(as_setting(part) for part in inner if not (vector and part is Parameter))]  # noqa: UP007
    return annotation


def _named(
    values: Mapping[str, Any], path: str, base: type[Settings], otherwise: str | None = None
) -> type[Settings]:
    _, tag = OPEN[base]
    chosen = values.get(path.rpartition(".")[-1], {})
    name = chosen.get(tag, otherwise) if isinstance(chosen, Mapping) else None
    if not isinstance(name, str):
        return base
    try:
        return settings_class(base, name)
    except RegistryError as error:
        raise RegistryError(f"{path}.{tag}: {error}") from error


@cache
def _experiment(physical: type[Settings], synthetic: type[Settings], starts: type[Settings]) -> type[Experiment]:
    simulated = create_model(
        "Simulated",
        __base__=Simulated,
        __doc__=Simulated.__doc__,
        starts=(starts, Field(default_factory=starts, description=Simulated.model_fields["starts"].description)),
    )
    data: Any = Annotated[Union[SimulatedBurgers, simulated, FileData], Field(discriminator="kind")]  # noqa: UP007
    return create_model(
        "Experiment",
        __base__=Experiment,
        __doc__=Experiment.__doc__,
        data=(data, ...),
        physical=(physical, ...),
        synthetic=(synthetic, Field(default_factory=synthetic)),
    )
