"""Tables as text: CSV, in the ways that spreadsheets and loggers write it."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cotwin.data.room import require_room
from cotwin.data.tables import table
from cotwin.data.tables.table import Columns, Kind, Table, imported, require_names

BLOCK = 2**22
"""Bytes that are looked at together."""
HEAD = 2**16
"""Bytes in which comments and the header have to end."""
MOST_QUOTED = 100
"""Separators in a line beside those between its values: within quotation marks."""
SEPARATORS = ",;\t"
NO_TEXT = "it is no text in UTF-8; save it as UTF-8, or write parquet"


@dataclass(frozen=True)
class _Head:
    """Of a CSV file: where its header begins, in which line, the names in it, what parts them, the decimal mark."""

    begin: int
    line: int
    names: list[str]
    separator: str
    decimal: str


def names_in_csv(path: Path) -> list[str]:
    """Of the columns. Raises ValueError for what is no table."""
    return _head(path).names


def read_csv(path: Path, wanted: Mapping[str, Kind]) -> Table:
    """Some of the columns. Raises ValueError, naming the line, where they hold other things than are wanted."""
    pandas = imported("pandas", path)
    require_room((path.stat().st_size,), 12, f"{path}: its text, with the readings in it,", "cut the file into parts")
    head = _head(path)
    _require_lines(path, head)
    columns = Columns(wanted, str(path), head.line + 1, "line")
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
                chunksize=table.AT_ONCE,
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
    require_names(path, names)
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


def _parser_words(error: Exception) -> str:
    text = str(error).removeprefix("Error tokenizing data. C error: ").strip()
    if "EOF inside string" in text:
        return "a quotation mark is opened and never closed; close it, or take it out"
    if "Length of header" in text:
        return "lines have more values than the header has names; name every column"
    return f"a line does not fit the header ({text}); give each line as many values as there are names"
