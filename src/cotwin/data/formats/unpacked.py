"""How many bytes a compressed chunk may become, told before it is unpacked.

Formats: RFC 8878 (Zstandard), RFC 1950 and 1952 (zlib, gzip), the headers of Blosc and of numcodecs' LZ4.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection

BLOCK = 2**17
"""Of Zstandard, bytes that one block becomes, at most."""
ZSTD, SKIPPED = 0xFD2FB528, range(0x184D2A50, 0x184D2A60)
DEFLATE = 1032
"""Bytes that zlib makes of one, at most."""
AT_ONCE = 2**20


def unpacks_to_more(packed: bytes, codecs: Collection[str], declared: int, room: int) -> bool:
    """Whether a chunk would become more bytes than those that are declared.

    room: to which Deflate, which does not say beforehand, may unpack without being looked at.

    >>> bomb = zlib.compress(bytes(10**6))
    >>> unpacks_to_more(bomb, {"zlib"}, 100, 0), unpacks_to_more(bomb, {"zlib"}, 10**6, 0)
    (True, False)
    """
    if "zstd" in codecs:
        return _of_zstd(packed) > declared
    if "blosc" in codecs:
        return _number(packed, 4, 4) > declared
    if "lz4" in codecs:
        return _number(packed, 0, 4) > declared
    if {"gzip", "zlib"}.intersection(codecs) and len(packed) * DEFLATE > max(room, declared):
        return _of_deflate(packed, declared) > declared
    return False


def _of_zstd(packed: bytes) -> int:
    """What all frames claim, as much as which is made room for; where one does not, as much as their blocks hold."""
    blocks = claimed = place = 0
    all_claim = True
    while place + 5 <= len(packed):
        magic, flags = _number(packed, place, 4), packed[place + 4]
        if magic in SKIPPED:
            place += 8 + _number(packed, place + 4, 4)
            continue
        if magic != ZSTD:
            break
        single, size = flags >> 5 & 1, flags >> 6
        place += 5 + (not single) + (0, 1, 2, 4)[flags & 3]
        length = (single, 2, 4, 8)[size]
        all_claim &= length > 0
        claimed += _number(packed, place, length) + 256 * (length == 2)
        place += length
        last = 0
        while not last and place + 3 <= len(packed):
            head = _number(packed, place, 3)
            last, kind, size = head & 1, head >> 1 & 3, head >> 3
            # A block that is stored, one byte again and again, or compressed.
            blocks += BLOCK if kind == 2 else size
            place += 3 + (1 if kind == 1 else size)
        place += 4 * (flags >> 2 & 1)
    return claimed if all_claim else blocks


def _number(packed: bytes, place: int, length: int) -> int:
    return int.from_bytes(packed[place : place + length], "little")


def _of_deflate(packed: bytes, most: int) -> int:
    """Counted, no further than there is more than `most`."""
    unpacker, total, rest = zlib.decompressobj(47), 0, packed
    while rest and total <= most:
        part = unpacker.decompress(rest, AT_ONCE)
        total, rest = total + len(part), unpacker.unconsumed_tail
    return total
