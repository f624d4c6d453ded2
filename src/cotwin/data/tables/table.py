"""Columns of a table: numbers, words and times, gathered in parts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cotwin.data.stored.contents import setting

Kind = Literal["numbers", "words", "times"]
Numbers = NDArray[np.float64]

AT_ONCE = 2**16
"""Rows of a part."""
MOST_COLUMNS = 1000


@dataclass(frozen=True)
class Words:
    """A column of words: code[i] is the place of the i-th row's in `distinct`, −1 where it has none."""

    code: NDArray[np.int64]
    distinct: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The wanted columns of a file, by name; numbers are not a number where nothing stands.

    first: what a person would call the first row, by `row_word`: line 2 of a CSV file, row 0 of a parquet file.
    dates: of which times, if the file has dates, the numbers are the seconds after; None if it has numbers.
    """

    source: str
    numbers: Mapping[str, Numbers]
    words: Mapping[str, Words]
    first: int
    row_word: str
    dates: str | None = None
    notes: tuple[str, ...] = ()

    def where(self, row: int) -> str:
        """How a person finds a row."""
        return f"{self.row_word} {self.first + row}"


class Columns:
    """Gathers parts of columns."""

    def __init__(self, wanted: Mapping[str, Kind], source: str, first: int, row_word: str) -> None:
        self.wanted, self.source, self.first, self.row_word = wanted, source, first, row_word
        self.rows = 0
        self.parts: dict[str, list[Any]] = {name: [] for name in wanted}
        self.places: dict[str, dict[str, int]] = {name: {} for name, kind in wanted.items() if kind == "words"}
        self.dated: bool | None = None
        self.zoned: bool | None = None

    def add(self, part: Mapping[str, Any], count: int) -> None:
        """Some rows, pandas' series by name."""
        for name, kind in self.wanted.items():
            match kind:
                case "numbers":
                    self.parts[name].append(self._numbers(name, part[name]))
                case "words":
                    self.parts[name].append(self._coded(name, part[name]))
                case "times":
                    self.parts[name].append(self._times(name, part[name]))
        self.rows += count

    def table(self, notes: Sequence[str] = ()) -> Table:
        """All of them."""
        numbers, words, dates = {}, {}, None
        for name, kind in self.wanted.items():
            column: Any = np.concatenate(self.parts.pop(name)) if self.rows else np.zeros(0)
            if kind == "words":
                words[name] = Words(column.astype(np.int64), tuple(self.places[name]))
            elif kind == "times" and self.dated:
                numbers[name], dates = self._since_first(column)
            else:
                numbers[name] = column
        return Table(self.source, numbers, words, self.first, self.row_word, dates, tuple(notes))

    def _where(self, row: int) -> str:
        return f"{self.row_word} {self.first + self.rows + row}"

    def _numbers(self, name: str, series: Any) -> Numbers:
        import pandas

        if pandas.api.types.is_numeric_dtype(series) and not pandas.api.types.is_bool_dtype(series):
            return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
        read = pandas.to_numeric(series.astype(object), errors="coerce")
        bad = np.flatnonzero((read.isna() & series.notna()).to_numpy() | series.map(_is_bool).to_numpy(dtype=bool))
        if len(bad):
            row = int(bad[0])
            raise ValueError(self._no_number(series.iloc[row], name, self._where(row)))
        return np.asarray(read.to_numpy(dtype=np.float64, na_value=np.nan))

    def _no_number(self, value: object, name: str, where: str) -> str:
        shown = f"{value!s:.40}"
        cure = (
            "write numbers with a decimal point"
            if "," in shown
            else (f"correct it, leave it empty, or name the quantities to read with {setting('fields')}")
        )
        return f"{self.source}: column {name!r} holds {shown!r} in {where}, which is no number; {cure}."

    def _coded(self, name: str, series: Any) -> NDArray[np.int64]:
        import pandas

        codes, distinct = pandas.factorize(series)
        places = self.places[name]
        there = [places.setdefault(str(one), len(places)) for one in distinct]
        return np.asarray(np.array([*there, -1], dtype=np.int64)[codes])

    def _times(self, name: str, series: Any) -> Any:
        """Numbers, or nanoseconds since 1970 where they are dates."""
        import pandas

        if isinstance(series.dtype, pandas.CategoricalDtype):
            series = series.astype(object)
        known = series.dropna()
        if not len(known):
            return np.full(len(series), np.iinfo(np.int64).min) if self.dated else np.full(len(series), np.nan)
        dated = pandas.api.types.is_datetime64_any_dtype(series) or _looks_dated(known.iloc[0])
        if self.dated is None and not self.rows:
            self.dated = dated
        if dated != bool(self.dated):
            raise ValueError(f"{self.source}: some of {name!r} are dates, some numbers; write all alike.")
        return self._dates(name, series) if dated else self._numbers(name, series)

    def _dates(self, name: str, series: Any) -> NDArray[np.int64]:
        import pandas

        if pandas.api.types.is_datetime64_any_dtype(series):
            zoned = [series.dt.tz is not None]
        else:
            text = series.dropna().astype(str)
            zoned = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True).unique().tolist()
        if len({*zoned, *([] if self.zoned is None else [self.zoned])}) > 1:
            raise ValueError(
                f"{self.source}: some of the dates in {name!r} say their time zone, others do not; write all alike."
            )
        self.zoned = zoned[0]
        read = pandas.to_datetime(series, format="ISO8601", utc=True, errors="coerce")
        bad = np.flatnonzero((read.isna() & series.notna()).to_numpy())
        if len(bad):
            row = int(bad[0])
            raise ValueError(
                f"{self.source}: column {name!r} holds {str(series.iloc[row])[:40]!r} in {self._where(row)}, which "
                "is neither a number nor a date such as 2024-05-31T14:00; write times as one of these."
            )
        return np.asarray(pandas.DatetimeIndex(read).as_unit("ns").asi8)

    def _since_first(self, column: NDArray[np.int64]) -> tuple[Numbers, str]:
        import pandas

        known = column != np.iinfo(np.int64).min
        first = int(column[known].min()) if known.any() else 0
        word = str(pandas.Timestamp(first))
        return np.where(known, (column - first) / 1e9, np.nan), f"{word} UTC" if self.zoned else word


def _is_bool(value: object) -> bool:
    return isinstance(value, bool | np.bool_)


def _looks_dated(value: object) -> bool:
    text = str(value)
    return text[:4].isdigit() and text[4:5] == "-" and text[5:7].isdigit()


def require_names(path: Path, names: list[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise ValueError(f"{path}: it has {len(names):,} columns, of at most {MOST_COLUMNS:,}.")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: several columns are called {twice[0]!r}; give each a name of its own.")
    if all(map(_is_number, names)):
        raise ValueError(
            f"{path}: its first line holds numbers; write the names of the columns above them, such as time,x,u."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def imported(module: str, path: Path) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"{path}: to read tables, pip install cotwin[tables]: {module} is missing.") from error
