"""The records between two bounds, with everything that stands between them.

All is read column by column: a field of many slots is one strided slice, which Python copies into a
list, or numpy into an array, without a turn of the interpreter for each. What the copies hold is
unproved until the first word of every slot has been looked at again; records that were overwritten
meanwhile are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from . import _layout as at
from ._directory import Directory, Entry, Key
from ._error import Corrupt, Lost, NotYet, Overrun, ReadError
from ._file import RingFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Value = Union[int, float]

_GAP_OF_FLAG = (
    (at.FLAG_MISSED, "missed"),
    (at.FLAG_CLOCK_STEP, "clock_step"),
    (at.FLAG_EPOCH_FIRST, "epoch"),
)


@dataclass(frozen=True)
class Gap:
    """A place where records do not simply follow one another."""

    before: int
    """The first record after the gap; one more than the window's last when nothing follows."""
    reason: str
    """
    - `overrun`: `count` records had been overwritten before they could be read;
    - `missing`: `count` records are not in the ring, their writer was killed;
    - `missed`: the recorder could not take `count` ticks that were due;
    - `epoch`: the recorder was started anew, for the `count`th time in this ring;
    - `clock_step`: the wall clock was set;
    - `restart`: another ring has the name, whose numbers do not go on where the old one's ended.
    """
    count: int


def gaps_of_record(seq: int, epoch_and_flags: int, missed_ticks: int) -> Iterator[Gap]:
    """What a record says of the time right before it."""
    flags = epoch_and_flags >> 32
    for flag, reason in _GAP_OF_FLAG:
        if flags & flag:
            count = {"missed": missed_ticks, "epoch": epoch_and_flags & 0xFFFFFFFF}.get(reason, 1)
            yield Gap(seq, reason, count)


def double_or_none(value: float) -> float | None:
    """A value as it was measured; the word for "not measured" is a double that is not finite."""
    return value if math.isfinite(value) else None


class Window:
    """Records of one window as lists: `seq`, `time_ns` and, by `(object, metric)`, the values.

    `window["host", "load1"]` has one value for each item of `seq`, None where nothing was measured
    or the series did not exist. All is a copy, which stays as it is.
    """

    def __init__(self, gaps: list[Gap], seq: list[int], time_ns: list[int]) -> None:
        self.gaps = gaps
        self.seq = seq
        self.time_ns = time_ns
        self.columns: dict[Key, list[Value | None]] = {}

    def __len__(self) -> int:
        return len(self.seq)

    def __getitem__(self, key: Key) -> list[Value | None]:
        return self.columns[key]

    def __contains__(self, key: object) -> bool:
        return key in self.columns

    def __repr__(self) -> str:
        return f"<{_summary(self)}, lists>"


class ArrayWindow:
    """Records of one window as numpy arrays: `seq` (uint64), `time_ns` (int64) and the values.

    `window["host", "load1"]` is a masked array with one value for each item of `seq`, masked where
    nothing was measured or the series did not exist: float64, or uint64 for what is counted. All is
    a copy, which stays as it is.
    """

    def __init__(
        self, gaps: list[Gap], seq: NDArray[np.uint64], time_ns: NDArray[np.int64]
    ) -> None:
        self.gaps = gaps
        self.seq = seq
        self.time_ns = time_ns
        self.columns: dict[Key, np.ma.MaskedArray[Any, Any]] = {}

    def __len__(self) -> int:
        return len(self.seq)

    def __getitem__(self, key: Key) -> np.ma.MaskedArray[Any, Any]:
        return self.columns[key]

    def __contains__(self, key: object) -> bool:
        return key in self.columns

    def __repr__(self) -> str:
        return f"<{_summary(self)}, arrays>"

    @property
    def time(self) -> NDArray[np.datetime64]:
        """`time_ns` as datetime64[ns], in UTC; the same memory."""
        return self.time_ns.view("datetime64[ns]")

    def structured(self) -> np.ma.MaskedArray[Any, Any]:
        """All of it as one masked structured array: fields `seq`, `time` and one for each series,
        named `object/metric`."""
        import numpy as np

        columns = {f"{key[0]}/{key[1]}": column for key, column in self.columns.items()}
        fields: list[Any] = [("seq", "u8"), ("time", "M8[ns]")]
        fields += [(name, column.dtype) for name, column in columns.items()]
        table: np.ma.MaskedArray[Any, Any] = np.ma.zeros(len(self), dtype=fields)
        table["seq"], table["time"] = self.seq, self.time
        for name, column in columns.items():
            table[name] = column
        return table


def _summary(window: Window | ArrayWindow) -> str:
    told = f", {len(window.gaps)} gaps" if window.gaps else ""
    span = f" {window.seq[0]}..{window.seq[-1]}" if len(window) else ""
    return f"window of {len(window)} records{span}, {len(window.columns)} series{told}"


