"""The reader of a ring: newest record, single records, windows, and what comes next."""

from __future__ import annotations

import enum
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, NamedTuple, overload

from . import _layout as at
from . import _place, _window
from ._directory import Directory, Key, Selection, Series, chooser
from ._error import Missing, Nameless, Overrun, ReadError
from ._file import RingFile
from ._window import ArrayWindow, Gap, Range, Value, Window

# How often `latest` begins again when the writer has lapped it.
_LATEST_TRIES = 8
# The least and the greatest value that is one; what says "not measured" is beyond them.
_DOUBLES = (-sys.float_info.max, sys.float_info.max)
_COUNTS = (0, at.ABSENT - 1)
_NOTHING = (1, 0)


class Liveness(str, enum.Enum):
    """What has become of a ring's writer."""

    LIVE = "live"
    """It runs and publishes."""
    HUNG = "hung"
    """It runs, but its last record is older than it should be."""
    DEAD = "dead"
    """It ended without saying so."""
    CLOSED = "closed"
    """It ended in order."""
    RETIRED = "retired"
    """Another file has taken this one's place."""

    def __str__(self) -> str:
        return self.value


class Record(dict[Key, Value]):
    """The values of one record by `(object, metric)`: `record["host", "load1"]`.

    A copy that stays as it is. A series that was not measured in this record is not in it.
    """

    seq: int
    time_ns: int
    """`CLOCK_REALTIME` of the tick, in nanoseconds since 1970."""
    boottime_ns: int
    epoch: int
    """The recorder's number in this ring's history, one more at each start."""
    tick_duration_ns: int
    missed_ticks: int
    gaps: tuple[Gap, ...]
    """What this record says of the time right before it; of `Ring.follow`, also all that stands
    between this record and the one that it gave before."""

    @property
    def time(self) -> float:
        """Seconds since 1970, as `time.time` has them."""
        return self.time_ns / 1e9

    def flat(self) -> dict[str, Value]:
        """The values by `object/metric`, as JSON could have them."""
        return {f"{name}/{metric}": value for (name, metric), value in self.items()}

    def __repr__(self) -> str:
        return f"<record {self.seq}, {len(self)} values>"


class RawRecord(NamedTuple):
    """One record as it lies in the ring: its eight words of header, then a word for each column."""

    header: tuple[int, ...]
    words: memoryview


