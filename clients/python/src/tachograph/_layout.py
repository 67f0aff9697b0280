"""The numbers of the format, version 1.

`src/ring/format.md` of the recorder describes the bytes; a test compares every name below with the
recorder's own. Places of fields are in words of 8 bytes, sizes in bytes unless the name says else.
"""

from __future__ import annotations

WORD = 8

MAGIC = int.from_bytes(b"\x89TACHO\r\n", "little")
ENDIAN_TAG = 0x0102030405060708
VERSION = 1
INCOMPATIBLE_FLAGS_KNOWN = 0

# The header's words.
AT_MAGIC = 0
AT_ENDIAN_TAG = 1
AT_VERSION = 2
AT_COMPATIBLE_VERSION = 3
AT_INCOMPATIBLE_FLAGS = 4
AT_COMPATIBLE_FLAGS = 5
AT_HEADER_BYTES = 6
AT_FILE_BYTES = 7
AT_SLOTS_OFFSET = 8
AT_SLOT_BYTES = 9
AT_SLOT_COUNT = 10
AT_COLUMN_CAPACITY = 11
AT_DIRECTORY_OFFSET = 12
AT_ENTRY_BYTES = 13
AT_ENTRY_CAPACITY = 14
AT_ARENA_OFFSET = 15
AT_ARENA_BYTES = 16
AT_RING_ID = 17
AT_RING_ID_HIGH = 18
AT_BOOT_ID = 19
AT_BOOT_ID_HIGH = 20
AT_INTERVAL_NS = 21
AT_CREATED_NS = 22
AT_FIRST_SEQ = 23
AT_CHECKSUM = 31
AT_HEAD = 32
AT_HEARTBEAT_NS = 33
AT_NOTIFY = 34
AT_STATE = 48
AT_EPOCH = 49
AT_PID = 50
AT_PID_START = 51
AT_ENTRY_COUNT = 52
AT_ARENA_USED = 53
AT_DIRECTORY_CHANGES = 54

# A directory entry's words.
ENTRY_OBJECT = 0
ENTRY_METRIC = 1
ENTRY_MEANING = 2
ENTRY_COLUMN = 3
ENTRY_FIRST = 4
ENTRY_LAST = 5
ENTRY_WORDS = 6

# A record's words; the columns follow.
RECORD_SEQ = 0
RECORD_REALTIME_NS = 1
RECORD_BOOTTIME_NS = 2
RECORD_EPOCH_AND_FLAGS = 3
RECORD_COLUMNS = 4
RECORD_TICK_DURATION_NS = 5
RECORD_RUN_FIRST = 6
RECORD_MISSED_TICKS = 7
RECORD_WORDS = 8

STATE_RUNNING = 1
STATE_CLOSED = 2
STATE_RETIRED = 3

FLAG_EPOCH_FIRST = 1
FLAG_CLOCK_STEP = 2
FLAG_MISSED = 4

# Sizes that every file has at least, and alignments.
HEADER_BYTES = 4096
HEADER_BYTES_LEAST = 512
HEADER_BYTES_MAX = 1 << 20
ENTRY_BYTES = 64
ENTRY_BYTES_MAX = 4096
SLOT_ALIGN = 64
SLOT_BYTES_MAX = 2 << 20

# Bounds.
SLOTS_MIN = 2
SLOTS_MAX = 1 << 24
COLUMNS_MAX = 131064
ENTRIES_MAX = 1 << 20
ARENA_BYTES_MAX = 1 << 28
FILE_BYTES_MAX = 1 << 40
SEQUENCE_MAX = (1 << 63) - 1
RESUME_MAX = 1 << 62
OBJECT_ID_BYTES_MAX = 1024
METRIC_BYTES_MAX = 255

# `last` of a series that lives, and the word that says "nothing was measured".
LIVES = (1 << 64) - 1
ABSENT = (1 << 64) - 1

KINDS = {1: "gauge", 2: "counter", 3: "derive"}
UNITS = {
    1: "count",
    2: "bytes",
    3: "sectors",
    4: "seconds",
    5: "milliseconds",
    6: "microseconds",
    7: "nanoseconds",
    8: "ticks",
    9: "ratio",
    10: "percent",
    11: "flag",
    12: "pages",
    13: "kilohertz",
    14: "millicelsius",
    15: "thousandths",
    16: "millionths",
}
REPRS = {1: "u64", 2: "f64"}
