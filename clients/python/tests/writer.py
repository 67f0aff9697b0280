"""A plain writer of rings for the tests: the format by its letter, and no lock.

It shares no line with the reader. A word is stored as one item of a memoryview, which is one store;
`struct.pack_into` would store zeros first.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib

MASK = (1 << 64) - 1
ABSENT = MASK
LIVES = MASK
HEADER_BYTES = 4096
FIRST_SLOT_ALIGN = 4096


def self_evident(seq: int, column: int) -> int:
    """The word of a column in the record `seq`: a function of both, so that a tear shows itself."""
    return ((seq << 20 | column) * 0x9E3779B97F4A7C15 & MASK) >> 1


def word_of(value: float) -> int:
    """The word of a double."""
    (word,) = struct.unpack("Q", struct.pack("d", value))
    return int(word)


class Writer:
    """A ring in a new file, mapped for writing."""

    def __init__(
        self,
        path: str,
        slots: int = 8,
        columns: int = 4,
        entries: int = 16,
        arena: int = 1024,
        interval_ns: int = 1_000_000_000,
        ring_id: int = 0x1111,
        fd: int | None = None,
    ) -> None:
        self.slots, self.columns = slots, columns
        self.slot_bytes = -(-(8 + columns) * 8 // 64) * 64
        self.arena_offset = HEADER_BYTES + entries * 64
        self.slots_offset = -(-(self.arena_offset + arena) // 4096) * 4096
        self.file_bytes = -(-(self.slots_offset + slots * self.slot_bytes) // 4096) * 4096
        if fd is None:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self.fd = fd
        os.ftruncate(fd, self.file_bytes)
        self.map = mmap.mmap(fd, self.file_bytes)
        self.words = memoryview(self.map).cast("Q")
        magic = int.from_bytes(b"\x89TACHO\r\n", "little")
        immutable = [
            magic, 0x0102030405060708, 1, 1, 0, 0, HEADER_BYTES, self.file_bytes, self.slots_offset,
            self.slot_bytes, slots, columns, HEADER_BYTES, 64, entries, self.arena_offset, arena,
            ring_id, 0x2222, 0x3333, 0x4444, interval_ns, 1_700_000_000_000_000_000, 0,
        ]  # fmt: skip
        for index, word in enumerate(immutable):
            self.words[index] = word
        self.repair_checksum()
        self.words[48], self.words[49] = 1, 1
        self.head = 0

    def repair_checksum(self) -> None:
        """Makes the header's checksum right again."""
        self.words[31] = zlib.crc32(bytes(memoryview(self.map)[:248]))

    def add(
        self, object: str, metric: str, column: int, first: int, last: int = LIVES, repr: int = 1
    ) -> int:
        """Appends an entry, and returns its number."""
        index = self.words[52]
        at = HEADER_BYTES // 8 + index * 8
        fields = [
            self._name(object),
            self._name(metric),
            1 | 1 << 8 | repr << 16,
            column,
            first,
            last,
        ]
        for offset, word in enumerate(fields):
            self.words[at + offset] = word
        self.words[52] = index + 1
        self.words[54] += 1
        return index

    def end(self, index: int, last: int) -> None:
        """Ends the series of entry `index`."""
        self.words[HEADER_BYTES // 8 + index * 8 + 5] = last
        self.words[54] += 1

    def _name(self, name: str) -> int:
        used, text = self.words[53], name.encode()
        at = self.arena_offset // 8 + used // 8
        for offset in range(0, len(text), 8):
            self.words[at + offset // 8] = int.from_bytes(
                text[offset : offset + 8].ljust(8, b"\0"), "little"
            )
        self.words[53] = used + -(-len(text) // 8) * 8
        return used << 32 | len(text)

    def slot(self, seq: int) -> int:
        """Word at which the slot of `seq` begins."""
        return (self.slots_offset + seq % self.slots * self.slot_bytes) // 8

    def publish(
        self,
        words: list[int] | None = None,
        flags: int = 0,
        missed: int = 0,
        time_ns: int | None = None,
        run_first: int = 1,
        epoch: int = 1,
    ) -> int:
        """Publishes the next record, of self-evident words if none are given."""
        seq = self.head + 1
        if words is None:
            words = [self_evident(seq, column) for column in range(self.columns)]
        time_ns = seq * 1_000_000_000 if time_ns is None else time_ns
        header = [
            time_ns,
            seq * 1_000_000 + 7,
            flags << 32 | epoch,
            len(words),
            seq,
            run_first,
            missed,
        ]
        slot = self.slot(seq)
        self.words[slot] = 2 * seq - 1
        for offset, word in enumerate(header + words):
            self.words[slot + 1 + offset] = word
        self.words[slot] = 2 * seq
        self.words[32] = self.head = seq
        self.words[33] = seq * 1_000_000 + 7
        return seq

    def close(self) -> None:
        """Gives the mapping back."""
        self.words.release()
        self.map.close()
        os.close(self.fd)
