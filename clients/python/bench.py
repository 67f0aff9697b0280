#!/usr/bin/env python3
"""What reading costs from Python: `PYTHONPATH=src python3 bench.py`.

Makes a ring as the recorder's default one is (400 columns, a record a second, over an hour of
them), reads it in the ways that programs do, checks every answer, and prints for each the median,
the 99th percentile and the least of many runs. The same again while another process publishes a
thousand records a second. With numpy the windows are read both ways.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent / "tests"))

import tachograph  # noqa: E402
from writer import Writer, self_evident  # noqa: E402

COLUMNS = 400
SLOTS = 4096
COLUMN = 7
HALF_HOUR_S = 1800
RUNS = 300
# How many calls are timed together where one is too short for the clock.
BATCH = 200
LIVE_PAUSE_S = 0.001

Work = Callable[[], object]


def report(name: str, work: Work, batch: int, goal_us: float) -> bool:
    """Times `work` and prints a line; whether the median meets the goal."""
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter_ns()
        for _ in range(batch):
            work()
        times.append((time.perf_counter_ns() - begin) / batch / 1000)
    times.sort()
    median = statistics.median(times)
    met = goal_us == 0 or median < goal_us
    goal = f"  goal < {goal_us:.0f} us  {'met' if met else 'MISSED'}" if goal_us else ""
    p99 = times[len(times) * 99 // 100]
    print(f"{name:44} p50 {median:9.2f} us  p99 {p99:9.2f}  least {times[0]:9.2f}{goal}")
    return met


def publish_for_ever(writer: Writer) -> None:
    """A writer at work, until it is ended."""
    while True:
        # Only the column that is checked; to make 400 words would take Python longer than a tick.
        seq = writer.head + 1
        words = [seq] * COLUMNS
        words[COLUMN] = self_evident(seq, COLUMN)
        writer.publish(words)
        time.sleep(LIVE_PAUSE_S)


def check(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def right(window: Any) -> Any:
    """Fails unless a window has every record's own value."""
    values = list(window["nic/e7", "receive_bytes"])
    expected = [self_evident(int(seq), COLUMN) for seq in window.seq]
    check(len(values) > 0 and values == expected, f"{window} has wrong values")
    return window


def measure(ring: tachograph.Ring, live: bool) -> bool:
    column = ring.find("nic/e7", "receive_bytes")
    mode = "live" if live else "quiet"
    first = ring.head - HALF_HOUR_S + 1
    met = True

    value, head = column.latest(), ring.head
    check(live or value == self_evident(head, COLUMN), "the newest value is wrong")
    met &= report(f"{mode}: latest of one column", column.latest, BATCH, 5)
    five = [ring.find(f"nic/e{number}", "receive_bytes") for number in range(COLUMN, COLUMN + 5)]
    report(f"{mode}: latest of five columns, one record", lambda: ring.latest(five), BATCH, 0)
    record = ring.latest()
    assert record is not None
    check(record["nic/e7", "receive_bytes"] == self_evident(record.seq, COLUMN), "a wrong record")
    report(f"{mode}: latest, all {len(record)} values", ring.latest, 5, 0)

    for arrays in (True, False) if importlib.util.find_spec("numpy") else (False,):
        kind = "arrays" if arrays else "lists"

        def by_sequence(arrays: bool = arrays) -> Any:
            return ring.window(first=first, series=column.key, arrays=arrays)

        def by_time(arrays: bool = arrays) -> Any:
            return ring.window(HALF_HOUR_S - 0.5, series=column.key, arrays=arrays)

        def all_series(arrays: bool = arrays) -> Any:
            return ring.window(first=first, arrays=arrays)

        window = right(by_time())
        check(live or len(window) == HALF_HOUR_S, f"{window} is not half an hour")
        right(by_sequence())
        met &= report(f"{mode}: half an hour of a column, {kind}", by_time, 1, 2000)
        report(f"{mode}: the same by sequence, {kind}", by_sequence, 1, 0)
        if not live and arrays:
            report(f"{mode}: half an hour of all columns, {kind}", all_series, 1, 0)
        right(by_time())
    check(not live or ring.head > head, "nobody has published")
    return met


def main() -> int:
    print(f"# {platform.machine()}, {os.cpu_count()} CPUs; Linux {platform.release()}")
    numpy = importlib.util.find_spec("numpy")
    print(f"# Python {platform.python_version()}, {'with' if numpy else 'without'} numpy")
    folder = tempfile.mkdtemp(prefix="tachograph-bench-", dir="/dev/shm")
    try:
        path = os.path.join(folder, "host.ring")
        writer = Writer(path, slots=SLOTS, columns=COLUMNS, entries=COLUMNS, arena=32768)
        for number in range(COLUMNS):
            writer.add(f"nic/e{number}", "receive_bytes", number, 1)
        # A whole turn, so that every page is there and the window lies across the ring's end.
        for _ in range(SLOTS + HALF_HOUR_S // 2):
            writer.publish()
        with tachograph.Ring(path) as ring:
            met = measure(ring, live=False)
            publisher = multiprocessing.get_context("fork").Process(
                target=publish_for_ever, args=(writer,), daemon=True
            )
            publisher.start()
            try:
                met &= measure(ring, live=True)
            finally:
                publisher.kill()
                publisher.join()
        writer.close()
    finally:
        shutil.rmtree(folder)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
