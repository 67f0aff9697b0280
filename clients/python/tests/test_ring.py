"""The reader over rings of a plain writer, and over the file that is kept of version 1."""

from __future__ import annotations

import ast
import fcntl
import importlib.util
import os
import random
import shutil
import tempfile
import threading
import time
import unittest
import zlib
from pathlib import Path
from typing import Any, Callable
from unittest import mock

from writer import ABSENT, Writer, self_evident, word_of

import tachograph
from tachograph import (
    Corrupt,
    FormatError,
    Gap,
    Liveness,
    Lost,
    Missing,
    NotYet,
    Overrun,
    Ring,
    Untrusted,
    _header,
    _layout,
    _machine,
    _place,
)

PACKAGE = Path(tachograph.__file__).parent
GOLDEN = Path(__file__).resolve().parents[3] / "tests" / "fixtures" / "ring_v1.bin"
HAS_NUMPY = importlib.util.find_spec("numpy") is not None
BOTH = (False, True) if HAS_NUMPY else (False,)
LONG = 60.0


class InMemory(unittest.TestCase):
    """A test with a directory in memory."""

    def setUp(self) -> None:
        self.dir = tempfile.mkdtemp(prefix="tachograph-py-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, self.dir)
        self.path = os.path.join(self.dir, "host.ring")

    def writer(self, name: str = "host.ring", **sizes: Any) -> Writer:
        writer = Writer(os.path.join(self.dir, name), **sizes)
        self.addCleanup(writer.close)
        return writer

    def ring(self, path: str | None = None) -> Ring:
        ring = Ring(path or self.path)
        self.addCleanup(ring.close)
        return ring


class Golden(InMemory):
    """The file of version 1 opens for ever."""

    def setUp(self) -> None:
        super().setUp()
        shutil.copy(GOLDEN, self.path)
        os.chmod(self.path, 0o644)

    def test_golden_file_reads_as_it_was_made(self) -> None:
        ring = self.ring()
        self.assertEqual((ring.head, ring.bounds, ring.ring_id), (8, (5, 8), (0x1111, 0x2222)))
        told = [(one.name, one.column, one.first, one.last) for one in ring.series(ended=True)]
        self.assertEqual(
            told,
            [
                ("host/load1", 0, 1, None),
                ("nic/eth0/receive_bytes", 1, 1, 6),
                ("nic/müll/receive_bytes", 1, 7, None),
                ("nic/unborn/receive_bytes", 2, 9, 8),
            ],
        )
        for seq in (6, 7, 8):
            raw = ring.read_raw(seq)
            columns = 2 if seq < 8 else 3
            self.assertEqual(raw.words.tolist(), [self_evident(seq, c) for c in range(columns)])
            self.assertEqual(
                raw.header, (seq, seq * 1_000_000, seq * 1_000_000 + 7, 1, columns, seq, 1, 0)
            )
        with self.assertRaises(Overrun):
            ring.read(5)
        with self.assertRaises(NotYet):
            ring.read(9)
        self.assertEqual(list(ring.read(6)), [("host", "load1"), ("nic/eth0", "receive_bytes")])
        self.assertEqual(list(ring.read(8)), [("host", "load1"), ("nic/müll", "receive_bytes")])
        self.assertIs(ring.liveness(), Liveness.DEAD)

    def damaged(self, word: int, value: int) -> FormatError:
        block = bytearray(GOLDEN.read_bytes())
        block[word * 8 : word * 8 + 8] = value.to_bytes(8, "little")
        if word != _layout.AT_CHECKSUM:
            block[248:256] = zlib.crc32(block[:248]).to_bytes(8, "little")
        Path(self.path).write_bytes(block)
        with self.assertRaises(FormatError) as caught:
            Ring(self.path)
        return caught.exception

    def test_each_damaged_field_is_named(self) -> None:
        table = [
            ("magic", "magic", 7),
            ("magic", "endian_tag", int.from_bytes(_layout.MAGIC.to_bytes(8, "little"), "big")),
            ("endian_tag", "endian_tag", 3),
            ("endian_tag", "endian_tag", 0x0807060504030201),
            ("version", "version", 0),
            ("compatible_version", "compatible_version", 2),
            ("incompatible_flags", "incompatible_flags", 4),
            ("header_bytes", "header_bytes", 8),
            ("file_bytes", "file_bytes", ABSENT),
            ("file_bytes", "directory_offset", 64),
            ("file_bytes", "file_bytes", 1 << 30),
            ("slots_offset", "slots_offset", 0),
            ("slots_offset", "slots_offset", ABSENT - 63),
            ("slots_offset", "slots_offset", 8192 + 8),
            ("slot_bytes", "slot_bytes", 64),
            ("slot_bytes", "slot_bytes", 130),
            ("slot_count", "slot_count", 3),
            ("slot_count", "slot_count", 1 << 60),
            ("column_capacity", "column_capacity", 0),
            ("column_capacity", "column_capacity", ABSENT),
            ("directory_offset", "directory_offset", 0),
            ("directory_offset", "directory_offset", 4097),
            ("entry_bytes", "entry_bytes", 8),
            ("entry_capacity", "entry_capacity", 0),
            ("entry_capacity", "entry_capacity", 1 << 40),
            ("arena_offset", "arena_offset", 4096),
            ("arena_bytes", "arena_bytes", 12),
            ("interval_ns", "interval_ns", 0),
            ("first_seq", "first_seq", ABSENT),
            ("checksum", "checksum", 5),
        ]
        for field, named, value in table:
            with self.subTest(field=field, value=value):
                word = getattr(_layout, f"AT_{field.upper()}")
                self.assertEqual(self.damaged(word, value).field, named)

    def test_any_flipped_bit_of_the_immutable_part_is_found(self) -> None:
        golden = GOLDEN.read_bytes()
        for bit in range(0, 256 * 8):
            block = bytearray(golden[:256])
            block[bit // 8] ^= 1 << bit % 8
            with self.assertRaises(FormatError):
                _header.decode(bytes(block), len(golden))

    def test_short_files_are_refused(self) -> None:
        golden = GOLDEN.read_bytes()
        for length in (0, 1, 8, 255, 256, 4095, 4096, len(golden) - 1):
            Path(self.path).write_bytes(golden[:length])
            with self.subTest(length=length), self.assertRaises(FormatError) as caught:
                Ring(self.path)
            self.assertEqual(caught.exception.field, "magic" if length < 4096 else "file_bytes")


class Reading(InMemory):
    """Single records and what stands between them."""

    def test_every_sequence_is_overrun_present_or_not_yet_after_every_publish(self) -> None:
        for slots in (2, 4, 8):
            writer = self.writer(slots=slots, columns=2)
            writer.add("host", "n", 1, 1)
            ring = self.ring()
            column = ring.find("host", "n")
            for head in range(3 * slots + 2):
                self.assertEqual(column.latest(), self_evident(head, 1) if head else None)
                for seq in range(head + 2 * slots):
                    expected: Any = self_evident(seq, 1)
                    if seq == 0:
                        expected = Corrupt
                    elif seq > head:
                        expected = NotYet
                    elif seq + slots <= head:
                        expected = Overrun
                    reads: list[Callable[[], Any]] = [
                        lambda: ring.read(seq)["host", "n"],
                        lambda: ring.read(seq, [column])["host", "n"],
                        lambda: ring.read_raw(seq).words[1],
                        lambda: column.at(seq),
                    ]
                    for read in reads:
                        try:
                            found = read()
                        except tachograph.ReadError as error:
                            self.assertEqual(error.seq, seq)
                            found = type(error)
                        self.assertEqual(found, expected, (slots, head, seq))
                writer.publish()

    def test_sequences_that_no_record_has_are_never_found(self) -> None:
        writer = self.writer()
        writer.publish()
        ring = self.ring()
        for seq in (-8, 0, 1 << 63, (1 << 63) + 1, 1 << 70):
            with self.assertRaises(Corrupt):
                ring.read_raw(seq)

    def test_a_record_that_was_being_written_when_its_writer_died_is_lost(self) -> None:
        writer = self.writer(slots=8)
        for _ in range(4):
            writer.publish()
        writer.words[writer.slot(5)] = 9
        ring = self.ring()
        with self.assertRaises(NotYet):
            ring.read(5)
        # The head goes on without it, as after a repair of a damaged slot.
        writer.words[writer.slot(5)] = 0
        writer.head = 5
        writer.publish()
        with self.assertRaises(Lost):
            ring.read(5)
        writer.words[writer.slot(5)] = 2 * 6
        with self.assertRaises(Corrupt):
            ring.read(5)

    def test_what_was_read_of_an_overwritten_slot_is_thrown_away(self) -> None:
        writer = self.writer(slots=2)
        writer.add("host", "n", 0, 1)
        writer.publish()
        ring = self.ring()
        column = ring.find("host", "n")

        def lap() -> None:
            writer.publish()
            writer.publish()

        reads: tuple[Callable[[], Any], ...] = (
            lambda: ring.read(writer.head),
            lambda: ring.read(writer.head, [column]),
            lambda: column.at(writer.head),
        )
        for read in reads:
            # The fence stands between the looks at the slot, so the writer comes by there.
            ring._file.fence = _once(lap)
            with self.assertRaises(Overrun):
                read()
            ring._file.fence = None

    def test_latest_begins_again_when_it_was_lapped(self) -> None:
        writer = self.writer(slots=2)
        writer.add("host", "n", 0, 1)
        writer.publish()
        ring = self.ring()
        column = ring.find("host", "n")

        def lap() -> None:
            writer.publish()
            writer.publish()

        ring._file.fence = _once(lap, after=1)
        self.assertEqual(column.latest(), self_evident(3, 0))
        ring._file.fence = _once(lap, after=1)
        record = ring.latest()
        assert record is not None
        self.assertEqual((record.seq, record["host", "n"]), (5, self_evident(5, 0)))

    def test_a_writer_that_is_always_faster_is_an_error_and_no_endless_loop(self) -> None:
        writer = self.writer(slots=2)
        writer.add("host", "n", 0, 1)
        writer.publish()
        ring = self.ring()
        column = ring.find("host", "n")

        def lap() -> None:
            writer.publish()
            writer.publish()

        ring._file.fence = lap
        for read in (column.latest, ring.latest):
            with self.assertRaises(Overrun):
                read()

    def test_a_column_that_is_used_again_is_never_taken_for_the_old_series(self) -> None:
        writer = self.writer(columns=2)
        old = writer.add("nic/a", "n", 1, 1)
        writer.publish()
        ring = self.ring()
        column = ring.find("nic/a", "n")
        self.assertEqual(column.latest(), self_evident(1, 1))
        writer.end(old, 1)
        writer.add("nic/b", "n", 1, 2)
        writer.publish()
        self.assertIsNone(column.latest())
        self.assertEqual([column.at(1), column.at(2)], [self_evident(1, 1), None])
        self.assertEqual(list(ring.read(1)), [("nic/a", "n")])
        self.assertEqual(list(ring.read(2)), [("nic/b", "n")])
        self.assertEqual(ring.find("nic/b", "n").latest(), self_evident(2, 1))
        with self.assertRaises(KeyError):
            ring.find("nic/a", "n")
        # The series comes back in another place: whoever holds it finds it there.
        writer.add("nic/a", "n", 0, 3)
        writer.publish()
        self.assertEqual(column.latest(), self_evident(3, 0))
        lives = [column.at(seq) for seq in (1, 2, 3)]
        self.assertEqual(lives, [self_evident(1, 1), None, self_evident(3, 0)])
        for arrays in BOTH:
            window = ring.window(series="nic/*", arrays=arrays)
            self.assertEqual(
                _lists(window)["nic/a", "n"], [self_evident(1, 1), None, self_evident(3, 0)]
            )
            expected = [None, self_evident(2, 1), self_evident(3, 1)]
            self.assertEqual(_lists(window)["nic/b", "n"], expected)

    def test_what_was_not_measured_is_not_there(self) -> None:
        writer = self.writer(columns=3)
        writer.add("host", "count", 0, 1)
        writer.add("host", "load", 1, 1, repr=2)
        writer.add("host", "later", 2, 1)
        writer.publish([ABSENT, ABSENT])
        writer.publish([ABSENT - 1, word_of(-0.25)])
        writer.publish([0, word_of(float("inf"))])
        writer.publish([7, word_of(1e308), 9])
        ring = self.ring()
        expected: dict[str, list[Any]] = {
            "count": [None, ABSENT - 1, 0, 7],
            "load": [None, -0.25, None, 1e308],
            "later": [None] * 3 + [9],
        }
        for metric, values in expected.items():
            column = ring.find("host", metric)
            self.assertEqual([column.at(seq) for seq in (1, 2, 3, 4)], values)
            self.assertEqual([ring.read(seq).get(("host", metric)) for seq in (1, 2, 3, 4)], values)
            self.assertEqual(column.latest(), values[3])
            for arrays in BOTH:
                self.assertEqual(_lists(ring.window(arrays=arrays))["host", metric], values)
        newest = ring.latest()
        assert newest is not None
        self.assertEqual(newest.flat(), {"host/count": 7, "host/load": 1e308, "host/later": 9})

    def test_an_entry_that_makes_no_sense_costs_only_itself(self) -> None:
        writer = self.writer(columns=2)
        for _ in range(7):
            writer.add("host", "n", 1, 1)
        at = 4096 // 8
        writer.words[at + 2] = 99
        writer.words[at + 8 + 0] = 1 << 63
        writer.words[at + 16 + 3] = 2
        writer.words[at + 24 + 4] = 0
        writer.words[at + 32 + 1] = 5 << 32 | 1
        writer.words[at + 40 + 0] = 2000
        writer.add("host", "good", 0, 1)
        writer.publish()
        ring = self.ring()
        self.assertEqual([one.metric for one in ring.series()], ["n", "good"])
        self.assertEqual(ring._directory.damaged, 6)
        writer.words[52] = 1 << 60
        writer.words[54] += 1
        self.assertEqual(len(ring.series()), 2)

    def test_a_width_that_changes_while_it_is_read_is_no_crash(self) -> None:
        writer = self.writer(columns=3)
        writer.add("host", "a", 0, 1)
        writer.add("host", "b", 2, 1)
        writer.publish()
        ring = self.ring()
        width = writer.slot(1) + 4
        for now, then in ((1, 3), (3, 1), (0, 1 << 60), (1 << 60, 0)):

            def change(then: int = then) -> None:
                writer.words[width] = then

            for read in (ring.read, ring.read_raw):
                writer.words[width] = now
                ring._file.fence = _once(change, after=1)
                read(1)
                ring._file.fence = None

    def test_a_hostile_head_is_an_error_and_no_crash(self) -> None:
        writer = self.writer()
        writer.add("host", "n", 0, 1)
        writer.publish()
        ring = self.ring()
        column = ring.find("host", "n")
        for head in (ABSENT, 1 << 63, (1 << 63) - 1, 9, 1 << 40):
            writer.words[32] = head
            for read in (column.latest, ring.latest):
                with self.assertRaises(tachograph.ReadError):
                    read()
            for arrays in BOTH:
                window = ring.window(arrays=arrays)
                self.assertLessEqual(len(window), 1)


class Hostile(InMemory):
    """A ring whose words are anything, which change while they are read."""

    def test_no_word_of_a_mapped_ring_leads_to_anything_but_an_error_of_this_package(self) -> None:
        chance = random.Random(20)
        writer = self.writer(slots=8, columns=3, entries=8)
        series = [("host", "a", 0, 2), ("host", "b", 1, 1), ("nic/x", "a", 2, 1)]
        for name, metric, column, repr in series:
            writer.add(name, metric, column, 1, repr=repr)
        for _ in range(11):
            writer.publish([word_of(0.5), 5, 7])
        sound = list(writer.words)
        # All but the immutable part, which was read once when the ring was opened.
        open_words = [*range(32, 35), *range(48, 55), *range(512, 512 + 3 * 8)]
        open_words += [writer.slot(seq) + word for seq in range(1, 9) for word in range(11)]
        numbers = [0, 1, 2, 3, 7, 8, 11, 12, 22, 23, 24, 1 << 31, 1 << 32, 1 << 40, 1 << 63, ABSENT]

        def harm() -> None:
            word = chance.choice(open_words)
            writer.words[word] = chance.choice([*numbers, sound[word], chance.getrandbits(64)])

        read = failed = 0
        for _ in range(400):
            for word in open_words:
                writer.words[word] = sound[word]
            ring = Ring(self.path)
            columns = [ring.find(name, metric) for name, metric, _, _ in series]
            # Some of it before, some of it between the looks at a slot.
            for _ in range(chance.randrange(4)):
                harm()
            ring._file.fence = harm if chance.randrange(2) else None
            seq = chance.randrange(14)
            asks: list[Callable[[], Any]] = [
                columns[0].latest,
                lambda: columns[1].at(seq),
                ring.latest,
                lambda: ring.latest(columns),
                lambda: ring.read_raw(seq),
                lambda: ring.read(seq),
                lambda: ring.series(ended=True),
                lambda: ring.window(5, arrays=False),
                lambda: ring.window(arrays=BOTH[-1]),
                lambda: ring.window(after_ns=3 * 10**9, up_to_ns=9 * 10**9, arrays=BOTH[-1]),
                lambda: next(ring.follow(0.0, after=seq), None),
                ring.liveness,
            ]
            for ask in chance.sample(asks, 4):
                try:
                    ask()
                    read += 1
                except (tachograph.RingError, KeyError):
                    failed += 1
            ring._file.fence = None
            ring.close()
        self.assertGreater(read, 200)
        self.assertGreater(failed, 50)


def _once(action: Callable[[], None], after: int = 0) -> Callable[[], None]:
    """A fence during which `action` happens, the first time that it has been passed `after`
    times."""
    passed = -1

    def fence() -> None:
        nonlocal passed
        passed += 1
        if passed == after:
            action()

    return fence


def _lists(window: Any) -> dict[Any, list[Any]]:
    return {
        key: column if isinstance(column, list) else column.tolist()
        for key, column in window.columns.items()
    }


def _plain(window: Any) -> tuple[list[int], list[int], list[Gap], dict[Any, list[Any]]]:
    return list(window.seq), list(window.time_ns), window.gaps, _lists(window)


class Windows(InMemory):
    """Ranges of records."""

    def test_windows_are_what_reading_one_by_one_gives(self) -> None:
        writer = self.writer(slots=16, columns=3)
        writer.add("host", "n", 0, 1)
        entry = writer.add("disk/a", "n", 2, 1, repr=2)
        writer.add("disk/b", "n", 1, 5)
        for seq in range(1, 40):
            if seq == 20:
                writer.end(entry, 19)
            writer.publish([seq, seq * 2, word_of(seq / 2)])
            ring = self.ring()
            oldest, head = max(1, seq - 15), seq
            for first, last in (
                (1, seq),
                (oldest, head),
                (seq - 3, seq - 1),
                (seq, seq + 9),
                (seq + 1, seq + 2),
            ):
                expected_seq = [n for n in range(max(first, oldest), min(last, head) + 1)]
                records = [ring.read(n) for n in expected_seq]
                lost = max(min(last + 1, oldest) - max(first, 1), 0)
                gaps = (
                    [Gap(expected_seq[0] if expected_seq else last + 1, "overrun", lost)]
                    if lost
                    else []
                )
                for arrays in BOTH:
                    found = _plain(
                        ring.window(
                            first=first,
                            last=last,
                            series=["host/n", ("disk/a", "n")],
                            arrays=arrays,
                        )
                    )
                    self.assertEqual(
                        found[:3], (expected_seq, [n * 1_000_000_000 for n in expected_seq], gaps)
                    )
                    for key, values in found[3].items():
                        self.assertEqual(values, [record.get(key) for record in records])
                    if expected_seq:
                        self.assertIn(("host", "n"), found[3])
                    self.assertNotIn(("disk/b", "n"), found[3])

    def test_windows_by_time_follow_a_clock_that_was_set_back(self) -> None:
        writer = self.writer(slots=32, columns=1)
        writer.add("host", "n", 0, 1)
        times = [100, 200, 300, 400, 250, 350, 450, 120, 130]
        run_first = [1, 1, 1, 1, 5, 5, 5, 8, 8]
        for time_ns, run in zip(times, run_first):
            writer.publish(time_ns=time_ns, run_first=run)
        ring = self.ring()
        for after in range(0, 500, 10):
            for up_to in range(after, 500, 10):
                expected = [n + 1 for n, time_ns in enumerate(times) if after < time_ns <= up_to]
                for arrays in BOTH:
                    window = ring.window(after_ns=after, up_to_ns=up_to, arrays=arrays)
                    self.assertEqual(list(window.seq), expected, (after, up_to))
        for arrays in BOTH:
            self.assertEqual(list(ring.window(15e-9, arrays=arrays).seq), [8, 9])

    def test_all_that_stands_between_records_is_told(self) -> None:
        writer = self.writer(slots=16, columns=1)
        for seq in range(1, 13):
            flags = {1: 1, 4: 4, 7: 2, 9: 1 | 2 | 4}.get(seq, 0)
            writer.publish(flags=flags, missed=3 if flags & 4 else 0, epoch=2 if seq >= 9 else 1)
        writer.words[writer.slot(5)] = 0
        writer.words[writer.slot(12)] = 0
        ring = self.ring()
        told = [
            Gap(4, "missed", 3),
            Gap(6, "missing", 1),
            Gap(7, "clock_step", 1),
            Gap(9, "missed", 3),
            Gap(9, "clock_step", 1),
            Gap(9, "epoch", 2),
            Gap(13, "missing", 1),
        ]
        for arrays in BOTH:
            self.assertEqual(ring.window(arrays=arrays).gaps, told)
            self.assertEqual(ring.window(first=9, last=11, arrays=arrays).gaps, [])
            within = ring.window(after_ns=2 * 10**9, up_to_ns=4 * 10**9, arrays=arrays)
            self.assertEqual((list(within.seq), within.gaps), ([3, 4], [Gap(4, "missed", 3)]))

    def test_records_that_are_overwritten_meanwhile_are_left_out_and_counted(self) -> None:
        writer = self.writer(slots=8, columns=1)
        writer.add("host", "n", 0, 1)
        for arrays in BOTH:
            while writer.head % 8:
                writer.publish()
            for _ in range(8):
                writer.publish()
            ring = self.ring()
            head = ring.head

            def three_more() -> None:
                for _ in range(3):
                    writer.publish()

            # After the first look at the slots, which is the second fence at the latest.
            reads = 1
            ring._directory.update()
            ring._file.fence = _once(three_more, after=reads)
            window = ring.window(arrays=arrays)
            kept = list(range(head - 4, head + 1))
            self.assertEqual(list(window.seq), kept)
            self.assertEqual(_lists(window)["host", "n"], [self_evident(seq, 0) for seq in kept])
            self.assertEqual(window.gaps, [Gap(head - 4, "overrun", 3)])

    def test_patterns_and_names_choose(self) -> None:
        writer = self.writer()
        for number, (name, metric) in enumerate(
            [("cpu/0", "user"), ("cpu/1", "user"), ("host", "user")]
        ):
            writer.add(name, metric, number, 1)
        writer.publish()
        ring = self.ring()

        def names(select: Any) -> list[str]:
            return [one.name for one in ring.series(select)]

        self.assertEqual(names("cpu/*/user"), ["cpu/0/user", "cpu/1/user"])
        self.assertEqual(names(("cpu/1", "user")), ["cpu/1/user"])
        self.assertEqual(names(["host/*", ("cpu/1", "user")]), ["cpu/1/user", "host/user"])
        self.assertEqual(names([]), [])
        self.assertEqual(len(names(None)), 3)
        with self.assertRaises(ValueError):
            ring.window(5, first=1, arrays=False)

    @unittest.skipIf(HAS_NUMPY, "numpy is installed")
    def test_without_numpy_it_is_said_how_to_get_lists(self) -> None:
        self.writer().publish()
        with self.assertRaisesRegex(ImportError, "arrays=False"):
            self.ring().window(5)

    @unittest.skipUnless(HAS_NUMPY, "LEFT OUT: numpy is not installed")
    def test_arrays_have_types_that_fit(self) -> None:
        import numpy as np

        writer = self.writer(columns=2)
        writer.add("host", "n", 0, 1)
        writer.add("host", "load", 1, 1, repr=2)
        writer.publish([5, word_of(0.5)])
        writer.publish([6, ABSENT])
        window = self.ring().window()
        self.assertEqual(window["host", "n"].dtype, np.uint64)
        self.assertEqual(window["host", "load"].dtype, np.float64)
        self.assertEqual(window.time[0], np.datetime64("1970-01-01T00:00:01", "ns"))
        table = window.structured()
        self.assertEqual(table.dtype.names, ("seq", "time", "host/n", "host/load"))
        self.assertEqual(table["host/load"].tolist(), [0.5, None])
        self.assertEqual(table["host/n"].tolist(), [5, 6])
        self.assertEqual(table["time"][1], window.time[1])


class Following(InMemory):
    """What comes next, and where it comes from."""

    def test_each_record_is_given_once_with_what_stands_before_it(self) -> None:
        writer = self.writer(slots=4, columns=1)
        writer.add("host", "n", 0, 1)
        for _ in range(3):
            writer.publish()
        ring = self.ring()
        follower = ring.follow(0.0, after=1)
        self.assertEqual(next(follower).seq, 2)
        for _ in range(6):
            writer.publish()
        found = list(follower)
        self.assertEqual([record.seq for record in found], [6, 7, 8, 9])
        self.assertEqual(found[0].gaps, (Gap(6, "overrun", 3),))
        self.assertEqual(found[1].gaps, ())
        self.assertEqual(found[0]["host", "n"], self_evident(6, 0))

    def test_follower_goes_on_in_the_file_that_takes_the_place(self) -> None:
        writer = self.writer(slots=4, columns=1)
        writer.add("host", "n", 0, 1)
        writer.publish()
        ring = self.ring()
        column = ring.find("host", "n")
        follower = ring.follow(0.5, after=0)
        self.assertEqual(next(follower).seq, 1)
        larger = self.writer("host.ring.tmp", slots=8, columns=2, ring_id=0x5555)
        larger.add("host", "n", 1, 1)
        larger.publish()
        os.rename(os.path.join(self.dir, "host.ring.tmp"), self.path)
        writer.words[48] = 3
        writer.words[34] += 1
        larger.publish()
        record = next(follower)
        self.assertEqual(
            (record.seq, record["host", "n"], record.gaps), (2, self_evident(2, 1), ())
        )
        self.assertEqual((ring.reopened, column.latest()), (1, self_evident(2, 1)))
        self.assertEqual(list(follower), [])

    def test_a_ring_whose_numbers_begin_anew_is_told(self) -> None:
        writer = self.writer(slots=4, columns=1)
        for _ in range(3):
            writer.publish()
        ring = self.ring()
        follower = ring.follow(0.0, after=2)
        self.assertEqual(next(follower).seq, 3)
        os.unlink(self.path)
        other = self.writer(slots=4, columns=1, ring_id=0x6666)
        other.publish()
        found = list(follower)
        self.assertEqual(
            [(record.seq, record.gaps) for record in found], [(1, (Gap(1, "restart", 1),))]
        )

    def test_a_retired_ring_without_a_successor_can_still_be_read(self) -> None:
        writer = self.writer()
        writer.add("host", "n", 0, 1)
        writer.publish()
        ring = self.ring()
        column = ring.find("host", "n")
        os.unlink(self.path)
        writer.words[48] = 3
        self.assertIs(ring.liveness(), Liveness.RETIRED)
        self.assertEqual(column.latest(), self_evident(1, 0))
        self.assertIsNone(ring.wait(1, 0.01))

    def test_wait_ends_by_time_and_by_record_and_lets_other_threads_run(self) -> None:
        writer = self.writer(interval_ns=10**12)
        ring = self.ring()
        self.assertIsNone(ring.wait(0, 0.01))

        def publish() -> None:
            time.sleep(0.05)
            writer.publish()
            writer.words[34] = writer.head
            _wake(writer)

        thread = threading.Thread(target=publish)
        thread.start()
        self.assertEqual(ring.wait(0, LONG), 1)
        thread.join()
        self.assertEqual(ring.wait(0, 0), 1)

    def test_where_there_is_no_futex_the_clock_does(self) -> None:
        writer = self.writer(interval_ns=20_000_000)
        ring = self.ring()
        ring._file.sleeper().close()
        self.assertFalse(ring.by_futex)
        thread = threading.Timer(0.05, writer.publish)
        thread.start()
        self.assertEqual(ring.wait(0, LONG), 1)
        thread.join()


def _wake(writer: Writer) -> None:
    import ctypes

    address = ctypes.addressof(ctypes.c_uint32.from_buffer(writer.map, 272))
    futex = _machine._CALLS[_machine._machine()][0]
    ctypes.CDLL(None).syscall(
        ctypes.c_long(futex),
        ctypes.c_void_p(address),
        ctypes.c_int(1),
        ctypes.c_int(1 << 30),
        None,
        None,
        0,
    )


class Trust(InMemory):
    """Whom a reader trusts with a mapping, and where it looks for rings."""

    def test_files_that_others_could_shorten_are_not_mapped(self) -> None:
        self.writer()
        os.chmod(self.path, 0o664)
        with self.assertRaises(Untrusted):
            Ring(self.path)
        os.chmod(self.path, 0o644)
        os.link(self.path, self.path + "2")
        with self.assertRaises(Untrusted):
            Ring(self.path)
        os.unlink(self.path + "2")
        os.symlink(self.path, self.path + "3")
        with self.assertRaises(OSError):
            Ring(self.path + "3")
        with self.assertRaises(tachograph.OpenError):
            Ring("/dev/null")
        with self.assertRaises(Missing):
            Ring(self.path + "4")

    def test_files_of_other_users_are_not_mapped(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("LEFT OUT: only root can give files away")
        self.writer()
        os.chown(self.path, 12345, 12345)
        with self.assertRaises(Untrusted):
            Ring(self.path)
        os.chown(self.path, 998, 998)
        with self.assertRaises(Untrusted):
            Ring(self.path)
        # The directory of a service that root has set up; what is above belongs to root and nobody
        # else writes to it.
        above = os.path.join(self.dir, "run")
        folder = os.path.join(above, "service")
        os.makedirs(folder, 0o755)
        os.chown(folder, 998, 998)
        moved = os.path.join(folder, "host.ring")
        os.rename(self.path, moved)
        self.ring(moved)
        os.chmod(above, 0o775)
        with self.assertRaises(Untrusted):
            Ring(moved)

    def test_usual_places_are_those_of_the_recorder(self) -> None:
        self.assertEqual(
            _place.usual_places(1000, "/run/user/1000"),
            [
                "/run/user/1000/tachograph",
                "/run/tachograph",
                "/dev/shm/tachograph-1000",
                "/dev/shm/tachograph-0",
            ],
        )
        self.assertEqual(
            _place.usual_places(0, "/run/user/0"),
            ["/run/tachograph", "/run/user/0/tachograph", "/dev/shm/tachograph-0"],
        )
        self.assertEqual(
            _place.usual_places(7, "relative"),
            ["/run/tachograph", "/dev/shm/tachograph-7", "/dev/shm/tachograph-0"],
        )

    def test_the_ring_of_the_first_usual_place_that_has_one_is_opened(self) -> None:
        os.mkdir(os.path.join(self.dir, "tachograph"), 0o700)
        self.writer(os.path.join("tachograph", "host.ring"))
        self.writer(os.path.join("tachograph", "fast.ring"))
        empty = os.path.join(self.dir, "empty")
        places = [empty, os.path.join(self.dir, "tachograph")]
        with mock.patch.object(_place, "usual_places", lambda uid, runtime_dir: places):
            with Ring() as ring, Ring.lane("fast") as fast:
                found = [os.path.basename(one.path or "") for one in (ring, fast)]
                self.assertEqual(found, ["host.ring", "fast.ring"])
            with self.assertRaisesRegex(Missing, empty):
                Ring.lane("slow")

    def test_lanes_are_found_below_the_run_directory(self) -> None:
        self.writer("fast.ring")
        with Ring.lane("fast", self.dir) as ring:
            self.assertEqual(ring.path, os.path.join(self.dir, "fast.ring"))
        with self.assertRaises(Missing):
            Ring(run_dir=self.dir)
        with self.assertRaises(ValueError):
            Ring.lane("../fast", self.dir)

    def test_descriptors_are_mapped_only_when_they_are_sealed(self) -> None:
        if not hasattr(os, "memfd_create"):
            self.skipTest("LEFT OUT: this Python has no memfd_create")
        fd = os.memfd_create("ring", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        writer = Writer("", fd=fd)
        self.addCleanup(writer.close)
        writer.add("host", "n", 0, 1)
        writer.publish()
        fcntl.flock(fd, fcntl.LOCK_EX)
        shrink, grow, future_write, seal = 2, 4, 16, 1
        missing = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_FUTURE_WRITE", "F_SEAL_SEAL")
        for name, seals in zip(missing, (shrink, grow, future_write, seal)):
            with self.assertRaisesRegex(Untrusted, name):
                Ring.from_fd(fd)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        with Ring.from_fd(fd) as ring:
            self.assertEqual(ring.read(1)["host", "n"], self_evident(1, 0))
            self.assertIsNone(ring.path)
            self.assertFalse(ring.refresh())
            self.assertIsNone(ring.wait(1, 0.01))
            # The lock is the sender's, and stays so however often it is asked for.
            self.assertTrue(ring._file.is_held())
            self.assertTrue(ring._file.is_held())
            writer.words[48] = 3
            self.assertEqual(ring.wait(0, LONG), 1)
            asks: list[Callable[[], object]] = [ring.refresh, lambda: ring.wait(1, LONG)]
            for ask in asks:
                with self.assertRaises(tachograph.Nameless):
                    ask()
            self.assertEqual(ring.find("host", "n").latest(), self_evident(1, 0))
        with open(self.path, "wb") as plain, self.assertRaises(Untrusted):
            Ring.from_fd(plain.fileno())

    def test_liveness_is_decided_by_state_lock_and_heartbeat(self) -> None:
        writer = self.writer()
        ring = self.ring()
        self.assertIs(ring.liveness(), Liveness.DEAD)
        fcntl.flock(writer.fd, fcntl.LOCK_EX)
        self.assertIs(ring.liveness(), Liveness.LIVE, "no record yet")
        writer.publish()
        writer.words[33] = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.assertIs(ring.liveness(), Liveness.LIVE)
        writer.words[33] = 0
        self.assertIs(ring.liveness(), Liveness.HUNG)
        writer.words[48] = 2
        self.assertIs(ring.liveness(), Liveness.CLOSED)
        self.assertEqual(str(Liveness.CLOSED), "closed")


class Machine(InMemory):
    """What the machine must give."""

    def test_membarrier_is_a_fence_where_loads_are_not_kept_in_order(self) -> None:
        writer = self.writer()
        writer.add("host", "n", 0, 1)
        writer.publish()
        try:
            fence = _machine.membarrier()
        except tachograph.Unsupported as error:
            self.skipTest(f"LEFT OUT: {error}")
        ring = self.ring()
        ring._file.fence = fence
        self.assertEqual(ring.find("host", "n").latest(), self_evident(1, 0))
        self.assertEqual(ring.read(1)["host", "n"], self_evident(1, 0))

    def test_a_machine_without_a_fence_opens_nothing(self) -> None:
        self.writer()
        with mock.patch.object(_machine, "_machine", lambda: "alpha"):
            with self.assertRaises(tachograph.Unsupported):
                Ring(self.path)

    def test_the_oldest_python_that_is_promised_can_parse_it(self) -> None:
        for path in [*PACKAGE.glob("*.py"), *Path(__file__).parent.glob("*.py")]:
            ast.parse(path.read_text(), feature_version=(3, 9))

    def test_a_closed_ring_says_so_and_what_was_read_stays(self) -> None:
        writer = self.writer()
        writer.add("host", "n", 0, 1)
        writer.publish()
        ring = Ring(self.path)
        record, raw = ring.read(1), ring.read_raw(1)
        windows = [ring.window(arrays=arrays) for arrays in BOTH]
        ring.close()
        ring.close()
        with self.assertRaises(ValueError):
            ring.latest()
        self.assertEqual(record["host", "n"], raw.words[0])
        for window in windows:
            self.assertEqual(list(window["host", "n"]), [record["host", "n"]])


if __name__ == "__main__":
    unittest.main()
