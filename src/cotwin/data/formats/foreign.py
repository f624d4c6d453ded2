"""Files of formats that Cotwin does not read: what such a file is, and how its arrays become one that is read."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

from cotwin.data.stored.contents import setting

MOST_NAMED = 12

CURE = (
    'write its arrays with np.savez("mine.npz", x=x, t=t, u=u), u as [T, x] or [N, T, x]; docs/data.md lists the '
    "keys."
)
# By the bytes that a file begins with: what it is, and what opens it.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "packed with gzip", "gunzip"),
    (b"\x80", "a Python pickle, which may run code of whoever wrote it", "the program that wrote it"),
)


def what_it_is(path: Path) -> str:
    """One sentence for a file or folder of a format that is not read, with the way to read it."""
    if path.is_dir():
        return f"{path}: a folder of no format that Cotwin reads; name a file in it."
    if not path.is_file():
        return f"{path}: neither a file nor a folder."
    with path.open("rb") as file:
        begin = file.read(512)
    for signature, what, opener in SIGNATURES:
        if begin.startswith(signature):
            return f"{path}: {what}, which Cotwin does not read; open it with {opener} and {CURE}"
    if begin and all(byte >= 32 or byte in b"\t\r\n\f" for byte in begin):
        return (
            f"{path}: text. If it is a table of readings, say so: 'csv' as {setting('format')}. Else open it with "
            f"np.loadtxt and {CURE}"
        )
    return (
        f"{path}: neither its content nor its ending {path.suffix!r} is of a format that Cotwin reads; docs/data.md "
        f"lists them. Open it with what wrote it and {CURE}"
    )


def about_zip(archive: ZipFile) -> str | None:
    """What a zip file is if it is not npz; None if it holds arrays, or nothing."""
    names = archive.namelist()
    if any(name.endswith(".npy") for name in names) or not names:
        return None
    if any(name.endswith("data.pkl") for name in names):
        opener = "torch.load(..., weights_only=True)"
        return f"a PyTorch file, which Cotwin does not read; open it with {opener} and {CURE}"
    return f"a zip file of {_some(names)}, no npz; unpack it and name the file."


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