class Range(NamedTuple):
    """Which records belong to a window: sequences `first` to `last`, of those the ones whose time
    is after `after_ns` and not after `up_to_ns`."""

    first: int
    last: int
    after_ns: int = 0
    up_to_ns: int = at.LIVES


def cover(file: RingFile, after_ns: int, up_to_ns: int) -> Range:
    """The smallest range of sequences with every record whose time is in `(after_ns, up_to_ns]`.

    Wall-clock times need not grow with the sequence, since the clock may be set back. They do
    within a run, and each record says where its run began: runs are visited from the newest, and
    bisected.
    """
    head = file.head()
    oldest = file.oldest(head)
    first, last, end = 1, 0, head
    # Each turn ends before the run it has visited begins: there are no more turns than slots.
    while end >= oldest:
        try:
            run_first = field(file, end, at.RECORD_RUN_FIRST)
        except ReadError:
            end -= 1
            continue
        start = min(max(run_first, oldest), end)
        low = _partition(file, start, end + 1, after_ns)
        high = _partition(file, low, end + 1, up_to_ns)
        if low < high:
            first, last = low, max(last, high - 1)
        end = start - 1
    return Range(first, last, after_ns, up_to_ns)


def field(file: RingFile, seq: int, word: int) -> int:
    """One word of the header of the record `seq`. Raises `ReadError`."""
    words, slot, stable = file.words, file.slot(seq), 2 * seq
    before = words[slot]
    if before != stable:
        raise diagnose(file, seq, before)
    if file.fence is not None:
        file.fence()
    value = words[slot + word]
    if file.fence is not None:
        file.fence()
    after = words[slot]
    if after != stable:
        raise diagnose(file, seq, after)
    return value


def _partition(file: RingFile, start: int, end: int, time_ns: int) -> int:
    """The first sequence of `start..end` that is later than `time_ns`, or `end`. A record that was
    overwritten is earlier; any other that cannot be read is passed over for the next that can."""
    while start < end:
        middle = start + (end - start) // 2
        probe = middle
        behind: bool | None = None
        while behind is None:
            try:
                behind = field(file, probe, at.RECORD_REALTIME_NS) > time_ns
            except Overrun:
                behind = False
            except ReadError:
                if probe + 1 < end:
                    probe += 1
                else:
                    behind = True
        if behind:
            end = middle
        else:
            start = probe + 1
    return start


def diagnose(file: RingFile, seq: int, found: int) -> ReadError:
    """Why the slot of `seq`, which said `found`, does not have that record."""
    if not 0 < seq <= at.SEQUENCE_MAX:
        return Corrupt(seq)
    early = found < 2 * seq
    head = file.head()
    # After the head: what is not stable by now never will be.
    found = file.words[file.slot(seq)]
    if found != 0 and (found + 1) // 2 & file.mask != seq & file.mask:
        return Corrupt(seq)
    if not early:
        return Overrun(seq)
    if seq <= head and found // 2 != seq:
        return Overrun(seq) if seq < file.oldest(head) else Lost(seq)
    return NotYet(seq)


class _Rows(NamedTuple):
    """Slots that hold one stretch of sequences: they wrap at most once, so these are one or two."""

    start: int
    stop: int


def _rows(file: RingFile, first: int, last: int) -> list[_Rows]:
    low, high = first & file.mask, last & file.mask
    if low <= high:
        return [_Rows(low, high + 1)]
    return [_Rows(low, file.mask + 1), _Rows(0, high + 1)]


def _told(
    first_asked: int,
    found: list[int],
    first: int,
    last: int,
    gone: Callable[[int], bool],
    told: Iterable[tuple[int, int, int]],
    keep: set[int] | None,
) -> list[Gap]:
    """The gaps of the range `first_asked..last`, of which `first..last` was read.

    `found` are the sequences that were read whole, `told` those of them that have flags, with the
    words in question. `gone` says of a sequence that was not found whether it was overwritten.
    `keep` are the records that belong to the window, if not all that were found do.
    """
    kept = found if keep is None else sorted(keep)
    end = last + 1
    first_kept = kept[0] if kept else end
    # Nothing younger was seen before these, so what is gone there was lost to the writer.
    lost_to_writer = sum(gone(seq) for seq in range(first, found[0] if found else end))
    overrun = first - first_asked + lost_to_writer
    missing_before: dict[int, int] = {}
    if len(found) < end - first:
        place = {seq: index for index, seq in enumerate(found)}
        counted = lost_to_writer
        for seq in [*kept, end]:
            missing = seq - first - place.get(seq, len(found))
            if missing > counted:
                missing_before[seq] = missing - counted
                counted = missing
    gaps = [Gap(first_kept, "overrun", overrun)] if overrun else []
    flagged = {seq: (flags, missed) for seq, flags, missed in told if keep is None or seq in keep}
    for seq in sorted({*missing_before, *flagged}):
        if seq in missing_before:
            gaps.append(Gap(seq, "missing", missing_before[seq]))
        # What happened before the first record that was asked for is not the window's.
        if seq in flagged and (gaps or seq != first_kept):
            gaps.extend(gaps_of_record(seq, *flagged[seq]))
    return gaps


