"""The directory: which series lived in which column, from which record to which.

Entries are only ever appended; of an entry in place one word changes, once: `last`, when its series
ends. A column may be taken by a new series at once, since the two lifetimes do not meet.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from typing import Callable, NamedTuple, Union

from . import _layout as at
from ._file import RingFile

Key = tuple[str, str]
# How series are chosen, see `chooser`; None is all of them.
Selector = Union[str, tuple[str, str]]
Selection = Union[None, Selector, Iterable[Selector]]


class Series(NamedTuple):
    """One metric of one object, and the records that have it: `first` to `last`."""

    object: str
    metric: str
    kind: str
    """gauge, counter or derive."""
    unit: str
    repr: str
    """u64 or f64: Python's int or float."""
    column: int
    first: int
    last: int | None
    """None while the series lives."""

    @property
    def key(self) -> Key:
        """`(object, metric)`."""
        return (self.object, self.metric)

    @property
    def name(self) -> str:
        """`object/metric`, as patterns see it."""
        return f"{self.object}/{self.metric}"


class Entry(NamedTuple):
    """An entry as a reader keeps it."""

    key: Key
    column: int
    is_double: bool
    first: int
    last: int
    place: int
    """Its number in the directory, from 0."""
    kind: str
    unit: str

    def series(self) -> Series:
        """The entry as it is shown."""
        return Series(
            self.key[0],
            self.key[1],
            self.kind,
            self.unit,
            "f64" if self.is_double else "u64",
            self.column,
            self.first,
            None if self.last == at.LIVES else self.last,
        )


def chooser(selection: Selection) -> Callable[[Key], bool]:
    """Whether a series is meant. A tuple is one `(object, metric)`, a text is a pattern (`*`, `?`,
    `[...]`) for `object/metric` in which `*` crosses slashes, and of several any may fit."""
    if selection is None:
        return lambda key: True
    several = [selection] if isinstance(selection, (str, tuple)) else list(selection)
    keys = {item for item in several if isinstance(item, tuple)}
    patterns = [fnmatch.translate(item) for item in several if isinstance(item, str)]
    if not patterns:
        return lambda key: key in keys
    matches = re.compile("|".join(patterns)).match
    return lambda key: key in keys or matches(f"{key[0]}/{key[1]}") is not None


class Directory:
    """All entries of one file, kept up to date by looking only at what is new."""

    def __init__(self, file: RingFile) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self.entries: list[Entry | None] = []
        self._living: list[int] = []
        self.damaged = 0
        # Entries of the records from the first to the second number: see `at_seq`.
        self._span: tuple[int, int] = (1, 0)
        self._of_span: list[Entry] = []

    def update(self) -> None:
        """Brings it up to date. Afterwards it knows every series of every record that was seen
        stable, or below a head that was loaded, before the call."""
        file, words = self._file, self._file.words
        # The count of changes comes first: a change meanwhile makes what is known look older than
        # it is, never newer.
        changes, epoch = words[at.AT_DIRECTORY_CHANGES], words[at.AT_EPOCH]
        if self._seen == (changes, epoch):
            return
        if file.fence is not None:
            file.fence()
        count = min(words[at.AT_ENTRY_COUNT], file.header.entry_capacity)
        if file.fence is not None:
            file.fence()
        # With a new epoch it begins anew: a writer that comes to a damaged ring mends entries.
        if self._seen is None or self._seen[1] != epoch or count < len(self.entries):
            self.entries, self._living = [], []
        living = []
        for index in self._living:
            last = words[self.last_word(index)]
            entry = self.entries[index]
            if last == at.LIVES or entry is None:
                living.append(index)
            else:
                self.entries[index] = entry._replace(last=last) if last >= entry.first - 1 else None
        for index in range(len(self.entries), count):
            entry = self._decode(index)
            self.entries.append(entry)
            if entry is not None and entry.last == at.LIVES:
                living.append(index)
        self._living = living
        self.damaged = self.entries.count(None)
        self._span = (1, 0)
        self._seen = (changes, epoch)

    def last_word(self, index: int) -> int:
        """Word in which the last sequence of the entry number `index` stands."""
        return self._file.directory + index * self._file.entry_words + at.ENTRY_LAST

    def known(self) -> list[Entry]:
        """The entries that could be read, in the order in which they were made."""
        return [entry for entry in self.entries if entry is not None]

    def find(self, key: Key) -> Entry | None:
        """The series of that name which lives now."""
        for index in reversed(self._living):
            entry = self.entries[index]
            if entry is not None and entry.key == key:
                return entry
        return None

    def at_seq(self, seq: int) -> list[Entry]:
        """The entries that the record `seq` has. The answer is kept for all records that have the
        same ones."""
        low, high = self._span
        if low <= seq <= high:
            return self._of_span
        low, high = 1, at.SEQUENCE_MAX
        found = []
        for entry in self.entries:
            if entry is None:
                continue
            if seq < entry.first:
                high = min(high, entry.first - 1)
            elif seq > entry.last:
                low = max(low, entry.last + 1)
            else:
                found.append(entry)
                low, high = max(low, entry.first), min(high, entry.last)
        self._span, self._of_span = (low, high), found
        return found

    def _decode(self, index: int) -> Entry | None:
        file = self._file
        start = file.directory + index * file.entry_words
        fields = [file.words[start + word] for word in range(at.ENTRY_WORDS)]
        meaning = fields[at.ENTRY_MEANING]
        kind = at.KINDS.get(meaning & 0xFF)
        unit = at.UNITS.get(meaning >> 8 & 0xFF)
        of_words = at.REPRS.get(meaning >> 16 & 0xFF)
        if meaning >> 24 or kind is None or unit is None or of_words is None:
            return None
        name = self._text(fields[at.ENTRY_OBJECT], at.OBJECT_ID_BYTES_MAX)
        metric = self._text(fields[at.ENTRY_METRIC], at.METRIC_BYTES_MAX)
        column, first, last = (
            fields[word] for word in (at.ENTRY_COLUMN, at.ENTRY_FIRST, at.ENTRY_LAST)
        )
        if name is None or metric is None:
            return None
        if column >= file.header.column_capacity or first == 0 or last < first - 1:
            return None
        return Entry((name, metric), column, of_words == "f64", first, last, index, kind, unit)

    def _text(self, place: int, bytes_max: int) -> str | None:
        """A name: byte offset among the names in the high half of `place`, length in the low
        half."""
        offset, length = place >> 32, place & 0xFFFFFFFF
        if not 0 < length <= bytes_max or offset % at.WORD:
            return None
        if offset + length > self._file.header.arena_bytes:
            return None
        start = self._file.header.arena_offset + offset
        try:
            return bytes(self._file.bytes[start : start + length]).decode()
        except UnicodeDecodeError:
            return None
