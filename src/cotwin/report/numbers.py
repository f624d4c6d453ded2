"""Numbers for people: to the digits that mean something."""

from __future__ import annotations

import math

from torch import Tensor

ROUNDING = 2e-6
"""Relative: what single precision leaves of a number that was kept as its logarithm."""
APART = 4
"""Digits of the distance between two ends of an interval that are shown."""


def number(value: float) -> str:
    """Six digits, fewer where the rest is rounding.

    >>> number(9.99999e-10), number(0.123456789)
    ('1e-09', '0.123457')
    """
    shown = (f"{value:.{digits}g}" for digits in range(1, 6))
    return next((text for text in shown if abs(float(text) - value) <= ROUNDING * abs(value)), f"{value:.6g}")


def span(low: float, high: float) -> str:
    """Two ends to the digits that tell them apart.

    >>> span(0.2919412, 0.3064789), span(1.00000012, 1.00000034), span(-1e-9, 2.0)
    ('0.29194 … 0.30648', '1.00000012 … 1.00000034', '-1e-09 … 2')
    """
    return " … ".join(resolved(end, high - low) for end in (low, high))


def interval(ends: tuple[Tensor, Tensor]) -> str:
    """An interval of a number; of a field's values there are too many."""
    low, high = ends
    return "point by point" if low.numel() > 1 else span(float(low), float(high))


def resolved(value: float, width: float) -> str:
    """A value to the digits that an interval of this width gives a meaning."""
    return f"{value:.{_digits(value, width)}g}" if math.isfinite(width) and width > 0 else number(value)


def _digits(end: float, width: float) -> int:
    above = math.floor(math.log10(abs(end))) - math.floor(math.log10(width)) if end else 0
    return min(max(above, 0) + APART, 15)
