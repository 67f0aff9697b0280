"""The immutable part of a ring's header: bytes of any origin in, a checked `Header` out."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from . import _layout as at
from ._error import FormatError

_BLOCK_BYTES = (at.AT_CHECKSUM + 1) * at.WORD
_SWAPPED = {
    name: int.from_bytes(value.to_bytes(8, "little"), "big")
    for name, value in (("magic", at.MAGIC), ("endian_tag", at.ENDIAN_TAG))
}


class Header(NamedTuple):
    """What a ring says of itself once and for all. Sizes and offsets are in bytes."""

    version: int
    file_bytes: int
    slots_offset: int
    slot_bytes: int
    slot_count: int
    column_capacity: int
    directory_offset: int
    entry_bytes: int
    entry_capacity: int
    arena_offset: int
    arena_bytes: int
    ring_id: tuple[int, int]
    boot_id: tuple[int, int]
    interval_ns: int
    created_ns: int
    first_seq: int


def decode(block: bytes, file_bytes: int) -> Header:
    """Checks the first bytes of a file of `file_bytes`. Raises `FormatError`, naming the field.

    `block` is a copy, so nothing can change between check and use.
    """
    if len(block) < _BLOCK_BYTES or file_bytes < at.HEADER_BYTES:
        magic = int.from_bytes(block[:8], "little")
        raise FormatError("magic", magic, "not a ring: the file is shorter than a header")
    words = struct.unpack_from(f"={at.AT_CHECKSUM + 1}Q", block)
    magic, tag = words[at.AT_MAGIC], words[at.AT_ENDIAN_TAG]
    if magic == _SWAPPED["magic"] or tag == _SWAPPED["endian_tag"]:
        raise FormatError("endian_tag", tag, "a ring of a machine with the other byte order")
    _check("magic", magic, magic == at.MAGIC, "not a ring")
    _check("endian_tag", tag, tag == at.ENDIAN_TAG)
    version, compatible = words[at.AT_VERSION], words[at.AT_COMPATIBLE_VERSION]
    newer = f"it needs a newer reader, this one reads version {at.VERSION}"
    _check("compatible_version", compatible, compatible <= at.VERSION, newer)
    flags = words[at.AT_INCOMPATIBLE_FLAGS]
    _check("incompatible_flags", flags, not flags & ~at.INCOMPATIBLE_FLAGS_KNOWN, "unknown bits")
    computed = zlib.crc32(block[: at.AT_CHECKSUM * at.WORD])
    stored = words[at.AT_CHECKSUM]
    _check("checksum", stored, stored == computed, f"the header's words give {computed:#x}")
    _check("version", version, version >= 1 and version >= compatible)
    header_bytes = words[at.AT_HEADER_BYTES]
    _check(
        "header_bytes", header_bytes, at.HEADER_BYTES_LEAST <= header_bytes <= at.HEADER_BYTES_MAX
    )
    header = Header(
        version=version,
        file_bytes=words[at.AT_FILE_BYTES],
        slots_offset=words[at.AT_SLOTS_OFFSET],
        slot_bytes=words[at.AT_SLOT_BYTES],
        slot_count=words[at.AT_SLOT_COUNT],
        column_capacity=words[at.AT_COLUMN_CAPACITY],
        directory_offset=words[at.AT_DIRECTORY_OFFSET],
        entry_bytes=words[at.AT_ENTRY_BYTES],
        entry_capacity=words[at.AT_ENTRY_CAPACITY],
        arena_offset=words[at.AT_ARENA_OFFSET],
        arena_bytes=words[at.AT_ARENA_BYTES],
        ring_id=(words[at.AT_RING_ID], words[at.AT_RING_ID_HIGH]),
        boot_id=(words[at.AT_BOOT_ID], words[at.AT_BOOT_ID_HIGH]),
        interval_ns=words[at.AT_INTERVAL_NS],
        created_ns=words[at.AT_CREATED_NS],
        first_seq=words[at.AT_FIRST_SEQ],
    )
    _check_geometry(header)
    _check("interval_ns", header.interval_ns, header.interval_ns > 0)
    _check("first_seq", header.first_seq, header.first_seq <= at.RESUME_MAX)
    truncated = f"truncated: the file has {file_bytes} bytes"
    _check("file_bytes", header.file_bytes, header.file_bytes <= file_bytes, truncated)
    return header


def _check(field: str, value: int, holds: bool, reason: str = "") -> None:
    if not holds:
        raise FormatError(field, value, reason)


def _check_geometry(header: Header) -> None:
    """Every size is within the format's bounds, and the regions follow one another in the file."""
    slots, columns = header.slot_count, header.column_capacity
    _check("slot_count", slots, at.SLOTS_MIN <= slots <= at.SLOTS_MAX and slots & (slots - 1) == 0)
    _check("column_capacity", columns, 1 <= columns <= at.COLUMNS_MAX)
    _check("entry_capacity", header.entry_capacity, 1 <= header.entry_capacity <= at.ENTRIES_MAX)
    arena = header.arena_bytes
    _check("arena_bytes", arena, at.WORD <= arena <= at.ARENA_BYTES_MAX and arena % at.WORD == 0)
    record_bytes = (at.RECORD_WORDS + columns) * at.WORD
    _check(
        "slot_bytes",
        header.slot_bytes,
        record_bytes <= header.slot_bytes <= at.SLOT_BYTES_MAX
        and header.slot_bytes % at.SLOT_ALIGN == 0,
    )
    _check(
        "entry_bytes",
        header.entry_bytes,
        at.ENTRY_BYTES <= header.entry_bytes <= at.ENTRY_BYTES_MAX
        and header.entry_bytes % at.WORD == 0,
    )
    _check("file_bytes", header.file_bytes, header.file_bytes <= at.FILE_BYTES_MAX)
    regions = (
        (
            "directory_offset",
            header.directory_offset,
            at.WORD,
            header.entry_capacity * header.entry_bytes,
        ),
        ("arena_offset", header.arena_offset, at.WORD, arena),
        ("slots_offset", header.slots_offset, at.SLOT_ALIGN, slots * header.slot_bytes),
    )
    for field, start, align, _ in regions:
        _check(field, start, start % align == 0)
    end = at.HEADER_BYTES_LEAST
    for field, start, _, length in regions:
        _check(field, start, end <= start and start + length <= header.file_bytes)
        end = start + length
