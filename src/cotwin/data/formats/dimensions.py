"""What the dimensions of labelled arrays mean: time, space, trajectory, component. By word of the caller, else by CF
attributes, else by name.

CF: climate and forecast metadata conventions, version 1.11, chapters 4 and 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cotwin.data.formats.dates import SINCE
from cotwin.data.stored.contents import setting
from cotwin.data.stored.wanted import ROLES

if TYPE_CHECKING:
    import xarray as xr

COMPONENT = "component"
"""Under which name a caller says which dimension holds the components of a vector."""
CHANNEL = "channel"
"""A dimension along which lie quantities that have nothing to do with axes."""
SPACE = "xyz"


STANDARD = {
    "time": "t",
    "projection_x_coordinate": "x",
    "projection_y_coordinate": "y",
    "height": "z",
    "depth": "z",
    "altitude": "z",
    "realization": "n",
}
"""What CF's standard names mean here."""
IN_SPACE = re.compile(
    r"(?:(?:grid|dim|coord|n)_?)?([xyz])(?:\1|s|c|[_-]?(?:c|coords?|coordinates?|grid|dim|axis|cent(?:er|re)s?|k?m))?"
)
IN_TIME = re.compile(r"n?(?:t|tt|ts|times?|t[_-]?(?:coords?|coordinates?|grid|dim|axis))")
TRAJECTORIES = re.compile(
    r"n|number|(?:num_?|n_?)?(?:traj|trajectory|trajectories|samples?|batch|runs?|members?|ensembles?|ens|"
    r"reali[sz]ations?|simulations?|sims?|cases?|seeds?)(?:_?(?:id|index|number))?"
)
COMPONENTS = re.compile(r"components?(?:_\d)?|comp|vectors?|vec|directions?")
CHANNELS = re.compile(r"channels?|variables?|fields?|features?|quantit(?:y|ies)")
ANGLES = re.compile(r"deg(?:ree)?s?(?:_?(?:north|south|east|west|true|[nsew]))?|rad(?:ian)?s?", re.IGNORECASE)
LATITUDES = re.compile(r"(?:grid_?)?(?:r?lat|r?lon|latitudes?|longitudes?)")


@dataclass(frozen=True)
class Dimensions:
    """of: what each dimension means, by its name: n, t, x, y, z, component or channel. Others are undecided.

    coordinates: the variable with its coordinates, by the name of a dimension. own_times: dimensions that are times
    too, of numbers with times of their own. angles: dimensions that are measured in angles, which are no lengths.
    """

    of: Mapping[str, str]
    coordinates: Mapping[str, str]
    own_times: tuple[str, ...] = ()
    angles: tuple[str, ...] = ()

    def dimension(self, role: str) -> str | None:
        """The one with this role."""
        return next((name for name, own in self.of.items() if own == role), None)

    @property
    def space(self) -> tuple[str, ...]:
        """Dimensions in the order x, y, z."""
        return tuple(sorted((name for name, own in self.of.items() if own in SPACE), key=lambda name: self.of[name]))


def dimensions_of(dataset: xr.Dataset, names: Mapping[str, str]) -> Dimensions:
    """names: the dimension, or the variable with its coordinates, of each of n, t, x, y, z and component that the
    caller says.

    Raises ValueError where a name is not there, two dimensions have one role, and where time or space is not found.
    """
    said = {_dimension_said(dataset, role, names): (role, names[role]) for role in ROLES if role in names}
    of: dict[str, str] = {}
    coordinates: dict[str, str] = {}
    angles: list[str] = []
    for dimension in map(str, dataset.sizes):
        if dimension in said:
            of[dimension], name = said[dimension]
            for own in (dimension, name):
                if own in dataset.variables:
                    coordinates[dimension] = own
            continue
        found = [(role_of(name, dataset), name) for name in _candidates(dataset, dimension)]
        role, name = next((one for one in found if one[0]), (by_name(dimension), ""))
        if role == "angle":
            angles += [dimension] if dataset.sizes[dimension] > 1 else []
        elif role and role not in names:
            of[dimension] = role
            if name:
                coordinates[dimension] = name
    main = _main_times(dataset, of)
    own_times = tuple(name for name, role in of.items() if role == "t" and name != main)
    of = {name: role for name, role in of.items() if name not in own_times}
    coordinates |= _times_of_each(dataset, of, coordinates)
    roles = Dimensions(of, coordinates, own_times, tuple(angles))
    _require_decided(dataset, roles)
    return roles


def is_angle(variable: Any) -> bool:
    """Whether coordinates are angles by their units."""
    return ANGLES.fullmatch(str(variable.attrs.get("units", "")).strip()) is not None


def _dimension_said(dataset: xr.Dataset, role: str, names: Mapping[str, str]) -> str:
    """The dimension that a caller names, or whose coordinates are in the variable of this name."""
    name = names[role]
    if name in dataset.sizes:
        return name
    if name not in dataset.variables:
        have = ", ".join(map(str, (*dataset.sizes, *dataset.variables)))
        raise ValueError(f"{setting('names')} says that {role} is {name!r}, and nothing is called so; it has {have}.")
    dims = [str(one) for one in dataset[name].dims]
    # Times may differ between trajectories.
    own = [one for one in dims if by_name(one) != "n" and one != names.get("n")] if role == "t" else dims
    if len(own) != 1:
        raise ValueError(
            f"{setting('names')} says that {role} is {name!r}, which has the dimensions {dims}; name one of one "
            "dimension, or a dimension."
        )
    return own[0]


