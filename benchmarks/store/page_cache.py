"""Drops files from the kernel's page cache, and checks that they are gone. Linux; no other user is disturbed."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

CAN_DROP = sys.platform == "linux"


def drop(files: Iterable[Path]) -> None:
    """Make the next reading of these files come from the disk. They have to be synced already."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def cached_share(files: Iterable[Path]) -> float:
    """The share of these files' pages that is in the page cache, by mincore."""
    pages = cached = 0
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    for file in files:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            found = np.empty(-(-len(mapped) // mmap.PAGESIZE), dtype=np.uint8)
            address = np.frombuffer(mapped, dtype=np.uint8).ctypes.data
            if mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), found.ctypes.data_as(ctypes.c_void_p)):
                raise OSError(ctypes.get_errno(), f"mincore of {file}")
            pages, cached = pages + len(found), cached + int((found & 1).sum())
    return cached / pages


def require_dropped(files: Iterable[Path]) -> None:
    """Raise unless nearly nothing of these files is in the page cache."""
    share = cached_share(files)
    if share > 0.01:
        raise RuntimeError(f"{share:.0%} of the pages are still cached; cold figures would mean nothing.")
