"""One part of what `explain` says, by its path or by the name of a kind."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from cotwin.experiment.explain import explain

MOST_LINES = 60
"""Beyond these, kinds to choose among are shown by name alone."""


@dataclass(frozen=True)
class _Line:
    """path: of the setting; kind: the name that it introduces, if it does; depth: how far it is indented."""

    path: str
    kind: str | None
    depth: int
    text: str


def overview() -> str:
    """The blocks of an experiment, the kinds of each, and how to see more."""
    lines = list(_lines())
    rows = []
    for line in lines:
        block = line.path.partition(".")[0]
        if line.path == block and line.kind is None:
            rows.append(line.text)
        elif not any(row.startswith(f"{block}:") for row in rows):
            kinds = [other.kind for other in lines if other.path == block and other.kind]
            rows.append(f"{block}: {', '.join(kinds)}")
    return "\n".join(
        [
            *rows,
            "",
            "cotwin config explain PART tells more of a block (physical), a setting "
            "(synthetic.optimizer) or a name (heat).",
        ]
    )


def part(asked: str) -> str:
    """What is said of a block, a setting, or of the kind of that name. Raises ValueError if there is none."""
    lines = list(_lines())
    found = list(_by_path(lines, asked)) or list(_by_kind(lines, asked))
    if not found:
        known = sorted({line.path for line in lines} | {line.kind for line in lines if line.kind})
        near = difflib.get_close_matches(asked, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "cotwin config explain lists the blocks."
        raise ValueError(f"there is no setting and no kind {asked!r}; {hint}")
    if len(found) > MOST_LINES:
        outer = min(line.depth for line in found)
        names = [line.kind for line in found if line.kind]
        found = [line for line in found if line.depth == outer]
        return "\n".join(
            [*_texts(found), "", f"cotwin config explain {names[-1]}, for one, tells the settings of a name."]
        )
    return "\n".join(_texts(found))


def _lines() -> Iterator[_Line]:
    for text in explain():
        path, kind = re.match(r"\s*([\w.]+)(?:=([\w ]+))?", text).groups()  # type: ignore[union-attr]
        # The path of a heading ends with the name of what chooses: physical.model=heat is about physical.
        path = path if kind is None else path.rpartition(".")[0]
        yield _Line(path, kind, len(text) - len(text.lstrip()), text)


def _by_path(lines: list[_Line], asked: str) -> Iterator[_Line]:
    return (line for line in lines if f"{line.path}.".startswith(f"{asked}."))


def _by_kind(lines: list[_Line], asked: str) -> Iterator[_Line]:
    """Each heading of that name, and what is indented below it."""
    below = None
    for line in lines:
        if below is not None and line.depth <= below:
            below = None
        if below is None and line.kind == asked:
            below = line.depth
            yield line
        elif below is not None:
            yield line


def _texts(lines: list[_Line]) -> list[str]:
    outer = min(line.depth for line in lines)
    return [line.text[outer:] for line in lines]