class Column:
    """One series of a ring, found once to be read many times.

    It goes stale by itself: of a series that has ended the value is None, a column that now holds
    another series is never taken for this one. When another file takes the ring's place, the series
    is looked for there.
    """

    __slots__ = (
        "_changes", "_file", "_first", "_high", "_last_word", "_low", "_offset", "_ring", "_values",
        "_words", "key",
    )  # fmt: skip

    def __init__(self, ring: Ring, key: Key) -> None:
        self.key = key
        self._ring = ring
        self._resolve()

    def latest(self) -> Value | None:
        """The newest value; None when there is no record, or the newest one does not have it."""
        words, file = self._words, self._file
        fence = file.fence
        head = words[at.AT_HEAD]
        if fence is not None:
            fence()
        slot = file.slots + (head & file.mask) * file.stride
        stable = 2 * head
        if words[slot] == stable and head:
            if fence is not None:
                fence()
            offset = self._offset
            value = self._values[slot + offset]
            width = words[slot + at.RECORD_COLUMNS]
            last = words[self._last_word]
            if fence is not None:
                fence()
            if (
                words[slot] == stable
                and self._first <= head <= last
                and offset < width + at.RECORD_WORDS
                and words[at.AT_STATE] != at.STATE_RETIRED
            ):
                # False of a double that is no number, too.
                return value if self._low <= value <= self._high else None
        return self._latest_again()

    def _latest_again(self) -> Value | None:
        """All that is not the plain case: lapped, stale, ended, retired."""
        head = 0
        for _ in range(_LATEST_TRIES):
            self._ring._follow_if_retired()
            head = self._ring._file.head()
            if head == 0:
                return None
            try:
                return self.at(head)
            except Overrun:
                continue
        raise Overrun(head)

    def at(self, seq: int) -> Value | None:
        """The value in the record `seq`; None if the record does not have the series.

        Raises `ReadError` when the record cannot be read.
        """
        if self._is_stale():
            self._resolve()
        file, words = self._file, self._words
        slot, stable = file.slot(seq), 2 * seq
        before = words[slot]
        if before != stable or not 0 < seq <= at.SEQUENCE_MAX:
            raise _window.diagnose(file, seq, before)
        if file.fence is not None:
            file.fence()
        offset, values, low, high = self._offset, self._values, self._low, self._high
        if not self._first <= seq <= words[self._last_word]:
            # Another life of the series, in another column perhaps, or none.
            self._ring._directory.update()
            lives = [one for one in self._ring._directory.at_seq(seq) if one.key == self.key]
            if lives:
                offset = at.RECORD_WORDS + lives[0].column
                values = file.doubles if lives[0].is_double else words
                low, high = _DOUBLES if lives[0].is_double else _COUNTS
            else:
                low, high = _NOTHING
        value = values[slot + offset]
        width = words[slot + at.RECORD_COLUMNS]
        if file.fence is not None:
            file.fence()
        after = words[slot]
        if after != stable:
            raise _window.diagnose(file, seq, after)
        return value if low <= value <= high and offset < width + at.RECORD_WORDS else None

    def _is_stale(self) -> bool:
        """Whether the series may by now be found elsewhere."""
        file = self._ring._file
        if file is not self._file:
            return True
        if self._last_word != at.AT_HEAD and self._words[self._last_word] == at.LIVES:
            return False
        return bool(self._changes != self._words[at.AT_DIRECTORY_CHANGES])

    def _resolve(self) -> None:
        ring = self._ring
        self._file = file = ring._file
        self._words = file.words
        # Before the look at the directory, so that a change meanwhile leads to another one.
        self._changes = file.words[at.AT_DIRECTORY_CHANGES]
        ring._directory.update()
        self._low: float
        self._high: float
        entry = ring._directory.find(self.key)
        if entry is None:
            # Of no record, until the directory changes.
            self._first, self._last_word, self._offset = at.LIVES, at.AT_HEAD, at.RECORD_WORDS
            self._values: Any = file.words
            self._low, self._high = _NOTHING
            return
        self._first = entry.first
        self._last_word = ring._directory.last_word(entry.place)
        self._offset = at.RECORD_WORDS + entry.column
        self._values = file.doubles if entry.is_double else file.words
        self._low, self._high = _DOUBLES if entry.is_double else _COUNTS


