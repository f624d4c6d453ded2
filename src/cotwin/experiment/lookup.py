"""One part of what `explain` says, by its path or by the name of a kind."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from cotwin.experiment.explain import Line, explain, one_of
from cotwin.experiment.learner_settings import PhysicalSettings
from cotwin.registry import RegistryError, simulator, summary


def overview() -> str:
    """The blocks of an experiment, the kinds of each, and how to see more."""
    blocks: dict[str, list[Line]] = {}
    for line in explain():
        blocks.setdefault(line.path.partition(".")[0], []).append(line)
    rows = []
    for block, lines in blocks.items():
        kinds = [line.kind for line in lines if line.path == block and line.kind]
        rows.append(f"{block}: {', '.join(kinds)}" if kinds else lines[0].text)
    more = "a block (physical), a setting (synthetic.optimizer) or a name (heat)"
    return "\n".join([*rows, "", f"cotwin config explain PART tells more of {more}."])


def part(asked: str) -> str:
    """What is said of a block, a setting, or the kind of that name. Only what is asked for by name is loaded.

    asked: a path, a name, or `package.module:function`. Raises ValueError if there is nothing of that name.
    """
    lines = list(_shown(explain()))
    if ":" in asked:  # a model of the user's own
        lines.append((0, one_of("physical", PhysicalSettings, asked, summary(simulator.find(asked)))))
    found = (
        [(depth, line) for depth, line in lines if _is_in(line.path, asked)]
        or list(_named(lines, asked))
        or list(_of_some_kinds(lines, asked))
    )
    if not found:
        known = sorted({line.path for _, line in lines} | {line.kind for _, line in lines if line.kind})
        near = difflib.get_close_matches(asked, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "cotwin config explain lists the blocks."
        raise ValueError(f"there is no setting and no kind {asked!r}; {hint}")
    outermost = min(depth for depth, _ in found)
    texts = ["  " * (depth - outermost) + line.text for depth, line in found]
    names = [line.kind for _, line in found if line.kind and line.loads]
    if len(names) > 1:
        texts += ["", f"cotwin config explain {names[-1]}, for one, tells the settings of a name."]
    return "\n".join(texts)


def _shown(lines: Iterable[Line], depth: int = 0) -> Iterator[tuple[int, Line]]:
    """Lines with what is below them, but for what would have to be loaded; and how deep each lies."""
    for line in lines:
        yield depth, line
        if not line.loads:
            yield from _shown(line.below(), depth + 1)


def _is_in(path: str, asked: str) -> bool:
    return f"{path}.".startswith(f"{asked}.")


def _named(lines: list[tuple[int, Line]], asked: str) -> Iterator[tuple[int, Line]]:
    """Each kind of that name, `heat` or `physical.heat`, with its settings."""
    for depth, line in lines:
        if line.kind and asked in (line.kind, f"{line.path}.{line.kind}"):
            yield depth, line
            yield from _shown(line.below(), depth + 1)


def _of_some_kinds(lines: list[tuple[int, Line]], asked: str) -> Iterator[tuple[int, Line]]:
    """A setting that only some kinds of an open block have, with those kinds; all of the block are loaded for it."""
    for depth, line in lines:
        if line.loads and asked.startswith(f"{line.path}."):
            try:
                own = [pair for pair in _shown(line.below(), depth + 1) if _is_in(pair[1].path, asked)]
            except RegistryError:
                continue
            yield from [(depth, line), *own] if own else []
