"""Columns of a table: numbers, words and times, read in parts from CSV or parquet."""

from __future__ import annotations

import csv
import importlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cotwin.data.room import require_room

Kind = Literal["numbers", "words", "times"]
Numbers = NDArray[np.float64]

AT_ONCE = 2**16
"""Rows of a part."""
HEAD = 2**16
"""Bytes in which comments and the header have to end."""
BYTES = 600
"""That a reading takes, with all that is made of it; of a line of text twelve times its length."""
BLOCK = 2**22
"""Bytes that are looked at together."""
MOST_COLUMNS = 1000
MOST_QUOTED = 100
"""Separators in a line beside those between its values: within quotation marks."""
SEPARATORS = ",;\t"
INDEX = "__index_level_"
"""What pandas calls an index that it writes as a column."""
NO_TEXT = "it is no text in UTF-8; save it as UTF-8, or write parquet"


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


def is_parquet(path: Path) -> bool:
    """By its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def columns_of(path: Path) -> list[str]:
    """The names of a file's columns. Raises ValueError for what is no table."""
    if is_parquet(path):
        with _opened(path) as file:
            return [name for name in file.schema_arrow.names if not name.startswith(INDEX)]
    return _head(path).names


def read_table(path: Path, wanted: Mapping[str, Kind]) -> Table:
    """Some of the columns. Raises ValueError, naming the line, where they hold other things than are wanted."""
    return _read_parquet(path, wanted) if is_parquet(path) else _read_csv(path, wanted)


class _Columns:
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
        cure = "write numbers with a decimal point" if "," in shown else "correct it, or leave it empty"
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


@dataclass(frozen=True)
class _Head:
    """Of a CSV file: where its header begins, in which line, the names in it, what parts them, the decimal mark."""

    begin: int
    line: int
    names: list[str]
    separator: str
    decimal: str


def _read_csv(path: Path, wanted: Mapping[str, Kind]) -> Table:
    pandas = _imported("pandas", path)
    require_room((path.stat().st_size,), 12, f"{path}: its text, with the readings in it,", "cut the file into parts")
    head = _head(path)
    _require_lines(path, head)
    columns = _Columns(wanted, str(path), head.line + 1, "line")
    texts = {name: str for name, kind in wanted.items() if kind == "words"}
    with path.open("rb") as file, warnings.catch_warnings():
        # A line longer than the header would lose its end with a warning.
        warnings.simplefilter("error")
        file.seek(head.begin)
        try:
            parts = pandas.read_csv(
                file,
                sep=head.separator,
                decimal=head.decimal,
                chunksize=AT_ONCE,
                header=0,
                names=head.names,
                index_col=False,
                dtype=texts,
                skip_blank_lines=False,
                skipinitialspace=True,
                low_memory=False,
                encoding="utf-8",
            )
            for part in parts:
                columns.add({name: part[name] for name in wanted}, len(part))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: {NO_TEXT}.") from error
        except (pandas.errors.ParserError, pandas.errors.ParserWarning) as error:
            raise ValueError(f"{path}: {_parser_words(error)}.") from error
    told = [] if head.decimal == "." else ["numbers are read with a decimal comma, columns parted by ';'"]
    return columns.table(told)


def _head(path: Path) -> _Head:
    with path.open("rb") as file:
        start, cut = file.read(HEAD), bool(file.read(1))
    if b"\0" in start:
        raise ValueError(f"{path}: {NO_TEXT}.")
    begin, line = (3 if start.startswith(b"\xef\xbb\xbf") else 0), 1
    lines = start[begin:].splitlines(keepends=True)
    while lines and (not lines[0].strip() or lines[0].lstrip().startswith(b"#")):
        begin, line = begin + len(lines.pop(0)), line + 1
    if not lines or (len(lines) == 1 and cut):
        what = "its first line has no end" if lines else "there is no table in it" if start else "it is empty"
        raise ValueError(f"{path}: {what}; a table begins with the names of its columns, such as time,x,u.")
    try:
        header = lines[0].decode("utf-8").strip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {NO_TEXT}.") from error
    separator = max(SEPARATORS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator, skipinitialspace=True))]
    _require_names(path, names)
    below = lines[1].split(b";") if len(lines) > 1 else []
    commas = separator == ";" and any(b"," in one and b"." not in one for one in below)
    return _Head(begin, line, names, separator, "," if commas else ".")


