"""One thing that is odd in a data file, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """kind: in one word. text: what, where, how bad. cure: what to do. refused: whether reading refuses the file."""

    source: str
    kind: str
    text: str
    cure: str
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.source}: {'refused' if self.refused else 'odd'}: {self.kind}: {self.text}; {self.cure}"


def told(findings: Sequence[Finding], looked: Sequence[str]) -> str:
    """One line each, those that reading refuses first. looked: at what."""
    ordered = sorted(findings, key=lambda one: not one.refused)
    refused = sum(one.refused for one in findings)
    count = f"{len(findings)} {'finding' if len(findings) == 1 else 'findings'}" if findings else "nothing found"
    return "\n".join([*looked, *map(str, ordered), f"{count}{f', reading refuses {refused}' if refused else ''}"])
