"""Tables as pandas, Excel and loggers write them; and files that are none: one message, the line and the cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from cotwin.data.tables import table
from cotwin.data.tables.known import columns_of, read_table
from cotwin.data.tables.table import Kind, Table

WANTED: dict[str, Kind] = {"well": "words", "time": "times", "x": "numbers", "u": "numbers"}
FRAME = pd.DataFrame(
    {
        "well": ["A", "B", "A", None],
        "time": [0.0, 0.5, 1.0, 1.5],
        "x": [1, 2, 3, 4],
        "u": [0.25, np.nan, -1.5e-3, 1e20],
        "note": ["", "dry", "", "x"],
    }
)


def written(path: Path, how: str) -> Path:
    """By pandas, in one of the ways that there are."""
    path /= "table.parquet" if how == "parquet" else "table.csv"
    match how:
        case "parquet":
            FRAME.to_parquet(path)
        case "semicolons":
            FRAME.to_csv(path, sep=";", decimal=",", index=False)
        case "tabs":
            FRAME.to_csv(path, sep="\t")  # with an index
        case "excel":
            FRAME.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")
        case "commented":
            path.write_text("# logger 7\n\n#\n" + FRAME.to_csv(index=False))
        case "blank lines":
            path.write_text(FRAME.to_csv(index=False).replace("\n", "\n\n"))
        case _:
            FRAME.to_csv(path, index=False)
    return path


def numbers_of(table: Table) -> dict[str, Any]:
    words = table.words["well"]
    there = ~np.isnan(table.numbers["time"])
    named = np.array([*words.distinct, ""], dtype=object)[words.code]
    return {"well": named[there].tolist(), **{name: one[there] for name, one in table.numbers.items()}}


@pytest.mark.parametrize("how", ["plain", "parquet", "semicolons", "tabs", "excel", "commented", "blank lines"])
@pytest.mark.parametrize("at_once", [2**16, 2])
def test_every_way_to_write_a_table_reads_the_same(
    tmp_path: Path, how: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "AT_ONCE", at_once)
    path = written(tmp_path, how)
    assert [name for name in columns_of(path) if name] == list(FRAME)
    found = numbers_of(read_table(path, WANTED))
    assert found["well"] == ["A", "B", "A", ""]
    for name in ("time", "x", "u"):
        np.testing.assert_array_equal(found[name], FRAME[name].to_numpy(dtype=float))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("\n# nothing\n", "there is no table in it"),
        ("0.1,0.2,0.3\n1,2,3\n", "its first line holds numbers"),
        ("time,x,x\n1,2,3\n", "several columns are called 'x'"),
        ("time,well,x,u\n0,A,1,2\n0.5,A,1,wet\n", "column 'u' holds 'wet' in line 3, which is no number"),
        ("#\ntime,well,x,u\n0,A,1,2\n\n0.5,A,1,True\n", "'True' in line 5"),
        ('time,well,x,u\n0,A,1,2\n0.5,A,1,"2,5"\n', "'2,5' in line 3.*decimal point"),
        ('time,well,x,u\n0,A,1,"2\n0.5,A,1,3\n', "a quotation mark is opened and never closed"),
        ("time,well,x,u\n0,A,1,2\n0.5,A,1,3,4\n", "a line does not fit the header .*line 3"),
        ("time,well,x,u\n0,A,1,2,7\n0.5,A,1,3,4\n", "more values than the header has names"),
        ("time,well,x,u\n31.12.2024,A,1,2\n", "neither a number|no number"),
        ("time,well,x,u\n2024-01-01,A,1,2\n7,A,1,2\n", "neither a number nor a date"),
        (
            "time,well,x,u\n2024-01-01T00:00Z,A,1,2\n2024-01-01T01:00,A,1,2\n",
            "some of the dates .* say their time zone",
        ),
        ("time,well,x,u\n0,A,1,2\n0.5" + "," * 10_000_000, "line 3 has more than 104 values, and the header 4 names"),
        ("x" * 100_000, "its first line has no end"),
        (",".join(f"c{n}" for n in range(2000)) + "\n", "it has 2,000 columns"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        read_table(path, WANTED)
    assert str(path) in str(raised.value)


def nested(path: Path) -> None:
    frame = pa.table({"well": ["A"], "time": [0.0], "x": [1.0], "u": [[1.0, 2.0]]})
    pyarrow.parquet.write_table(frame, path)


def texts(path: Path) -> None:
    FRAME.assign(u=["1", "2", "3", "4"]).to_parquet(path)


def cut(path: Path) -> None:
    FRAME.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])


def cut_within(path: Path) -> None:
    FRAME.to_parquet(path, compression=None)
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (nested, "column 'u' is of the type list"),
        (texts, "column 'u' is of the type .*string, and numbers are needed"),
        (cut, "damaged or cut off"),
        (cut_within, "damaged or cut off"),
        (lambda path: path.write_bytes(b"PAR1"), "damaged or cut off"),
        (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(range(256))), "no text in UTF-8"),
        (lambda path: path.write_text("time,well,x,u\n0,A,1,2\n", encoding="utf-16"), "no text in UTF-8"),
        (lambda path: path.write_bytes("time,well,x,u\n0,é,1,2\n".encode("latin-1")), "no text in UTF-8"),
    ],
)
def test_files_of_other_kinds_are_refused(tmp_path: Path, write: Callable[[Path], Any], message: str) -> None:
    path = tmp_path / "table.csv"
    write(path)
    with pytest.raises(ValueError, match=message):
        read_table(path, {name: WANTED[name] for name in columns_of(path) if name in WANTED})


@pytest.mark.parametrize("how", ["plain", "parquet"])
def test_more_than_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, how)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=100))
    with pytest.raises(ValueError, match=r"takes .* GB of memory"):
        read_table(path, WANTED)


def test_a_long_word_of_many_rows_is_held_once(tmp_path: Path) -> None:
    """As text the column would be 100 GB."""
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, dtype=np.int32)), ["well" * 250_000])
    numbers = pa.array(np.zeros(100_000))
    table = pa.table({"well": words, "time": numbers})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet", store_schema=False)
    found = read_table(tmp_path / "t.parquet", {"well": "words", "time": "times"})
    assert found.words["well"].code.tolist() == [0] * 100_000


@pytest.mark.parametrize("how", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("dates", "since"),
    [
        (["2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00", None], "2024-03-31 00:00:00 UTC"),
        (["2024-02-29 23:00", "2024-03-01", None], "2024-02-29 23:00:00"),
    ],
)
def test_dates_are_seconds_after_the_first(tmp_path: Path, how: str, dates: Any, since: str) -> None:
    """Of which the clocks' change in spring makes no hour."""
    frame = pd.DataFrame({"time": dates, "u": [1.0, 2.0, 3.0]})
    if how == "csv":
        frame.to_csv(path := tmp_path / "t.csv", index=False)
    else:
        frame["time"] = pd.to_datetime(frame["time"], format="ISO8601", utc="UTC" in since)
        frame.to_parquet(path := tmp_path / "t.parquet")
    table = read_table(path, {"time": "times", "u": "numbers"})
    assert table.dates == since
    np.testing.assert_array_equal(table.numbers["time"], [0, 3600, np.nan])
