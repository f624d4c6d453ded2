"""What is odd in data: of an experiment's files as it reads them, or of a file with settings of `data`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from cotwin.data.files import files_of
from cotwin.data.inspection.check import check_files
from cotwin.data.inspection.finding import Finding
from cotwin.data.inspection.inspect import inspect_file
from cotwin.experiment.from_file import options_of
from cotwin.experiment.load import load
from cotwin.experiment.read_settings import ConfigError, override_of
from cotwin.experiment.settings import FileData

DOMAIN = {"boundary", "extent", "points"}


def check(what: str, overrides: Sequence[str] = ()) -> tuple[list[Finding], list[str]]:
    """What is found, and at what was looked. what: a configuration, or a data file, whose settings are those that
    `cotwin data inspect` finds, changed by overrides.

    Raises ConfigError for settings that cannot be used, ValueError for a file of no known format, or OSError.
    """
    if what.endswith((".yaml", ".yml")):
        experiment = load(what, overrides)
        if not isinstance(experiment.data, FileData):
            raise ConfigError(f"{what}: its data are simulated; there is no file to check.")
        return check_files(files_of(experiment.data.path), options_of(experiment.data, experiment.physical))
    paths = files_of(what)
    said: dict[str, Any] = {}
    for one in overrides:
        said |= override_of(one if one.startswith("data.") else f"data.{one}")["data"]
    inspected = inspect_file(paths[0], said.get("format"))
    # Holes are masked where the caller says so; ends of the domain follow from the boundary.
    left = {"missing", *(DOMAIN if DOMAIN & set(said) else ())}
    known = {name: value for name, value in inspected.options.items() if name not in left}
    settings = settings_of({**known, **said, "kind": "file", "path": what})
    found, looked = check_files(paths, options_of(settings, None))
    unread = [one for one in inspected.arrays if not one.dtype]
    cure = "copy the file with all that belongs to it"
    return [
        *found,
        *(Finding(paths[0], "array", f"{one.name} is not read: {one.holds}", cure) for one in unread),
    ], looked


def settings_of(values: Mapping[str, Any]) -> FileData:
    """Typed settings of `data`. Raises ConfigError."""
    try:
        return FileData.model_validate(values)
    except ValidationError as error:
        wrong = (f"data.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"{values['path']}: {'; '.join(wrong)}.") from None