def _require_lines(path: Path, head: _Head) -> None:
    """Raise ValueError for a line with far more values than there are names: a parser makes a column of each."""
    line, carried = head.line, 0
    with path.open("rb") as file:
        file.seek(head.begin)
        while block := file.read(BLOCK):
            marks = np.frombuffer(block, dtype=np.uint8)
            ends = np.flatnonzero(marks == ord("\n"))
            before = np.concatenate([[0], np.cumsum(marks == ord(head.separator))])
            counts = np.diff(before[np.concatenate([[0], ends, [len(block)]])])
            counts[0] += carried
            if counts.max() > len(head.names) + MOST_QUOTED:
                raise ValueError(
                    f"{path}: line {line + int(counts.argmax())} has more than {len(head.names) + MOST_QUOTED} "
                    "values, "
                    f"and the header {len(head.names)} names; give each line as many values as there are names."
                )
            line, carried = line + len(ends), int(counts[-1])


def _require_names(path: Path, names: list[str]) -> None:
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


def _parser_words(error: Exception) -> str:
    text = str(error).removeprefix("Error tokenizing data. C error: ").strip()
    if "EOF inside string" in text:
        return "a quotation mark is opened and never closed; close it, or take it out"
    if "Length of header" in text:
        return "lines have more values than the header has names; name every column"
    return f"a line does not fit the header ({text}); give each line as many values as there are names"


def _read_parquet(path: Path, wanted: Mapping[str, Kind]) -> Table:
    _imported("pandas", path)
    columns = _Columns(wanted, str(path), 0, "row")
    with _opened(path) as file:
        for name, kind in wanted.items():
            _require_type(path, name, kind, file.schema_arrow.field(name).type)
        texts = [name for name in wanted if "string" in str(file.schema_arrow.field(name).type)]
    # Each word once, however many rows refer to it.
    with _opened(path, read_dictionary=texts) as file:
        about = file.metadata
        require_room((about.num_rows,), BYTES, f"{path}: the readings in it", "cut the file into parts")
        # One group of rows is unpacked at once.
        largest = max((about.row_group(n).total_byte_size for n in range(about.num_row_groups)), default=0)
        require_room((largest,), 1, f"{path}: what is packed in it", "write it in smaller groups of rows")
        for batch in file.iter_batches(batch_size=AT_ONCE, columns=list(wanted)):
            columns.add({name: batch.column(name).to_pandas() for name in wanted}, batch.num_rows)
    if columns.rows != about.num_rows:
        raise ValueError(f"{path}: it declares {about.num_rows} rows and holds {columns.rows}; copy it again.")
    return columns.table()


@contextmanager
def _opened(path: Path, **options: Any) -> Iterator[Any]:
    """A parquet file. What goes wrong in it is one ValueError."""
    arrow = _imported("pyarrow", path)
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, **options) as file:
            _require_names(path, list(file.schema_arrow.names))
            yield file
    except (arrow.ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"{path}: a Parquet file that is damaged or cut off ({said}); copy it again.") from error


def _require_type(path: Path, name: str, kind: Kind, stored: Any) -> None:
    from pyarrow import types

    value = stored.value_type if types.is_dictionary(stored) else stored
    number = types.is_integer(value) or types.is_floating(value) or types.is_decimal(value)
    text = types.is_string(value) or types.is_large_string(value)
    fits = {
        "numbers": number,
        "words": number or text,
        "times": number or text or types.is_timestamp(value) or types.is_date(value),
    }
    if not fits[kind]:
        raise ValueError(
            f"{path}: column {name!r} is of the type {stored}, and {kind} are needed there; write it as such, or "
            "name the columns to read."
        )


def _imported(module: str, path: Path) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"{path}: to read tables, pip install cotwin[tables]: {module} is missing.") from error