class Ring:
    """A ring, mapped read-only.

    The writer does not know its readers: they cost it nothing and cannot disturb it. It does not
    wait for them either, so records may vanish between two calls; every method gives out whole
    records or says why it does not. An object of this class is for one thread; several may have one
    each.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        lane: str = "host",
        run_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Opens the ring at `path`, or that of `lane` in `run_dir` or the first usual place.

        Raises `OpenError`: `Missing`, `Untrusted`, `FormatError`.
        """
        if path is None:
            path = _place.ring_path(lane, None if run_dir is None else os.fspath(run_dir))
        self._open(RingFile.open(os.fspath(path)))

    @classmethod
    def lane(cls, lane: str, run_dir: str | os.PathLike[str] | None = None) -> Ring:
        """Opens the ring of a lane, `Ring.lane("fast")`."""
        return cls(lane=lane, run_dir=run_dir)

    @classmethod
    def from_fd(cls, fd: int) -> Ring:
        """Opens a ring that another process has handed over as a sealed memfd. `fd` stays yours.

        Raises `Untrusted` when its seals do not keep it as it is.
        """
        ring = cls.__new__(cls)
        ring._open(RingFile.of_sealed(fd))
        return ring

    def _open(self, file: RingFile) -> None:
        self._file = file
        self._directory = Directory(file)
        self._stranded = False
        self.reopened: int = getattr(self, "reopened", -1) + 1
        """How often another file has taken this one's place."""

    def __enter__(self) -> Ring:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all access; whatever was read before stays."""
        self._file.close()

    def __repr__(self) -> str:
        return f"<Ring {self.path or 'of a descriptor'}>"

    @property
    def path(self) -> str | None:
        """The ring's path; None of one that was handed over."""
        return self._file.path

    @property
    def interval_ns(self) -> int:
        """Nanoseconds between ticks."""
        return self._file.header.interval_ns

    @property
    def ring_id(self) -> tuple[int, int]:
        """Random, one per file."""
        return self._file.header.ring_id

    @property
    def slot_count(self) -> int:
        """How many records the ring has room for."""
        return self._file.header.slot_count

    @property
    def head(self) -> int:
        """The newest record's sequence; 0 when there is none. May increase at any time."""
        return self._file.head()

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The sequences that the ring can hold now; the first is the next to go."""
        head = self._file.head()
        oldest = self._file.oldest(head)
        return (oldest, head) if 0 < head and oldest <= head else None

    @property
    def by_futex(self) -> bool:
        """Whether the kernel wakes `wait` and `follow`; otherwise they look every quarter
        interval."""
        return self._file.sleeper().by_futex

    def series(self, select: Selection = None, *, ended: bool = False) -> list[Series]:
        """The series that live now, and with `ended` also those of older records."""
        self._directory.update()
        chosen = chooser(select)
        known = (entry for entry in self._directory.known() if chosen(entry.key))
        return [entry.series() for entry in known if ended or entry.last == at.LIVES]

    def find(self, object: str, metric: str) -> Column:
        """The series `metric` of `object`. Raises `KeyError` when none of that name lives now."""
        self._follow_if_retired()
        self._directory.update()
        if self._directory.find((object, metric)) is None:
            raise KeyError((object, metric))
        return Column(self, (object, metric))

    def latest(self, columns: Sequence[Column] | None = None) -> Record | None:
        """The newest record; None when there is none. With `columns`, only these values of it."""
        self._follow_if_retired()
        head = 0
        for _ in range(_LATEST_TRIES):
            head = self._file.head()
            if head == 0:
                return None
            try:
                return self.read(head, columns)
            except Overrun:
                continue
        raise Overrun(head)

    def read(self, seq: int, columns: Sequence[Column] | None = None) -> Record:
        """The record `seq`, with `columns` only these values of it.

        Raises `NotYet`, `Overrun`, `Lost` or `Corrupt`.
        """
        if columns is not None:
            return self._read_columns(seq, columns)
        block = self._copy(seq)
        words, doubles = block.cast("Q"), block.cast("d")
        # After the record was seen: it then knows all of its series.
        self._directory.update()
        record = _record_of_header(seq, words[: at.RECORD_WORDS].tolist())
        for entry in self._directory.at_seq(seq):
            place = at.RECORD_WORDS + entry.column
            if place >= len(words):
                continue
            if entry.is_double:
                double = doubles[place]
                if math.isfinite(double):
                    record[entry.key] = double
            else:
                word = words[place]
                if word != at.ABSENT:
                    record[entry.key] = word
        return record

    def _read_columns(self, seq: int, columns: Sequence[Column]) -> Record:
        """Each column is checked by itself; together they are of one record since all are of
        `seq`."""
        for column in columns:
            if column._ring is not self:
                raise ValueError(f"the column {column.key} is of another ring")
        file = self._file
        words, slot, stable = file.words, file.slot(seq), 2 * seq
        before = words[slot]
        if before != stable or not 0 < seq <= at.SEQUENCE_MAX:
            raise _window.diagnose(file, seq, before)
        if file.fence is not None:
            file.fence()
        record = _record_of_header(seq, words[slot : slot + at.RECORD_WORDS].tolist())
        for column in columns:
            value = column.at(seq)
            if value is not None:
                record[column.key] = value
        if file.fence is not None:
            file.fence()
        after = words[slot]
        if after != stable:
            raise _window.diagnose(file, seq, after)
        return record

    def read_raw(self, seq: int) -> RawRecord:
        """The words of the record `seq`, whatever series they are of. Raises as `read` does."""
        words = self._copy(seq).cast("Q")
        return RawRecord((seq, *words[1 : at.RECORD_WORDS]), words[at.RECORD_WORDS :])

    def _copy(self, seq: int) -> memoryview:
        """The bytes of the record `seq`."""
        file = self._file
        words, slot, stable = file.words, file.slot(seq), 2 * seq
        before = words[slot]
        if before != stable or not 0 < seq <= at.SEQUENCE_MAX:
            raise _window.diagnose(file, seq, before)
        if file.fence is not None:
            file.fence()
        width = min(words[slot + at.RECORD_COLUMNS], file.header.column_capacity)
        end = slot + at.RECORD_WORDS + width
        block = bytes(file.bytes[slot * at.WORD : end * at.WORD])
        if file.fence is not None:
            file.fence()
        after = words[slot]
        if after != stable:
            raise _window.diagnose(file, seq, after)
        return memoryview(block)

    @overload
    def window(
        self,
        seconds: float | None = ...,
        *,
        first: int | None = ...,
        last: int | None = ...,
        after_ns: int | None = ...,
        up_to_ns: int | None = ...,
        series: Selection = ...,
        arrays: Literal[True] = ...,
    ) -> ArrayWindow: ...

    @overload
    def window(
        self,
        seconds: float | None = ...,
        *,
        first: int | None = ...,
        last: int | None = ...,
        after_ns: int | None = ...,
        up_to_ns: int | None = ...,
        series: Selection = ...,
        arrays: Literal[False],
    ) -> Window: ...

    @overload
    def window(
        self,
        seconds: float | None = ...,
        *,
        first: int | None = ...,
        last: int | None = ...,
        after_ns: int | None = ...,
        up_to_ns: int | None = ...,
        series: Selection = ...,
        arrays: bool,
    ) -> Window | ArrayWindow: ...

    def window(
        self,
        seconds: float | None = None,
        *,
        first: int | None = None,
        last: int | None = None,
        after_ns: int | None = None,
        up_to_ns: int | None = None,
        series: Selection = None,
        arrays: bool = True,
    ) -> Window | ArrayWindow:
        """The records of the last `seconds` before the newest one; or those from the sequence
        `first` to `last`; or those after `after_ns` and not after `up_to_ns`, in nanoseconds since
        1970; or, with none of these, all.

        `series` chooses: a pattern such as `"cpu/*/user"` for `object/metric`, an
        `(object, metric)`, or a list of these. With `arrays=False` the values are lists, and numpy
        is not needed. Gaps of all kinds stand in `gaps` of the result.
        """
        self._follow_if_retired()
        wanted = self._range(seconds, first, last, after_ns, up_to_ns)
        chosen = chooser(series)
        if arrays:
            return _window.read_arrays(self._file, self._directory, wanted, chosen)
        return _window.read_lists(self._file, self._directory, wanted, chosen)

    def _range(
        self,
        seconds: float | None,
        first: int | None,
        last: int | None,
        after_ns: int | None,
        up_to_ns: int | None,
    ) -> Range:
        by_sequence = first is not None or last is not None
        by_time = after_ns is not None or up_to_ns is not None
        if (seconds is not None) + by_sequence + by_time > 1:
            raise ValueError("a window is given by seconds, by sequences or by times")
        file = self._file
        if seconds is not None:
            newest = self.latest(())
            if newest is None:
                return Range(1, 0)
            span_ns = min(max(int(seconds * 1e9), 0), newest.time_ns)
            return _window.cover(file, newest.time_ns - span_ns, newest.time_ns)
        if by_time:
            return _window.cover(
                file, max(after_ns or 0, 0), at.LIVES if up_to_ns is None else max(up_to_ns, 0)
            )
        head = file.head()
        low = file.oldest(head) if first is None else max(first, 1)
        return Range(low, head if last is None else min(last, head))

    def follow(
        self,
        timeout: float | None = None,
        *,
        after: int | None = None,
        columns: Sequence[Column] | None = None,
    ) -> Iterator[Record]:
        """Each record once, as it is published, from now on or from the one after `after`.

        What was not there to be read stands in `gaps` of the next record. Goes on in the file that
        takes this one's place; ends when nothing has come for `timeout` seconds.
        """
        seq = self.head if after is None else max(after, 0)
        boottime_ns: int | None = None
        reopened = self.reopened
        restarts = 0
        lost: dict[str, int] = {}
        while True:
            if self.reopened != reopened:
                reopened = self.reopened
                if not self._goes_on(seq, boottime_ns):
                    seq, boottime_ns, restarts = 0, None, restarts + 1
            head = self.wait(seq, timeout)
            if self.reopened != reopened:
                continue
            if head is None:
                return
            behind = self._file.oldest(head) - seq - 1
            if behind > 0:
                lost["overrun"] = lost.get("overrun", 0) + behind
                seq += behind
            while seq < head and self.reopened == reopened:
                seq += 1
                try:
                    record = self.read(seq, columns)
                except ReadError as error:
                    reason = "overrun" if isinstance(error, Overrun) else "missing"
                    lost[reason] = lost.get(reason, 0) + 1
                    continue
                gaps = [Gap(seq, "restart", restarts)] if restarts else []
                gaps += [Gap(seq, reason, count) for reason, count in lost.items()]
                record.gaps = (*gaps, *record.gaps)
                restarts, lost, boottime_ns = 0, {}, record.boottime_ns
                yield record

    def _goes_on(self, seq: int, boottime_ns: int | None) -> bool:
        """Whether the file that was just opened has the history of the one before: the record `seq`
        is the one that was seen there."""
        if seq == 0:
            return True
        if self._file.head() < seq:
            return False
        try:
            return boottime_ns in (None, _window.field(self._file, seq, at.RECORD_BOOTTIME_NS))
        except ReadError:
            return True

    def wait(self, seq: int, timeout: float | None = None) -> int | None:
        """Sleeps until there is a record after `seq`, and returns the head; None when `timeout`
        seconds are over.

        Follows the ring's name when another file takes its place: `reopened` then grows. If the
        numbers begin anew there, any record of it ends the wait. The kernel wakes the sleeper, and
        other threads run meanwhile.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            file = self._file
            # Before the head: a record published after this load changes the word, and the kernel
            # then does not let us sleep.
            notify = file.notify()
            head = file.head()
            if head > seq:
                return head
            left: float = math.inf if deadline is None else deadline - time.monotonic()
            patience_s = 3e-9 * file.header.interval_ns + 1.0
            retired = file.words[at.AT_STATE] == at.STATE_RETIRED and not self._stranded
            followed = retired and self.refresh()
            if not followed and left > 0:
                file.sleep(notify, min(left, patience_s))
                if file.notify() != notify or left <= patience_s:
                    continue
            # A writer that is killed right after it has renamed a new file tells nobody.
            followed = followed or self.refresh()
            if followed and self._file.head() < seq:
                seq = 0
            if left <= 0 and not self._file.head() > seq:
                return None

    def _follow_if_retired(self) -> bool:
        """Follows the name if this file says that it has been replaced."""
        file = self._file
        if file.words[at.AT_STATE] != at.STATE_RETIRED or self._stranded or file.path is None:
            return False
        return self.refresh()

    def refresh(self) -> bool:
        """Follows the ring's name if another file has it by now, and says whether one had.

        Raises `OpenError` when that cannot be opened, `Nameless` when there is no name to follow;
        this ring stays on the old file, which can be read for as long as one likes.
        """
        file = self._file
        if file.path is None:
            if file.words[at.AT_STATE] == at.STATE_RETIRED:
                raise Nameless("the ring has been replaced: ask for its new descriptor")
            return False
        try:
            named = os.stat(file.path)
        except OSError:
            same = True
        else:
            same = (named.st_dev, named.st_ino) == file.identity
        if same:
            # Where there is no other file to go to, asking again each time would only cost.
            self._stranded = file.words[at.AT_STATE] == at.STATE_RETIRED
            return False
        try:
            newer = RingFile.open(file.path)
        except Missing:
            return False
        self._open(newer)
        return True

    def liveness(self) -> Liveness:
        """What has become of the writer."""
        file = self._file
        state = file.words[at.AT_STATE]
        if state == at.STATE_RETIRED:
            return Liveness.RETIRED
        if state == at.STATE_CLOSED:
            return Liveness.CLOSED
        if not file.is_held():
            return Liveness.DEAD
        age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - file.words[at.AT_HEARTBEAT_NS]
        if file.head() > 0 and age_ns > 3 * file.header.interval_ns + 1_000_000_000:
            return Liveness.HUNG
        return Liveness.LIVE


def _record_of_header(seq: int, words: list[int]) -> Record:
    record = Record()
    record.seq = seq
    record.time_ns = words[at.RECORD_REALTIME_NS]
    record.boottime_ns = words[at.RECORD_BOOTTIME_NS]
    record.epoch = words[at.RECORD_EPOCH_AND_FLAGS] & 0xFFFFFFFF
    record.tick_duration_ns = words[at.RECORD_TICK_DURATION_NS]
    record.missed_ticks = words[at.RECORD_MISSED_TICKS]
    record.gaps = tuple(
        _window.gaps_of_record(seq, words[at.RECORD_EPOCH_AND_FLAGS], record.missed_ticks)
    )
    return record