def _pieces(
    directory: Directory, chosen: Callable[[Key], bool], first: int, last: int
) -> dict[Key, list[Entry]]:
    """The entries of each series that some record of `first..last` may have."""
    pieces: dict[Key, list[Entry]] = {}
    for entry in directory.entries:
        if entry is not None and entry.first <= last and entry.last >= max(first, entry.first):
            if chosen(entry.key):
                pieces.setdefault(entry.key, []).append(entry)
    return pieces


def read_lists(
    file: RingFile, directory: Directory, wanted: Range, chosen: Callable[[Key], bool]
) -> Window:
    """Reads a window into lists."""
    head = file.head()
    last = min(wanted.last, head)
    directory.update()
    first = max(wanted.first, file.oldest(head))
    if first > last:
        overrun = max(last - wanted.first + 1, 0)
        return Window([Gap(last + 1, "overrun", overrun)] if overrun else [], [], [])
    rows = _rows(file, first, last)

    def ints(word: int) -> list[int]:
        return _strided(file, file.words, rows, word)

    stable = list(range(2 * first, 2 * last + 1, 2))
    before = ints(at.RECORD_SEQ)
    if file.fence is not None:
        file.fence()
    time_ns = ints(at.RECORD_REALTIME_NS)
    epoch_and_flags, missed = ints(at.RECORD_EPOCH_AND_FLAGS), ints(at.RECORD_MISSED_TICKS)
    widths = ints(at.RECORD_COLUMNS)
    pieces = _pieces(directory, chosen, first, last)
    columns = {
        key: _list_of(file, entries, rows, first, last, widths) for key, entries in pieces.items()
    }
    if file.fence is not None:
        file.fence()
    after = ints(at.RECORD_SEQ)

    count = last - first + 1
    good = list(range(count))
    if before != stable or after != stable:
        good = [n for n in good if before[n] == stable[n] == after[n]]
    found = [first + n for n in good]
    keep: set[int] | None = None
    if wanted.after_ns > 0 or wanted.up_to_ns < at.LIVES:
        low, high = wanted.after_ns, wanted.up_to_ns
        within = [n for n in good if low < time_ns[n] <= high]
        if len(within) < len(good):
            keep, good = {first + n for n in within}, within
    told = [
        (seq, epoch_and_flags[seq - first], missed[seq - first])
        for seq in found
        if epoch_and_flags[seq - first] >> 32
    ]

    def gone(seq: int) -> bool:
        return after[seq - first] > 2 * seq

    gaps = _told(wanted.first, found, first, last, gone, told, keep)
    if len(good) == count:
        window = Window(gaps, found, time_ns)
        window.columns = columns
    else:
        window = Window(gaps, [first + n for n in good], [time_ns[n] for n in good])
        window.columns = {key: [column[n] for n in good] for key, column in columns.items()}
    return window


def _strided(file: RingFile, words: Any, rows: list[_Rows], word: int) -> list[Any]:
    values: list[Any] = []
    for start, stop in rows:
        base, end = file.slots + start * file.stride, file.slots + stop * file.stride
        values += words[base + word : end : file.stride].tolist()
    return values


def _list_of(
    file: RingFile,
    entries: list[Entry],
    rows: list[_Rows],
    first: int,
    last: int,
    widths: list[int],
) -> list[Value | None]:
    """One series' values, of which each entry has some."""
    values: list[Value | None] = []
    for entry in entries:
        begin, end = max(entry.first, first), min(entry.last, last)
        whole = begin == first and end == last
        word = at.RECORD_WORDS + entry.column
        raw: list[Any]
        if entry.is_double:
            raw = _strided(file, file.doubles, rows, word)
            finite = math.isfinite
            piece = [value if finite(value) else None for value in raw]
        else:
            raw = _strided(file, file.words, rows, word)
            piece = (
                raw
                if at.ABSENT not in raw
                else [None if value == at.ABSENT else value for value in raw]
            )
        if min(widths) <= entry.column:
            piece = [v if width > entry.column else None for v, width in zip(piece, widths)]
        if whole:
            return piece
        if not values:
            values = [None] * len(piece)
        values[begin - first : end - first + 1] = piece[begin - first : end - first + 1]
    return values


