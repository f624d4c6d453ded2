"""Tables of any format that is read: which columns they have, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cotwin.data.tables.csv_file import names_in_csv, read_csv
from cotwin.data.tables.parquet_file import names_in_parquet, read_parquet
from cotwin.data.tables.table import Kind, Table


def columns_of(path: Path) -> list[str]:
    """The names of a file's columns. Raises ValueError for what is no table."""
    return names_in_parquet(path) if _is_parquet(path) else names_in_csv(path)


def read_table(path: Path, wanted: Mapping[str, Kind]) -> Table:
    """Some of the columns. Raises ValueError, naming the line, where they hold other things than are wanted."""
    return read_parquet(path, wanted) if _is_parquet(path) else read_csv(path, wanted)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"
