"""Tables in parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cotwin.data.room import require_room
from cotwin.data.tables import table
from cotwin.data.tables.table import Columns, Kind, Table, imported, require_names

BYTES = 600
"""That a reading takes, with all that is made of it."""
INDEX = "__index_level_"
"""What pandas calls an index that it writes as a column."""


def names_in_parquet(path: Path) -> list[str]:
    """Of the columns. Raises ValueError for a file that is damaged."""
    with _opened(path) as file:
        return [name for name in file.schema_arrow.names if not name.startswith(INDEX)]


def read_parquet(path: Path, wanted: Mapping[str, Kind]) -> Table:
    """Some of the columns. Raises ValueError, naming the row, where they hold other things than are wanted."""
    imported("pandas", path)
    columns = Columns(wanted, str(path), 0, "row")
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
        for batch in file.iter_batches(batch_size=table.AT_ONCE, columns=list(wanted)):
            columns.add({name: batch.column(name).to_pandas() for name in wanted}, batch.num_rows)
    if columns.rows != about.num_rows:
        raise ValueError(f"{path}: it declares {about.num_rows} rows and holds {columns.rows}; copy it again.")
    return columns.table()


@contextmanager
def _opened(path: Path, **options: Any) -> Iterator[Any]:
    """A parquet file. What goes wrong in it is one ValueError."""
    arrow = imported("pyarrow", path)
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, **options) as file:
            require_names(path, list(file.schema_arrow.names))
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
