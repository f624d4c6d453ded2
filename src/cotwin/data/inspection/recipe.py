"""The `data` block that reads a file: what was found out, and what is left to choose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import yaml

from cotwin.data.assembling.grid import place
from cotwin.data.assembling.times import Frames
from cotwin.data.inspection.fitting import Fit
from cotwin.data.inspection.guess import Guess
from cotwin.data.inspection.summary import FieldSummary, Setting
from cotwin.data.stored.boundaries import KINDS, centrings, said_by
from cotwin.data.stored.contents import Contents
from cotwin.layout import Ends

CHOICES = f"choose {', '.join(KINDS[:-1])} or {KINDS[-1]}"


def yaml_of(recipe: Iterable[Setting]) -> str:
    """The block as YAML; what is left to choose is commented out."""
    lines = ["data:"]
    for one in recipe:
        shown = yaml.safe_dump(_listed(one.value), default_flow_style=True, width=10**9, sort_keys=False)
        line = f"{one.name}: {shown.removesuffix('...' + chr(10)).strip()}"
        lines.append(f"  {'' if one.said else '# '}{line}{f'  # {one.why}' if one.why else ''}")
    return "\n".join(lines)


def _listed(value: object) -> object:
    return [_listed(one) for one in value] if isinstance(value, tuple) else value


def structure(guess: Guess, names: Mapping[str, str], order: str) -> Iterator[Setting]:
    """What arrays are called, and the order of axes where that is not the usual one."""
    asked, guessed = guess.asked, "a guess, see above" if guess.reasons else ""
    if names:
        yield Setting("names", dict(names), guessed)
    alone = order.removeprefix("n")
    if guess.wanted.axes is not None:
        yield Setting("axes", guess.wanted.axes, guessed)
    elif alone and alone != "t" + "".join(sorted(alone.replace("t", ""))):
        yield Setting("axes", order, "as the lengths of the axes say")
    if "extent" in asked and guess.wanted.extent is not None:
        ends = "choose: (lower, upper) of each axis; the file has no coordinates"
        yield Setting("extent", tuple(guess.wanted.extent), ends, said=False)


def chosen_fields(contents: Contents, summaries: Sequence[FieldSummary]) -> Iterator[Setting]:
    """Which are read, where others are no fields or never seen; and those that may be given."""
    never = [one.name for one in summaries if one.minimum is None and not one.static]
    may_be_given = [one.name for one in contents.fields if one.name in contents.misfits]
    known = [one.name for one in contents.fields if one.name not in (*may_be_given, *never)]
    others = [name for name in contents.misfits if name not in may_be_given]
    why = [f"left out, see above: {', '.join(others[:8])}{', …' * (len(others) > 8)}"] if others else []
    why += [f"nothing measures {', '.join(never)}: as a state, see docs/data.md on data.hidden"] if never else []
    if why and known:
        yield Setting("fields", tuple(known), "; ".join(why))
    if may_be_given:
        yield Setting(
            "given", tuple(may_be_given), "the same in all trajectories, or in all times: known, and no state"
        )


def domain(contents: Contents, found: Sequence[Fit], placed: bool) -> Iterator[Setting]:
    """Boundary, and where it is known the ends of the domain and what the points are.

    placed: whether the file has coordinates that say so.
    """
    said = [said_by(axis) for axis in contents.axes]
    found = [
        fit if axis.boundary is None else fit.between_walls() for axis, fit in zip(contents.axes, found, strict=True)
    ]
    kinds = [one or fit.only for one, fit in zip(said, found, strict=True)]
    if any(one is None for one in said):
        groups: dict[Fit, list[str]] = {}
        for axis, known, fit in zip(contents.axes, said, found, strict=True):
            if known is None:
                groups.setdefault(fit, []).append(axis.name)
        each = [_why(" and ".join(some), fit) for fit, some in groups.items()]
        why = "; ".join(each if None not in kinds else [CHOICES, *each])
        guessed = [kind or fit.nearest for kind, fit in zip(kinds, found, strict=True)]
        alike = len(set(guessed)) == 1 and isinstance(guessed[0], str)
        value = guessed[0] if alike else tuple(guessed)
        yield Setting("boundary", value, why, said=None not in kinds)
    if placed and None not in kinds:
        yield from _ends(contents, [cast(Ends, kind) for kind in kinds], found)


def _why(name: str, fit: Fit) -> str:
    if not fit.kinds:
        ends = {"lower": fit.lower, "upper": fit.upper}
        fitting = [
            f"at the {end} end of {name} the data meet {' and '.join(one)}" for end, one in ends.items() if one
        ]
        none = [f"at the {end} end of {name}" for end, one in ends.items() if not one]
        neither = "the data are neither zero nor flat: a value or a flux stands there, docs/walls.md"
        return "; ".join([*fitting, f"{' and '.join(none)} {neither}"])
    repeated = " (with the outermost points as extent: the last repeats the first)" if fit.repeats else ""
    words = [one if isinstance(one, str) else f"[{', '.join(one)}]" for one in fit.kinds]
    met = " and ".join(f"periodic{repeated}" if one == "periodic" else one for one in words)
    if len(fit.kinds) > 1 and fit.only is not None:
        return f"along {name} data and coordinates look {fit.only}"
    return f"along {name} the data meet {met}{' alone' * (len(words) == 1)}"


def _ends(contents: Contents, kinds: Sequence[Ends], found: Sequence[Fit]) -> Iterator[Setting]:
    placed = []
    for axis, kind, points, fit in zip(contents.axes, kinds, centrings(contents, None), found, strict=True):
        ends = (float(axis.coordinates[0]), float(axis.coordinates[-1]))
        repeats = kind == "periodic" and fit.repeats
        placed.append(place(axis, kind, ends if repeats else axis.ends, contents.source, points))
    why = "the last point repeats the first" if any(one.repeats for one in placed) else ""
    yield Setting("extent", tuple((_short(one.lower), _short(one.upper)) for one in placed), why)
    words = [one.centring for one, kind in zip(placed, kinds, strict=True) if kind != "periodic"]
    if words:
        every = tuple(one.centring for one in placed)
        yield Setting("points", words[0] if len(set(words)) == 1 else every, "as the ends of the domain are rounder")


def holes(fields: Sequence[FieldSummary]) -> Iterator[Setting]:
    """What is done with values that are not finite, where there are any."""
    count = sum(one.non_finite for one in fields if not one.static and one.minimum is not None)
    if count:
        yield Setting("missing", "mask", f"{count} values are not finite")


def step_of(contents: Contents, guess: Guess) -> Iterator[Setting]:
    """The step, where times are uneven, or there are none."""
    if "dt" in guess.asked:
        yield Setting("dt", guess.wanted.dt, "choose: the time between two states; the file has no times", said=False)
        return
    try:
        frames = Frames.of(contents.times, contents.num_trajectories, contents.source, contents.dt)
    except ValueError:  # reading says why
        return
    if not frames.whole:
        yield Setting("dt", _short(frames.dt), "the interval that most times meet")


def _short(value: float) -> float:
    return float(f"{value:.10g}")
