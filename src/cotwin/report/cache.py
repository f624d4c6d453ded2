"""What is kept on disk, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cotwin.store.placement import in_words
from cotwin.store.shelf import Entry


def render(entries: Sequence[Entry], now: float) -> RenderableType:
    """A line for each stored array. now: seconds since the epoch, for the ages."""
    if not entries:
        return Text("Nothing is kept.")
    table = Table(box=SIMPLE, title=f"{_count(entries)}, {in_words(sum(entry.num_bytes for entry in entries))}")
    for column in ("shelf", "key", "content", "size", "age"):
        table.add_column(column, justify="right" if column in ("size", "age") else "left")
    for entry in entries:
        row = (entry.key[:8], entry.content, in_words(entry.num_bytes), _age(now - entry.modified))
        # Text: a plain string's square brackets would be taken for markup.
        table.add_row(entry.shelf, *map(Text, row))
    return table


def summary(removed: Sequence[Entry], parts: int) -> str:
    """What was removed, in a sentence or two. parts: files that were half-written."""
    sentences = []
    if parts:
        sentences.append(f"Removed {parts} half-written file{'s' if parts > 1 else ''}.")
    if removed:
        sentences.append(f"Removed {_count(removed)}, {in_words(sum(entry.num_bytes for entry in removed))}.")
    return " ".join(sentences) or "Nothing to remove."


def _count(entries: Sequence[Entry]) -> str:
    return "1 stored array" if len(entries) == 1 else f"{len(entries)} stored arrays"


def _age(seconds: float) -> str:
    """
    >>> _age(12), _age(5400), _age(200_000)
    ('12 s', '1.5 h', '2.3 d')
    """
    if seconds < 100:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"
