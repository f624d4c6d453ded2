"""beartype with Python's numeric tower: an int is welcome where a float is asked for.

A function's first calls in each test are checked. Some are called ten thousand times in one, and checks would take
longer than what they check.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import reduce, wraps
from inspect import unwrap
from typing import Any

from beartype import BeartypeConf, beartype

FIRST = 100
_calls: Counter[str] = Counter()
_resting: dict[str, Any] = {}


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """For jaxtyping, which asks twice for each function: of what it takes, and of what it returns too."""
    place = f"{function.__module__}:{function.__qualname__}"
    checked: Callable[..., Any] | None = None

    @wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        # Not before: most functions are never called by the tests of one process.
        checked = checked or beartype(conf=BeartypeConf(is_pep484_tower=True))(function)
        _calls[place] += 1
        if _calls[place] == 2 * FIRST:
            _rest(place)
        return checked(*args, **kwargs)

    return counted


def check_all() -> None:
    """Functions are checked again."""
    _calls.clear()
    for function in _resting.values():
        del function.__no_type_check__
    _resting.clear()


def _rest(place: str) -> None:
    """No more checks of a function, where it can be found: one inside another is a new one with each call of that."""
    module, _, name = place.partition(":")
    # The types of a constructor are settings, and have to stay readable.
    if "<locals>" in name or name.endswith("__init__"):
        return
    found = reduce(lambda within, part: vars(within)[part], name.split("."), sys.modules[module])
    for inside in ("fget", "func", "__func__"):
        found = getattr(found, inside, found)
    function = unwrap(found)
    function.__no_type_check__ = True
    _resting[place] = function
