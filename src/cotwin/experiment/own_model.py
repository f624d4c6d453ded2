"""A simulator that the user's own code builds, named in a configuration as "package.module:function"."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cotwin.layout import Layout
from cotwin.parameters import Parameter
from cotwin.stepper import Stepper


def build_own(build: str, layout: Layout, parameters: Mapping[str, Parameter]) -> Stepper:
    """What `function(layout, **parameters)` returns, checked. Modules are found as by `python -m`, and here.

    Raises ValueError for a module or function that is not there, parameters that it does not take, and a result that
    is no Stepper of the layout. What the user's own code raises is not touched.
    """
    function = _found(build)
    try:
        inspect.signature(function).bind(layout, **parameters)
    except TypeError as error:
        raise ValueError(
            f"{build} cannot be called with the layout and the parameters {', '.join(parameters) or '(none)'}: "
            f"{error}. Name in physical.parameters what it takes after the layout."
        ) from None
    stepper = function(layout, **parameters)
    if not isinstance(stepper, Stepper):
        raise ValueError(
            f"{build} returned a {type(stepper).__name__}; it must return a cotwin.Stepper, such as a "
            "FunctionStepper, JaxStepper, ExternalStepper or PhiFlowStepper (docs/adapters.md)."
        )
    if stepper.layout != layout:
        raise ValueError(
            f"{build} returned a stepper of another layout, grid {stepper.layout.grid} and dt {stepper.layout.dt}; "
            f"it must use the one that it is given, grid {layout.grid} and dt {layout.dt}."
        )
    return stepper


def _found(build: str) -> Callable[..., Any]:
    module_name, _, name = build.partition(":")
    # The `cotwin` command does not look here by itself; last, so that no file here hides a library's.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # found, and itself in want of another
        raise ValueError(
            f"there is no module {error.name} for physical.build={build}; install it, or run where {module_name} "
            "can be imported: its folder is looked for in the current one."
        ) from None
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if inspect.isroutine(value) and not key.startswith("_")]
        what = "has no function" if function is None else "has something that cannot be called under the name"
        raise ValueError(
            f"{module_name} {what} {name!r}; its functions are {', '.join(sorted(known)) or '(none)'}: "
            f"write physical.build={module_name}:FUNCTION."
        )
    return function
