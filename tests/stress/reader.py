#!/usr/bin/env python3
"""Follows a ring for a while and looks for torn records: `reader.py RING SECONDS [--plain]`.

The words of a record are functions of its sequence and their column, so that a torn one shows
itself. With numpy a record is checked at once, otherwise, or with `--plain`, word by word. The file
may not be there yet, its writer may be dead for a while, and another file may take its place.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "clients" / "python" / "src"))

import tachograph  # noqa: E402

MULTIPLIER = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
# How long one look lasts that finds nothing, in seconds.
PATIENCE_S = 0.1
TICK_DURATION = 5

Check = Callable[[int, memoryview], bool]


def is_whole_plain(seq: int, words: memoryview) -> bool:
    """Whether all words are those of `seq`."""
    return all(
        word == ((seq << 20 | column) * MULTIPLIER & MASK) >> 1 for column, word in enumerate(words)
    )


def by_numpy() -> Check:
    """The same with arrays. Raises ImportError."""
    import numpy as np

    columns: Any = np.arange(1 << 17, dtype=np.uint64)
    multiplier, one = np.uint64(MULTIPLIER), np.uint64(1)

    def is_whole(seq: int, words: memoryview) -> bool:
        found: Any = np.frombuffer(words, np.uint64)
        numbers = columns[: len(found)] | np.uint64(seq << 20 & MASK)
        return bool(np.array_equal(numbers * multiplier >> one, found))

    return is_whole


class Counts:
    """What was seen."""

    def __init__(self) -> None:
        self.reads = self.overruns = self.gaps = self.torn = self.reopened = 0

    def __str__(self) -> str:
        return (
            f"reads {self.reads} overruns {self.overruns} gaps {self.gaps} torn {self.torn} "
            f"reopened {self.reopened}"
        )


def follow(path: str, end: float, is_whole: Check, counts: Counts) -> None:
    """Reads every record that it can until the time `end` of the monotonic clock."""
    seq = 0
    known: set[tuple[int, int]] = set()
    while time.monotonic() < end:
        try:
            ring = tachograph.Ring(path)
        except tachograph.OpenError:
            # Not there yet, or not all of it.
            time.sleep(0.01)
            continue
        with ring:
            while time.monotonic() < end:
                known.add(ring.ring_id)
                try:
                    head = ring.wait(seq, PATIENCE_S)
                except tachograph.OpenError:
                    break
                if ring.head < seq:
                    # Another ring, whose numbers begin anew.
                    seq = 0
                if head is not None:
                    seq = read_up_to(ring, seq, head, is_whole, counts)
    counts.reopened = max(len(known) - 1, 0)


def read_up_to(ring: tachograph.Ring, seq: int, head: int, is_whole: Check, counts: Counts) -> int:
    """Reads the records after `seq` up to `head`, and returns the last that was asked for."""
    bounds = ring.bounds
    if bounds is not None and bounds[0] > seq + 1:
        counts.overruns += bounds[0] - seq - 1
        seq = bounds[0] - 1
    while seq < head:
        seq += 1
        try:
            header, words = ring.read_raw(seq)
        except tachograph.Overrun:
            counts.overruns += 1
        except tachograph.ReadError:
            counts.gaps += 1
        else:
            if header[TICK_DURATION] == seq and is_whole(seq, words):
                counts.reads += 1
            else:
                counts.torn += 1
                print(f"torn: {seq} {header} {words.tolist()}", file=sys.stderr)
    return seq


def main(arguments: list[str]) -> int:
    plain = "--plain" in arguments
    places = [argument for argument in arguments if argument != "--plain"]
    if len(places) != 2:
        print("usage: reader.py RING SECONDS [--plain]", file=sys.stderr)
        return 2
    check: Check = is_whole_plain
    if not plain:
        try:
            check = by_numpy()
        except ImportError:
            pass
    counts = Counts()
    follow(places[0], time.monotonic() + float(places[1]), check, counts)
    print(counts, flush=True)
    return 0 if counts.torn == 0 and counts.reads > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
