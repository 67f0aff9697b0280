"""Reads the rings of the Tachograph recorder: metrics in shared memory, without a server in
between.

    import tachograph

    with tachograph.Ring() as ring:
        record = ring.latest()
        print(record["host", "load1"])

A ring is a file in memory that one writer fills, a record per tick, and that any number of readers
map read-only. Whatever is given out of it was whole: what the writer overwrote while it was being
read is dropped, and said.
"""

from __future__ import annotations

from ._directory import Series
from ._error import (
    Corrupt,
    FormatError,
    Lost,
    Missing,
    Nameless,
    NotYet,
    OpenError,
    Overrun,
    ReadError,
    RingError,
    Unsupported,
    Untrusted,
)
from ._ring import Column, Liveness, RawRecord, Record, Ring
from ._window import ArrayWindow, Gap, Window

__version__ = "0.1.0"

__all__ = [
    "ArrayWindow",
    "Column",
    "Corrupt",
    "FormatError",
    "Gap",
    "Liveness",
    "Lost",
    "Missing",
    "Nameless",
    "NotYet",
    "OpenError",
    "Overrun",
    "RawRecord",
    "ReadError",
    "Record",
    "Ring",
    "RingError",
    "Series",
    "Unsupported",
    "Untrusted",
    "Window",
]