def _candidates(dataset: xr.Dataset, dimension: str) -> Iterator[str]:
    """Variables that may hold the coordinates of a dimension: of its own name first, then others along it alone.

    What is no coordinate by the file's word may be a field: a depth z along x, a temperature T of each trajectory.
    """
    if dimension in dataset.variables:
        yield dimension
    yield from (str(name) for name, one in dataset.coords.items() if one.dims == (dimension,) and name != dimension)
    named = by_name(dimension)
    for name, one in dataset.data_vars.items():
        fits = named is None or role_of(str(name), dataset) in (named, "angle")
        if one.dims == (dimension,) and name not in (dimension, "T") and fits:
            yield str(name)


def role_of(name: str, dataset: xr.Dataset) -> str | None:
    """What a variable of coordinates is for, by its attributes, its type and its name."""
    variable = dataset[name]
    standard = str(variable.attrs.get("standard_name", ""))
    if is_angle(variable) or LATITUDES.fullmatch(standard):
        return "angle"
    axis = str(variable.attrs.get("axis", "")).lower()
    if axis in ("t", *SPACE):
        return axis
    if standard in STANDARD:
        return STANDARD[standard]
    if "cf_role" in variable.attrs:
        return "n"
    if variable.dtype.kind in "mM" or SINCE.match(str(variable.attrs.get("units", ""))):
        return "t"
    named = by_name(name)
    # What has a unit of length is one, whatever its name.
    return None if named == "angle" and "units" in variable.attrs else named


def by_name(name: str) -> str | None:
    """What a dimension or its coordinates are for, as far as their name tells."""
    plain = name.lower().rsplit("/", maxsplit=1)[-1]
    if LATITUDES.fullmatch(plain):
        return "angle"
    if IN_TIME.fullmatch(plain):
        return "t"
    if match := IN_SPACE.fullmatch(plain):
        return match[1]
    if COMPONENTS.fullmatch(plain):
        return COMPONENT
    if CHANNELS.fullmatch(plain):
        return CHANNEL
    return "n" if TRAJECTORIES.fullmatch(plain) else None


def _main_times(dataset: xr.Dataset, of: Mapping[str, str]) -> str | None:
    """The dimension of times that most fields have; others are times of numbers."""
    times = [name for name, role in of.items() if role == "t"]
    space = {name for name, role in of.items() if role in SPACE}

    def fields(name: str) -> int:
        return sum(name in one.dims and bool(space.intersection(one.dims)) for one in dataset.data_vars.values())

    return max(times, key=fields, default=None)


def _times_of_each(dataset: xr.Dataset, of: Mapping[str, str], coordinates: Mapping[str, str]) -> dict[str, str]:
    """Times that differ between trajectories: of the dimensions n and t both."""
    rows = {role: name for name, role in of.items() if role in ("n", "t")}
    if len(rows) < 2 or rows["t"] in coordinates:
        return {}
    found = (
        str(name)
        for name, variable in dataset.variables.items()
        if set(variable.dims) == set(rows.values()) and role_of(str(name), dataset) == "t"
    )
    name = next(found, None)
    return {} if name is None else {rows["t"]: name}


def _require_decided(dataset: xr.Dataset, roles: Dimensions) -> None:
    for role in sorted(set(roles.of.values())):
        alike = [name for name, own in roles.of.items() if own == role]
        if len(alike) > 1 and role not in (COMPONENT, CHANNEL):
            joined = f", or join them with xarray, dataset.stack(n={alike})" if role == "n" else ""
            raise ValueError(
                f"{' and '.join(alike)} may both be {role}; say which with {setting('names')}, "
                f"{{{role}: {alike[0]}}}, and leave out fields of the other with {setting('fields')}{joined}."
            )
    missing = ["t"] * (roles.dimension("t") is None) + ["x"] * (not roles.space)
    if roles.angles and missing == ["x"]:
        angles = dict(zip(SPACE, sorted(roles.angles, key=lambda name: "lat" in name.lower()), strict=False))
        raise ValueError(
            f"{', '.join(roles.angles)} are angles, and a grid of Cotwin has lengths: project the data to "
            f"coordinates in metres. Of angles that are to be taken as lengths say so with {setting('names')}, "
            f"{{{', '.join(f'{role}: {name}' for role, name in angles.items())}}}."
        )
    if missing:
        sizes = {str(name): size for name, size in dataset.sizes.items()}
        known = {role: name for name, role in roles.of.items()}
        open_ = [name for name in sizes if name not in roles.of]
        if missing == ["t"] and not open_:
            raise ValueError(
                f"none of its dimensions, {', '.join(sizes)}, is time. Where it is a single state, keep a dimension "
                'of one time: dataset.isel(time=[0]), or dataset.expand_dims("time").'
            )
        example = known | dict(zip([one for one in ("t", *SPACE) if one not in known], open_, strict=False))
        raise ValueError(
            f"which of its dimensions is {' and which '.join(missing)} is not clear; they are "
            f"{', '.join(f'{name} ({size})' for name, size in sizes.items()) or 'none'}. Say it with "
            f"{setting('names')}, such as {{{', '.join(f'{role}: {name}' for role, name in example.items())}}}."
        )
