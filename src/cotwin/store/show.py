"""Generated windows as plain `.npy` files beside a run, for people to look at. Nothing reads them."""

from __future__ import annotations

import io
import logging
import math
from pathlib import Path

import numpy as np
import torch

from cotwin.folder import Folder, write_at
from cotwin.windows import Source

logger = logging.getLogger(__name__)


def show(windows: Source, directory: Path, name: str, chunk_bytes: int) -> None:
    """Write all windows into a file of this name, `chunk_bytes` at once. A warning says if the disk refuses."""
    try:
        with (
            Folder(directory.parent) as beside,
            beside.folder(directory.name, make=True) as folder,
            folder.anew(name) as file,
        ):
            _write(file, windows, chunk_bytes)
    except OSError as error:
        logger.warning("%s is not written: %s.", directory / name, error)


def _write(file: int, windows: Source, chunk_bytes: int) -> None:
    number, *shape = windows.shape
    bytes_each, header = windows.dtype.itemsize, io.BytesIO()
    description = {"descr": f"<f{bytes_each}", "fortran_order": False, "shape": windows.shape}
    np.lib.format.write_array_header_1_0(header, description)
    position = write_at(file, header.getvalue(), 0)
    at_once = max(1, chunk_bytes // (bytes_each * math.prod(shape)))
    for first in range(0, number, at_once):
        part = torch.empty(min(at_once, number - first), *shape, dtype=windows.dtype)
        windows.write(range(first, first + len(part)), part, range(len(part)))
        position = write_at(file, part.numpy().data.cast("B"), position)