def read_arrays(
    file: RingFile, directory: Directory, wanted: Range, chosen: Callable[[Key], bool]
) -> ArrayWindow:
    """Reads a window into arrays."""
    try:
        import numpy as np
    except ImportError as error:
        advice = "windows are arrays of numpy, which is not installed; with arrays=False they are lists"
        raise ImportError(advice) from error

    head = file.head()
    last = min(wanted.last, head)
    directory.update()
    first = max(wanted.first, file.oldest(head))
    if first > last:
        overrun = max(last - wanted.first + 1, 0)
        told = [Gap(last + 1, "overrun", overrun)] if overrun else []
        return ArrayWindow(told, np.zeros(0, np.uint64), np.zeros(0, np.int64))
    rows = _rows(file, first, last)
    words = _table(file, np.uint64)

    def copied(table: NDArray[Any], word: int) -> NDArray[Any]:
        parts = [table[start:stop, word] for start, stop in rows]
        return np.concatenate(parts) if len(parts) > 1 else parts[0].copy()

    seq = np.arange(first, last + 1, dtype=np.uint64)
    stable = seq * np.uint64(2)
    before = copied(words, at.RECORD_SEQ)
    if file.fence is not None:
        file.fence()
    time_ns = copied(words, at.RECORD_REALTIME_NS).astype(np.int64)
    epoch_and_flags = copied(words, at.RECORD_EPOCH_AND_FLAGS)
    missed = copied(words, at.RECORD_MISSED_TICKS)
    widths = copied(words, at.RECORD_COLUMNS)
    narrowest = int(widths.min())
    columns: dict[Key, Any] = {}
    for key, entries in _pieces(directory, chosen, first, last).items():
        columns[key] = _array_of(file, entries, copied, first, last, widths, narrowest)
    if file.fence is not None:
        file.fence()
    after = copied(words, at.RECORD_SEQ)

    good = (before == stable) & (after == stable)
    found = seq[good]
    flagged = np.flatnonzero((epoch_and_flags >> np.uint64(32) != 0) & good)
    told_flags = [(int(seq[n]), int(epoch_and_flags[n]), int(missed[n])) for n in flagged]
    keep: set[int] | None = None
    if wanted.after_ns > 0 or wanted.up_to_ns < at.LIVES:
        low, high = min(wanted.after_ns, at.SEQUENCE_MAX), min(wanted.up_to_ns, at.SEQUENCE_MAX)
        within = good & (time_ns > low) & (time_ns <= high)
        if int(within.sum()) < len(found):
            keep, good = set(seq[within].tolist()), within

    def gone(number: int) -> bool:
        return int(after[number - first]) > 2 * number

    gaps: list[Gap] = []
    if keep is not None or told_flags or len(found) < len(seq) or first > wanted.first:
        gaps = _told(wanted.first, found.tolist(), first, last, gone, told_flags, keep)
    if bool(good.all()):
        window = ArrayWindow(gaps, seq, time_ns)
        window.columns = columns
    else:
        window = ArrayWindow(gaps, seq[good], time_ns[good])
        window.columns = {key: column[good] for key, column in columns.items()}
    return window


def _table(file: RingFile, dtype: Any) -> NDArray[Any]:
    """All slots in place, a row for each."""
    import numpy as np

    count = file.header.slot_count * file.stride
    flat = np.frombuffer(file.bytes, dtype, count, file.header.slots_offset)
    return flat.reshape(file.header.slot_count, file.stride)


def _array_of(
    file: RingFile,
    entries: list[Entry],
    copied: Callable[[NDArray[Any], int], NDArray[Any]],
    first: int,
    last: int,
    widths: NDArray[Any],
    narrowest: int,
) -> Any:
    """One series' values, of which each entry has some, masked elsewhere."""
    import numpy as np

    dtype: Any = np.float64 if entries[-1].is_double else np.uint64
    values: Any = None
    mask: Any = None
    for entry in entries:
        begin, end = max(entry.first, first), min(entry.last, last)
        words = copied(_table(file, np.uint64), at.RECORD_WORDS + entry.column)
        piece: Any
        if entry.is_double:
            piece = words.view(np.float64)
            absent = ~np.isfinite(piece)
        else:
            piece = words
            absent = piece == np.uint64(at.ABSENT)
        if narrowest <= entry.column:
            absent |= widths <= np.uint64(entry.column)
        if begin == first and end == last:
            values, mask = piece.astype(dtype, copy=False), absent
            break
        if values is None:
            values, mask = np.zeros(len(piece), dtype), np.ones(len(piece), bool)
        part = slice(begin - first, end - first + 1)
        values[part], mask[part] = piece[part], absent[part]
    return np.ma.MaskedArray(values, mask=mask)
