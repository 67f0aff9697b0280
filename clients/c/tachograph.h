/*
 * Reads the rings of tachograph: a host's vitals, many times a second, from shared memory.
 *
 * One header and nothing to link: C11 or C++11, Linux, 64 bits. It allocates nothing, never waits
 * for the writer (but in tacho_wait, which has a time limit) and costs the writer nothing. The bytes
 * are described in src/ring/format.md; the letters A to D below are those of its protocol.
 *
 *     struct tacho_ring ring;
 *     struct tacho_error error;
 *     struct tacho_column load;
 *     struct tacho_value value;
 *     char text[TACHO_TEXT_BYTES];
 *
 *     if (tacho_open(&ring, "/run/tachograph/host.ring", &error) != TACHO_OK)
 *         errx(1, "%s", tacho_error_text(&error, text, sizeof text));
 *     if (tacho_find(&ring, "host", "load1", &load) == TACHO_OK &&
 *         tacho_values(&ring, tacho_head(&ring), &load, 1, &value) == TACHO_OK && value.present)
 *         printf("load1 %.2f\n", value.f64);
 *     tacho_close(&ring);
 *
 * What a caller may rely on:
 *
 * - A record is whole or it is not given out. What was read of one that was overwritten meanwhile is
 *   dropped, and the caller is told TACHO_OVERRUN. tacho_values, tacho_read, tacho_latest and
 *   tacho_read_into see to that by themselves. Whoever reads many records in place at the price of
 *   one check, tacho_peek at each from the oldest on and tacho_vouch for the oldest, must not use
 *   what it found before tacho_vouch has said TACHO_OK.
 * - A column is never taken for another series: its value is absent in a record that the series is
 *   not in, also when the series ends while the column is held. After tacho_refresh has followed the
 *   name to another file all columns are absent; find them anew.
 * - No content of a file, also one that changes while it is read, leads to a loop without bound or
 *   to an access outside of the mapping. Only files are mapped that nobody but their trusted owner
 *   can shorten (tacho_open), or that nobody can (tacho_open_sealed).
 *
 * A ring may be used by several threads at once, but for tacho_open, tacho_refresh and tacho_close,
 * during which no other may use it. Functions that return an enum tacho_status return TACHO_OK, which
 * is 0, or say why not.
 *
 * With -std=c11 include this header before those of the C library, or compile with -D_GNU_SOURCE.
 */
#ifndef TACHOGRAPH_H
#define TACHOGRAPH_H

#if !defined(_GNU_SOURCE) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__GLIBC__) && !defined(__USE_MISC)
#error "include tachograph.h before the C library's headers, or compile with -D_GNU_SOURCE"
#endif

#ifdef __cplusplus
#include <atomic>
typedef std::atomic<uint64_t> tacho_word;
typedef std::atomic<uint32_t> tacho_half_word;
#define TACHO_LOAD(place) ((place)->load(std::memory_order_relaxed))
#define TACHO_FENCE() (std::atomic_thread_fence(std::memory_order_acquire))
#define TACHO_ASSERT(condition) static_assert(condition, #condition)
#else
#include <stdatomic.h>
typedef _Atomic uint64_t tacho_word;
typedef _Atomic uint32_t tacho_half_word;
#define TACHO_LOAD(place) atomic_load_explicit(place, memory_order_relaxed)
#define TACHO_FENCE() atomic_thread_fence(memory_order_acquire)
#define TACHO_ASSERT(condition) _Static_assert(condition, #condition)
#endif

/* A word of another process's making is loaded at once or not at all. */
TACHO_ASSERT(sizeof(tacho_word) == 8 && sizeof(tacho_half_word) == 4 && sizeof(size_t) == 8);
TACHO_ASSERT(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2);

#define TACHO_MUST_USE __attribute__((warn_unused_result))

/* ---- The format: src/ring/layout.rs in C. A test compares each of these. ---- */

#define TACHO_WORD UINT64_C(8)
#define TACHO_MAGIC UINT64_C(0x0A0D4F4843415489)
#define TACHO_ENDIAN_TAG UINT64_C(0x0102030405060708)
#define TACHO_VERSION UINT64_C(1)
#define TACHO_COMPATIBLE_VERSION UINT64_C(1)
#define TACHO_INCOMPATIBLE_FLAGS_KNOWN UINT64_C(0)

/* Words of the header. */
#define TACHO_HEADER_MAGIC 0
#define TACHO_HEADER_ENDIAN_TAG 1
#define TACHO_HEADER_VERSION 2
#define TACHO_HEADER_COMPATIBLE_VERSION 3
#define TACHO_HEADER_INCOMPATIBLE_FLAGS 4
#define TACHO_HEADER_COMPATIBLE_FLAGS 5
#define TACHO_HEADER_HEADER_BYTES 6
#define TACHO_HEADER_FILE_BYTES 7
#define TACHO_HEADER_SLOTS_OFFSET 8
#define TACHO_HEADER_SLOT_BYTES 9
#define TACHO_HEADER_SLOT_COUNT 10
#define TACHO_HEADER_COLUMN_CAPACITY 11
#define TACHO_HEADER_DIRECTORY_OFFSET 12
#define TACHO_HEADER_ENTRY_BYTES 13
#define TACHO_HEADER_ENTRY_CAPACITY 14
#define TACHO_HEADER_ARENA_OFFSET 15
#define TACHO_HEADER_ARENA_BYTES 16
#define TACHO_HEADER_RING_ID 17
#define TACHO_HEADER_RING_ID_HIGH 18
#define TACHO_HEADER_BOOT_ID 19
#define TACHO_HEADER_BOOT_ID_HIGH 20
#define TACHO_HEADER_INTERVAL_NS 21
#define TACHO_HEADER_CREATED_NS 22
#define TACHO_HEADER_FIRST_SEQ 23
#define TACHO_HEADER_CHECKSUM 31
#define TACHO_HEADER_HEAD 32
#define TACHO_HEADER_HEARTBEAT_NS 33
#define TACHO_HEADER_NOTIFY 34
#define TACHO_HEADER_STATE 48
#define TACHO_HEADER_EPOCH 49
#define TACHO_HEADER_PID 50
#define TACHO_HEADER_PID_START 51
#define TACHO_HEADER_ENTRY_COUNT 52
#define TACHO_HEADER_ARENA_USED 53
#define TACHO_HEADER_DIRECTORY_CHANGES 54

/* Words of a directory entry. */
#define TACHO_ENTRY_OBJECT 0
#define TACHO_ENTRY_METRIC 1
#define TACHO_ENTRY_MEANING 2
#define TACHO_ENTRY_COLUMN 3
#define TACHO_ENTRY_FIRST 4
#define TACHO_ENTRY_LAST 5

/* Words of a record in its slot, which those of the columns follow. */
#define TACHO_RECORD_SEQ 0
#define TACHO_RECORD_REALTIME_NS 1
#define TACHO_RECORD_BOOTTIME_NS 2
#define TACHO_RECORD_EPOCH_AND_FLAGS 3
#define TACHO_RECORD_COLUMNS 4
#define TACHO_RECORD_TICK_DURATION_NS 5
#define TACHO_RECORD_RUN_FIRST 6
#define TACHO_RECORD_MISSED_TICKS 7
#define TACHO_RECORD_WORDS 8

/* Sizes and bounds. */
#define TACHO_HEADER_BYTES UINT64_C(4096)
#define TACHO_ENTRY_BYTES UINT64_C(64)
#define TACHO_SLOT_ALIGN UINT64_C(64)
#define TACHO_PAGE UINT64_C(4096)
#define TACHO_SLOTS_MIN UINT64_C(2)
#define TACHO_SLOTS_MAX UINT64_C(16777216)
#define TACHO_COLUMNS_MAX UINT64_C(131064)
#define TACHO_ENTRIES_MAX UINT64_C(1048576)
#define TACHO_ARENA_BYTES_MAX UINT64_C(268435456)
#define TACHO_FILE_BYTES_MAX UINT64_C(1099511627776)
#define TACHO_SEQUENCE_MAX UINT64_C(9223372036854775807)
#define TACHO_RESUME_MAX UINT64_C(4611686018427387904)
#define TACHO_OBJECT_ID_BYTES_MAX 1024
#define TACHO_METRIC_BYTES_MAX 255

/* `last` of a series that still lives; the word of a column in which nothing was measured. */
#define TACHO_LIVES UINT64_MAX
#define TACHO_ABSENT UINT64_MAX

#define TACHO_STATE_RUNNING UINT64_C(1)
#define TACHO_STATE_CLOSED UINT64_C(2)
#define TACHO_STATE_RETIRED UINT64_C(3)

/* Bits of tacho_ring's compatible_flags: the ring of an application's own series. */
#define TACHO_COMPATIBLE_APPLICATION UINT64_C(1)

/* Bits of a record's flags, see tacho_flags. */
#define TACHO_FLAG_EPOCH_FIRST 1u
#define TACHO_FLAG_CLOCK_STEP 2u
#define TACHO_FLAG_MISSED 4u

enum tacho_kind { TACHO_KIND_GAUGE = 1, TACHO_KIND_COUNTER = 2, TACHO_KIND_DERIVE = 3 };
#define TACHO_KIND_MAX 3

enum tacho_unit {
    TACHO_UNIT_COUNT = 1,
    TACHO_UNIT_BYTES = 2,
    TACHO_UNIT_SECTORS = 3,
    TACHO_UNIT_SECONDS = 4,
    TACHO_UNIT_MILLISECONDS = 5,
    TACHO_UNIT_MICROSECONDS = 6,
    TACHO_UNIT_NANOSECONDS = 7,
    TACHO_UNIT_TICKS = 8,
    TACHO_UNIT_RATIO = 9,
    TACHO_UNIT_PERCENT = 10,
    TACHO_UNIT_FLAG = 11,
    TACHO_UNIT_PAGES = 12,
    TACHO_UNIT_KILOHERTZ = 13,
    TACHO_UNIT_MILLICELSIUS = 14,
    TACHO_UNIT_THOUSANDTHS = 15,
    TACHO_UNIT_MILLIONTHS = 16
};
#define TACHO_UNIT_MAX 16

enum tacho_repr { TACHO_REPR_U64 = 1, TACHO_REPR_F64 = 2 };
#define TACHO_REPR_MAX 2

/* ---- What a caller holds ---- */

enum tacho_status {
    TACHO_OK = 0,
    /* Of a record. */
    TACHO_EMPTY,    /* nothing has been published */
    TACHO_NOT_YET,  /* its sequence is above the head */
    TACHO_OVERRUN,  /* the ring has moved past it */
    TACHO_LOST,     /* it went with its writer and never comes */
    TACHO_CORRUPT,  /* what lies there is nothing that a writer puts there */
    TACHO_TOO_WIDE, /* it has more columns than there is room for */
    /* Of a series. */
    TACHO_NO_SERIES,
    /* Of a file; a struct tacho_error has more. */
    TACHO_MISSING,
    TACHO_UNTRUSTED, /* somebody could change it in a way that hurts whoever maps it */
    TACHO_IO,        /* a system call failed */
    TACHO_NOT_A_RING,
    TACHO_FOREIGN_BYTE_ORDER,
    TACHO_TOO_NEW,
    TACHO_UNKNOWN_FLAGS,
    TACHO_CHECKSUM,
    TACHO_FIELD, /* a field of the header holds a value that no ring has */
    TACHO_TRUNCATED
};

/* Why a ring could not be opened. tacho_error_text makes a sentence of it. */
struct tacho_error {
    enum tacho_status status;
    const char *what;  /* the field, the system call or the reason */
    uint64_t value;    /* what the field holds; what the header states */
    uint64_t other;    /* what was found, computed or asked for instead */
    int error_number;  /* of TACHO_IO: errno */
};
#define TACHO_TEXT_BYTES 256

/* An open ring. Its numbers never change while it is open; read them, store nothing. */
struct tacho_ring {
    const tacho_word *words;
    size_t map_bytes;
    int fd;            /* its own open file, not one that it shares with the writer */
    bool is_sealed;    /* it came as a descriptor and has no name to be followed */
    bool is_stranded;  /* it is retired, and there is nowhere to go yet */
    uint64_t reopened; /* how often tacho_refresh has followed the name to another file */
    uint64_t version;
    uint64_t compatible_flags;
    uint64_t file_bytes;
    uint64_t slot_count;
    uint64_t column_capacity;
    uint64_t entry_capacity;
    uint64_t arena_bytes;
    uint64_t slot_bytes;
    uint64_t entry_bytes;
    uint64_t directory_offset;
    uint64_t arena_offset;
    uint64_t slots_offset;
    uint64_t ring_id[2];
    uint64_t boot_id[2];
    uint64_t interval_ns;
    uint64_t created_ns;
    uint64_t first_seq;
    char path[PATH_MAX];
};

/* A record's place, whose words are loaded one by one; see tacho_read and tacho_peek. */
struct tacho_view {
    const struct tacho_ring *ring;
    const tacho_word *slot;
    uint64_t seq;
    uint64_t columns; /* at most the ring's column_capacity */
};

/* The header of a record that was copied. */
struct tacho_record {
    uint64_t seq;
    uint64_t realtime_ns; /* CLOCK_REALTIME when the tick began to read */
    uint64_t boottime_ns; /* CLOCK_BOOTTIME at the same moment */
    uint64_t epoch_and_flags;
    uint64_t columns;
    uint64_t tick_duration_ns;
    uint64_t run_first;
    uint64_t missed_ticks;
};
TACHO_ASSERT(sizeof(struct tacho_record) == TACHO_RECORD_WORDS * 8);

/* A series' place in the records of one ring. */
struct tacho_column {
    uint64_t index; /* in a record's words */
    enum tacho_repr repr;
    uint64_t first;
    uint64_t last_word;
    uint64_t ring_id;
};

/* One entry of the directory. The names end with a 0, which is not counted. */
struct tacho_series {
    struct tacho_column column;
    uint64_t first; /* the first record that has it */
    uint64_t last;  /* the last one; TACHO_LIVES while it lives */
    enum tacho_kind kind;
    enum tacho_unit unit;
    enum tacho_repr repr;
    size_t object_bytes;
    size_t metric_bytes;
    char object[TACHO_OBJECT_ID_BYTES_MAX + 1];
    char metric[TACHO_METRIC_BYTES_MAX + 1];
};

/* A value, if the record has the series and it was measured. */
struct tacho_value {
    bool present;
    enum tacho_repr repr;
    uint64_t u64; /* exact, of a series of integers; otherwise 0 */
    double f64;   /* the value, or the double nearest to it; 0 when it is absent */
};

enum tacho_wait {
    TACHO_WAIT_PUBLISHED, /* there is a record after the one asked about */
    TACHO_WAIT_RETIRED,   /* another file has taken the ring's place: tacho_refresh */
    TACHO_WAIT_TIMED_OUT  /* nothing happened in time; refresh now and then all the same */
};
#define TACHO_FOR_EVER UINT64_MAX

enum tacho_liveness {
    TACHO_LIVE,   /* it runs and publishes */
    TACHO_HUNG,   /* it runs, but its last record is older than it should be */
    TACHO_DEAD,   /* it ended without saying so */
    TACHO_CLOSED, /* it ended in order */
    TACHO_RETIRED /* another file has taken this one's place */
};

enum tacho_refresh {
    TACHO_REFRESH_FAILED = -1, /* another file has the name and does not open; this one stays */
    TACHO_REFRESH_SAME = 0,
    TACHO_REFRESH_FOLLOWED = 1 /* find all columns anew */
};

/* ---- Words ---- */

#define TACHO_LATEST_TRIES 8

static inline uint64_t tacho_header_word(const struct tacho_ring *ring, size_t word)
{
    return TACHO_LOAD(&ring->words[word]);
}

/* The futex word: of `notify` only the first four bytes are ever accessed. */
static inline const tacho_half_word *tacho_notify(const struct tacho_ring *ring)
{
    return (const tacho_half_word *)(const void *)&ring->words[TACHO_HEADER_NOTIFY];
}

/* `seq` modulo the number of slots: wherever it comes from, the slot lies in the mapping. */
static inline const tacho_word *tacho_slot(const struct tacho_ring *ring, uint64_t seq)
{
    uint64_t index = seq & (ring->slot_count - 1);
    return &ring->words[ring->slots_offset / TACHO_WORD + index * (ring->slot_bytes / TACHO_WORD)];
}

static inline uint64_t tacho_stale_after_ns(const struct tacho_ring *ring)
{
    uint64_t most = (UINT64_MAX - UINT64_C(1000000000)) / 3;
    return ring->interval_ns > most ? UINT64_MAX : ring->interval_ns * 3 + UINT64_C(1000000000);
}

static inline uint64_t tacho_clock_ns(clockid_t clock)
{
    struct timespec now = {0, 0};
    if (clock_gettime(clock, &now) != 0 || now.tv_sec < 0)
        return 0;
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- Errors ---- */

static inline enum tacho_status tacho_fail(struct tacho_error *error, enum tacho_status status,
                                           const char *what, uint64_t value, uint64_t other)
{
    if (error) {
        error->status = status;
        error->what = what;
        error->value = value;
        error->other = other;
        error->error_number = status == TACHO_IO ? errno : 0;
    }
    return status;
}

static inline const char *tacho_status_text(enum tacho_status status)
{
    switch (status) {
    case TACHO_OK: return "no error";
    case TACHO_EMPTY: return "nothing has been published";
    case TACHO_NOT_YET: return "the record has not been published";
    case TACHO_OVERRUN: return "the record has been overwritten";
    case TACHO_LOST: return "the record was lost";
    case TACHO_CORRUPT: return "the record's slot is damaged";
    case TACHO_TOO_WIDE: return "the record has more columns than there is room for";
    case TACHO_NO_SERIES: return "there is no such series";
    case TACHO_MISSING: return "there is no such ring";
    case TACHO_UNTRUSTED: return "not to be trusted with a mapping";
    case TACHO_IO: return "a system call failed";
    case TACHO_NOT_A_RING: return "not a ring: the magic is wrong";
    case TACHO_FOREIGN_BYTE_ORDER: return "a ring of a machine with the other byte order";
    case TACHO_TOO_NEW: return "a newer format";
    case TACHO_UNKNOWN_FLAGS: return "incompatible_flags has unknown bits set";
    case TACHO_CHECKSUM: return "the header's checksum is wrong";
    case TACHO_FIELD: return "a field of the header is wrong";
    case TACHO_TRUNCATED: return "truncated";
    }
    return "no status";
}

/* A sentence that names the field. Cut short if it does not fit; TACHO_TEXT_BYTES are enough. */
static inline const char *tacho_error_text(const struct tacho_error *error, char *text, size_t bytes)
{
    uint64_t value = error->value, other = error->other;
    switch (error->status) {
    case TACHO_UNTRUSTED:
        snprintf(text, bytes, "not to be trusted with a mapping: %s", error->what);
        break;
    case TACHO_IO:
        snprintf(text, bytes, "cannot %s it: %s", error->what, strerror(error->error_number));
        break;
    case TACHO_TOO_NEW:
        snprintf(text, bytes,
                 "compatible_version is %" PRIu64 ": format version %" PRIu64
                 " needs a reader of that version or newer; this one reads version %" PRIu64,
                 other, value, TACHO_VERSION);
        break;
    case TACHO_UNKNOWN_FLAGS:
        snprintf(text, bytes, "incompatible_flags has unknown bits set: 0x%" PRIx64, value);
        break;
    case TACHO_CHECKSUM:
        snprintf(text, bytes, "checksum is 0x%" PRIx64 ", the header's words give 0x%" PRIx64,
                 value, other);
        break;
    case TACHO_FIELD:
        snprintf(text, bytes, "%s cannot be %" PRIu64, error->what, value);
        break;
    case TACHO_TRUNCATED:
        snprintf(text, bytes, "truncated: file_bytes is %" PRIu64 ", the file has %" PRIu64, value,
                 other);
        break;
    default:
        snprintf(text, bytes, "%s", tacho_status_text(error->status));
    }
    return text;
}

/* ---- The header: untrusted words in, checked numbers out ---- */

/* CRC-32 (ISO-HDLC), four bits at a time. */
static inline uint64_t tacho_checksum(const uint64_t *block)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158,
        0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4,
        0xa00ae278, 0xbdbdf21c,
    };
    const unsigned char *byte = (const unsigned char *)block;
    uint32_t crc = UINT32_MAX;
    for (size_t at = 0; at < TACHO_HEADER_CHECKSUM * TACHO_WORD; at++) {
        crc ^= byte[at];
        crc = table[crc & 15] ^ crc >> 4;
        crc = table[crc & 15] ^ crc >> 4;
    }
    return (uint32_t)~crc;
}

static inline bool tacho_check(struct tacho_error *error, const char *name, uint64_t value,
                               bool holds)
{
    if (!holds)
        tacho_fail(error, TACHO_FIELD, name, value, 0);
    return holds;
}

static inline bool tacho_between(uint64_t value, uint64_t least, uint64_t most)
{
    return least <= value && value <= most;
}

/* Whether `bytes` from `from` on lie between `*end` and the file's end; moves `*end` behind them.
 * The file's size is bounded, so no sum overflows. */
static inline bool tacho_within(struct tacho_error *error, const char *name, uint64_t from,
                                uint64_t bytes, uint64_t file_bytes, uint64_t *end)
{
    bool fits = *end <= from && from <= file_bytes && from + bytes <= file_bytes;
    *end = fits ? from + bytes : *end;
    return tacho_check(error, name, from, fits);
}

/* Each size within its bounds, and the regions one after another inside the file. A newer version
 * may leave room between them. */
static inline bool tacho_check_geometry(const struct tacho_ring *ring, struct tacho_error *error)
{
    uint64_t slots = ring->slot_count, columns = ring->column_capacity;
    uint64_t entries = ring->entry_capacity, file = ring->file_bytes;
    uint64_t record_bytes = (TACHO_RECORD_WORDS + columns) * TACHO_WORD;
    uint64_t end = 512;
    return tacho_check(error, "slot_count", slots,
                       tacho_between(slots, TACHO_SLOTS_MIN, TACHO_SLOTS_MAX) &&
                           (slots & (slots - 1)) == 0) &&
           tacho_check(error, "column_capacity", columns,
                       tacho_between(columns, 1, TACHO_COLUMNS_MAX)) &&
           tacho_check(error, "entry_capacity", entries,
                       tacho_between(entries, 1, TACHO_ENTRIES_MAX)) &&
           tacho_check(error, "arena_bytes", ring->arena_bytes,
                       tacho_between(ring->arena_bytes, TACHO_WORD, TACHO_ARENA_BYTES_MAX) &&
                           ring->arena_bytes % TACHO_WORD == 0) &&
           tacho_check(error, "slot_bytes", ring->slot_bytes,
                       tacho_between(ring->slot_bytes, record_bytes, UINT64_C(2) << 20) &&
                           ring->slot_bytes % TACHO_SLOT_ALIGN == 0) &&
           tacho_check(error, "entry_bytes", ring->entry_bytes,
                       tacho_between(ring->entry_bytes, TACHO_ENTRY_BYTES, 4096) &&
                           ring->entry_bytes % TACHO_WORD == 0) &&
           tacho_check(error, "file_bytes", file, file <= TACHO_FILE_BYTES_MAX) &&
           tacho_check(error, "directory_offset", ring->directory_offset,
                       ring->directory_offset % TACHO_WORD == 0) &&
           tacho_check(error, "arena_offset", ring->arena_offset,
                       ring->arena_offset % TACHO_WORD == 0) &&
           tacho_check(error, "slots_offset", ring->slots_offset,
                       ring->slots_offset % TACHO_SLOT_ALIGN == 0) &&
           tacho_within(error, "directory_offset", ring->directory_offset,
                        entries * ring->entry_bytes, file, &end) &&
           tacho_within(error, "arena_offset", ring->arena_offset, ring->arena_bytes, file, &end) &&
           tacho_within(error, "slots_offset", ring->slots_offset, slots * ring->slot_bytes, file,
                        &end);
}

/* Takes the mapping for a ring. Each word is loaded once, so that nobody can change it between its
 * check and its use. */
static inline enum tacho_status tacho_decode_header(struct tacho_ring *ring,
                                                    struct tacho_error *error)
{
    uint64_t block[TACHO_HEADER_CHECKSUM + 1];
    for (size_t word = 0; word <= TACHO_HEADER_CHECKSUM; word++)
        block[word] = tacho_header_word(ring, word);
    uint64_t magic = block[TACHO_HEADER_MAGIC], tag = block[TACHO_HEADER_ENDIAN_TAG];
    if (magic == __builtin_bswap64(TACHO_MAGIC) || tag == __builtin_bswap64(TACHO_ENDIAN_TAG))
        return tacho_fail(error, TACHO_FOREIGN_BYTE_ORDER, "magic", magic, 0);
    if (magic != TACHO_MAGIC)
        return tacho_fail(error, TACHO_NOT_A_RING, "magic", magic, 0);
    if (!tacho_check(error, "endian_tag", tag, tag == TACHO_ENDIAN_TAG))
        return TACHO_FIELD;
    uint64_t version = block[TACHO_HEADER_VERSION];
    uint64_t compatible_version = block[TACHO_HEADER_COMPATIBLE_VERSION];
    if (compatible_version > TACHO_VERSION)
        return tacho_fail(error, TACHO_TOO_NEW, "compatible_version", version, compatible_version);
    uint64_t unknown = block[TACHO_HEADER_INCOMPATIBLE_FLAGS] & ~TACHO_INCOMPATIBLE_FLAGS_KNOWN;
    if (unknown != 0)
        return tacho_fail(error, TACHO_UNKNOWN_FLAGS, "incompatible_flags", unknown, 0);
    uint64_t stored = block[TACHO_HEADER_CHECKSUM], computed = tacho_checksum(block);
    if (stored != computed)
        return tacho_fail(error, TACHO_CHECKSUM, "checksum", stored, computed);
    if (!tacho_check(error, "version", version, version >= 1 && version >= compatible_version) ||
        !tacho_check(error, "header_bytes", block[TACHO_HEADER_HEADER_BYTES],
                     tacho_between(block[TACHO_HEADER_HEADER_BYTES], 512, 1 << 20)))
        return TACHO_FIELD;
    ring->version = version;
    ring->compatible_flags = block[TACHO_HEADER_COMPATIBLE_FLAGS];
    ring->file_bytes = block[TACHO_HEADER_FILE_BYTES];
    ring->slot_count = block[TACHO_HEADER_SLOT_COUNT];
    ring->column_capacity = block[TACHO_HEADER_COLUMN_CAPACITY];
    ring->entry_capacity = block[TACHO_HEADER_ENTRY_CAPACITY];
    ring->arena_bytes = block[TACHO_HEADER_ARENA_BYTES];
    ring->slot_bytes = block[TACHO_HEADER_SLOT_BYTES];
    ring->entry_bytes = block[TACHO_HEADER_ENTRY_BYTES];
    ring->directory_offset = block[TACHO_HEADER_DIRECTORY_OFFSET];
    ring->arena_offset = block[TACHO_HEADER_ARENA_OFFSET];
    ring->slots_offset = block[TACHO_HEADER_SLOTS_OFFSET];
    ring->ring_id[0] = block[TACHO_HEADER_RING_ID];
    ring->ring_id[1] = block[TACHO_HEADER_RING_ID_HIGH];
    ring->boot_id[0] = block[TACHO_HEADER_BOOT_ID];
    ring->boot_id[1] = block[TACHO_HEADER_BOOT_ID_HIGH];
    ring->interval_ns = block[TACHO_HEADER_INTERVAL_NS];
    ring->created_ns = block[TACHO_HEADER_CREATED_NS];
    ring->first_seq = block[TACHO_HEADER_FIRST_SEQ];
    if (!tacho_check_geometry(ring, error) ||
        !tacho_check(error, "interval_ns", ring->interval_ns, ring->interval_ns > 0) ||
        !tacho_check(error, "first_seq", ring->first_seq, ring->first_seq <= TACHO_RESUME_MAX))
        return TACHO_FIELD;
    uint64_t found = ring->map_bytes / TACHO_WORD * TACHO_WORD;
    if (found < ring->file_bytes)
        return tacho_fail(error, TACHO_TRUNCATED, "file_bytes", ring->file_bytes, found);
    return TACHO_OK;
}

/* ---- Opening ---- */

/* Cuts the last part off a path. `false` when it has no other. */
static inline bool tacho_cut_last(char *path)
{
    size_t len = strlen(path);
    for (;;) {
        while (len > 1 && path[len - 1] == '/')
            len--;
        if (len < 2 || path[len - 1] != '.' || path[len - 2] != '/')
            break;
        len--;
    }
    if (len == 0 || (len == 1 && path[0] == '/'))
        return false;
    while (len > 0 && path[len - 1] != '/')
        len--;
    while (len > 1 && path[len - 1] == '/')
        len--;
    path[len] = 0;
    return len > 0;
}

static inline bool tacho_is_closed_dir(const struct stat *meta)
{
    return S_ISDIR(meta->st_mode) && (meta->st_mode & 022) == 0;
}

/* Whether `path` lies in a directory of the service `uid` that an administrator has set up: one that
 * nobody else can write to, in a directory that only root can write to. A person's home looks the
 * same, but a person is no service. */
static inline bool tacho_owns_system_dir(const char *path, uid_t uid)
{
    char dir[PATH_MAX];
    struct stat inner, above;
    if (!tacho_between(uid, 1, 999) && !tacho_between(uid, 61184, 65519))
        return false;
    if (strlen(path) >= sizeof dir)
        return false;
    strcpy(dir, path);
    if (!tacho_cut_last(dir) || lstat(dir, &inner) != 0)
        return false;
    if (!tacho_cut_last(dir) || lstat(dir, &above) != 0)
        return false;
    return tacho_is_closed_dir(&inner) && inner.st_uid == uid && tacho_is_closed_dir(&above) &&
           above.st_uid == 0;
}

/* Why the file could change in a way that hurts whoever maps it, or NULL. */
static inline const char *tacho_distrust(const char *path, const struct stat *meta)
{
    if ((meta->st_mode & 022) != 0)
        return "its group or everybody may write to it";
    if (meta->st_nlink > 1)
        return "it has another name as well";
    if (meta->st_uid == 0 || meta->st_uid == geteuid() ||
        tacho_owns_system_dir(path, meta->st_uid))
        return NULL;
    return "it belongs to another user";
}

static inline void tacho_close(struct tacho_ring *ring)
{
    if (ring->words)
        munmap((void *)(uintptr_t)ring->words, ring->map_bytes);
    if (ring->fd >= 0)
        close(ring->fd);
    ring->words = NULL;
    ring->fd = -1;
}

/* Maps what `ring->fd` is and looks at its header. */
static inline enum tacho_status tacho_map(struct tacho_ring *ring, const struct stat *meta,
                                          struct tacho_error *error)
{
    if (meta->st_size < (off_t)TACHO_HEADER_BYTES)
        return tacho_fail(error, TACHO_NOT_A_RING, "magic", 0, 0);
    ring->map_bytes = (size_t)meta->st_size;
    void *map = mmap(NULL, ring->map_bytes, PROT_READ, MAP_SHARED, ring->fd, 0);
    if (map == MAP_FAILED)
        return tacho_fail(error, TACHO_IO, "map", 0, 0);
    ring->words = (const tacho_word *)map;
    return tacho_decode_header(ring, error);
}

/* Opens `path` and says what it is; a descriptor comes back through `ring->fd`. */
static inline enum tacho_status tacho_open_file(struct tacho_ring *ring, const char *path,
                                                int more_flags, struct stat *meta,
                                                struct tacho_error *error)
{
    /* Not blocking, so that a pipe in the ring's place does not stop whoever opens it. */
    ring->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | more_flags);
    if (ring->fd < 0 && errno == ENOENT)
        return tacho_fail(error, TACHO_MISSING, "open", 0, 0);
    if (ring->fd < 0)
        return tacho_fail(error, TACHO_IO, "open", 0, 0);
    if (fstat(ring->fd, meta) != 0)
        return tacho_fail(error, TACHO_IO, "look at", 0, 0);
    if (!S_ISREG(meta->st_mode))
        return tacho_fail(error, TACHO_UNTRUSTED, "it is not a regular file", 0, 0);
    return TACHO_OK;
}

/* Opens and maps the ring at `path`.
 *
 * The file must belong to root, to the caller, or to a service in whose directory it lies and which
 * only root could have made; nobody else may be able to write to it. `error` may be NULL. After an
 * error `*ring` is closed. */
TACHO_MUST_USE static inline enum tacho_status
tacho_open(struct tacho_ring *ring, const char *path, struct tacho_error *error)
{
    struct stat meta;
    memset(ring, 0, sizeof *ring);
    ring->fd = -1;
    if (strlen(path) >= sizeof ring->path) {
        errno = ENAMETOOLONG;
        return tacho_fail(error, TACHO_IO, "open", 0, 0);
    }
    strcpy(ring->path, path);
    enum tacho_status status = tacho_open_file(ring, path, O_NOFOLLOW, &meta, error);
    if (status == TACHO_OK) {
        const char *reason = tacho_distrust(path, &meta);
        if (reason)
            status = tacho_fail(error, TACHO_UNTRUSTED, reason, 0, 0);
    }
    if (status == TACHO_OK)
        status = tacho_map(ring, &meta, error);
    if (status != TACHO_OK)
        tacho_close(ring);
    return status;
}

/* Opens the ring that somebody has handed over as a descriptor: a memfd that its seals keep from
 * ever being shortened, so that its origin does not matter. The descriptor stays the caller's; the
 * ring opens the file anew through /proc, because a lock is probed on an open file of one's own. */
TACHO_MUST_USE static inline enum tacho_status
tacho_open_sealed(struct tacho_ring *ring, int descriptor, struct tacho_error *error)
{
#ifndef F_GET_SEALS
    enum { F_GET_SEALS = 1024 + 10, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4 };
#endif
    struct stat meta;
    memset(ring, 0, sizeof *ring);
    ring->fd = -1;
    ring->is_sealed = true;
    int seals = fcntl(descriptor, F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
        return tacho_fail(error, TACHO_UNTRUSTED, "it is not sealed against another size", 0, 0);
    snprintf(ring->path, sizeof ring->path, "/proc/self/fd/%d", descriptor);
    enum tacho_status status = tacho_open_file(ring, ring->path, 0, &meta, error);
    if (status == TACHO_OK)
        status = tacho_map(ring, &meta, error);
    if (status != TACHO_OK)
        tacho_close(ring);
    return status;
}

/* Puts the path of the ring `lane` into `path`: that in the first usual place which has one, the
 * caller's own before the system's. `false` when none has one. */
TACHO_MUST_USE static inline bool tacho_find_ring(const char *lane, char *path, size_t bytes)
{
    const char *own = getenv("XDG_RUNTIME_DIR");
    unsigned uid = geteuid();
    /* Root's own place is the system's, and comes first for root alone. */
    for (int place = 0; place < 4; place++) {
        int len = -1;
        if (place == (uid == 0 ? 1 : 0) && own && own[0] == '/')
            len = snprintf(path, bytes, "%s/tachograph/%s.ring", own, lane);
        else if (place == (uid == 0 ? 0 : 1))
            len = snprintf(path, bytes, "/run/tachograph/%s.ring", lane);
        else if (place >= 2)
            len = snprintf(path, bytes, "/dev/shm/tachograph-%u/%s.ring", place == 2 ? uid : 0,
                           lane);
        if (len > 0 && (size_t)len < bytes && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

/* ---- Records ---- */

/* The newest record's sequence; 0 when there is none. May increase at any time. */
static inline uint64_t tacho_head(const struct tacho_ring *ring)
{
    uint64_t head = tacho_header_word(ring, TACHO_HEADER_HEAD);
    TACHO_FENCE(); /* C, with the writer's release store of the head */
    return head < TACHO_SEQUENCE_MAX ? head : TACHO_SEQUENCE_MAX;
}

/* The lowest sequence that the ring can hold when its newest one is `head`. */
static inline uint64_t tacho_oldest(const struct tacho_ring *ring, uint64_t head)
{
    uint64_t oldest = head > ring->slot_count - 1 ? head - (ring->slot_count - 1) : 1;
    return oldest > ring->first_seq ? oldest : ring->first_seq;
}

/* The sequences that the ring can hold now; the oldest is the next to go. `false` when there are
 * none. A record inside these bounds may still be missing where a former writer was killed. */
static inline bool tacho_bounds(const struct tacho_ring *ring, uint64_t *oldest, uint64_t *newest)
{
    *newest = tacho_head(ring);
    *oldest = tacho_oldest(ring, *newest);
    return *newest > 0 && *oldest <= *newest;
}

/* Why a slot that said `found` does not have the record `seq`: tells a damaged slot from one that is
 * merely early or late, and a record that never comes from one that is not there yet. */
static inline enum tacho_status tacho_diagnose(const struct tacho_ring *ring, uint64_t seq,
                                               uint64_t found)
{
    enum tacho_status status = found < 2 * seq ? TACHO_NOT_YET : TACHO_OVERRUN;
    const tacho_word *slot = tacho_slot(ring, seq);
    uint64_t head = tacho_head(ring);
    /* After the head: what is not stable by now never will be. */
    found = TACHO_LOAD(slot);
    if (found != 0 && tacho_slot(ring, found / 2 + found % 2) != slot)
        return TACHO_CORRUPT;
    if (status == TACHO_NOT_YET && seq <= head && found / 2 != seq)
        return seq < tacho_oldest(ring, head) ? TACHO_OVERRUN : TACHO_LOST;
    return status;
}

/* Of a sequence that no record has, twice it would be 0, as in an empty slot, or overflow. */
static inline bool tacho_is_sequence(uint64_t seq)
{
    return seq - 1 < TACHO_SEQUENCE_MAX;
}

/* A view of the record `seq` that nobody vouches for until tacho_vouch has: for whole windows. */
TACHO_MUST_USE static inline enum tacho_status
tacho_peek(const struct tacho_ring *ring, uint64_t seq, struct tacho_view *view)
{
    if (!tacho_is_sequence(seq))
        return TACHO_CORRUPT;
    view->ring = ring;
    view->slot = tacho_slot(ring, seq);
    view->seq = seq;
    view->columns = 0;
    uint64_t found = TACHO_LOAD(&view->slot[TACHO_RECORD_SEQ]);
    if (found != 2 * seq)
        return tacho_diagnose(ring, seq, found);
    TACHO_FENCE(); /* B, with the writer's release store of 2s: its words are seen from here on */
    uint64_t columns = TACHO_LOAD(&view->slot[TACHO_RECORD_COLUMNS]);
    view->columns = columns < ring->column_capacity ? columns : ring->column_capacity;
    return TACHO_OK;
}

/* Says whether all that was peeked at, of the record `first` and of younger ones, was theirs. The
 * writer overwrites in order, so one look at the oldest is enough. Otherwise drop all of it. */
TACHO_MUST_USE static inline enum tacho_status tacho_vouch(const struct tacho_ring *ring,
                                                           uint64_t first)
{
    if (!tacho_is_sequence(first))
        return TACHO_CORRUPT;
    TACHO_FENCE(); /* A, with the release fence after the writer's store of 2s-1 */
    uint64_t found = TACHO_LOAD(tacho_slot(ring, first));
    return found == 2 * first ? TACHO_OK : tacho_diagnose(ring, first, found);
}

/* What tacho_read calls. All that it makes of the record belongs into `result`, and is only to be
 * used when tacho_read has returned TACHO_OK; its words may turn into those of another record while
 * it runs. It keeps no view. */
typedef void tacho_use(const struct tacho_view *view, void *result);

/* Runs `use` on the record `seq` in place. Only when this returns TACHO_OK is `*result` made of that
 * record. */
TACHO_MUST_USE static inline enum tacho_status
tacho_read(const struct tacho_ring *ring, uint64_t seq, tacho_use *use, void *result)
{
    struct tacho_view view;
    enum tacho_status status = tacho_peek(ring, seq, &view);
    if (status != TACHO_OK)
        return status;
    use(&view, result);
    return tacho_vouch(ring, seq);
}

static inline void tacho_pause(unsigned times)
{
    for (unsigned turn = 0; turn < times; turn++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb" ::: "memory");
#else
        __asm__ volatile("" ::: "memory");
#endif
    }
}

/* Runs `use` on the newest record in place, as tacho_read does; again, a bounded number of times,
 * when the writer laps the ring in the time that one run takes. Where the newest one is damaged, or
 * was lost with its writer, the one before it stands for it. */
TACHO_MUST_USE static inline enum tacho_status
tacho_latest(const struct tacho_ring *ring, tacho_use *use, void *result)
{
    enum tacho_status status = TACHO_EMPTY;
    for (unsigned attempt = 0; attempt <= TACHO_LATEST_TRIES; attempt++) {
        uint64_t head = tacho_head(ring);
        if (head == 0)
            return TACHO_EMPTY;
        status = tacho_read(ring, head, use, result);
        if ((status == TACHO_LOST || status == TACHO_CORRUPT) && head > 1)
            status = tacho_read(ring, head - 1, use, result);
        if (status == TACHO_OK)
            return TACHO_OK;
        tacho_pause(1u << attempt);
    }
    return status;
}

/* The word of a column; absent beyond the record's width. Whether the column held a certain series in
 * this record is for the caller to know, by the series' `first` and `last`. */
static inline uint64_t tacho_word_at(const struct tacho_view *view, uint64_t column)
{
    return column < view->columns ? TACHO_LOAD(&view->slot[TACHO_RECORD_WORDS + column])
                                  : TACHO_ABSENT;
}

/* A word of the record's header, by TACHO_RECORD_REALTIME_NS and the like. */
static inline uint64_t tacho_record_word(const struct tacho_view *view, unsigned word)
{
    if (word == TACHO_RECORD_SEQ)
        return view->seq;
    if (word == TACHO_RECORD_COLUMNS)
        return view->columns;
    return word < TACHO_RECORD_WORDS ? TACHO_LOAD(&view->slot[word]) : 0;
}

static inline uint64_t tacho_realtime_ns(const struct tacho_view *view)
{
    return tacho_record_word(view, TACHO_RECORD_REALTIME_NS);
}

static inline uint32_t tacho_epoch(const struct tacho_record *record)
{
    return (uint32_t)record->epoch_and_flags;
}

static inline uint32_t tacho_flags(const struct tacho_record *record)
{
    return (uint32_t)(record->epoch_and_flags >> 32);
}

/* Copies the record `seq`: its header, and its words into `words`, which has room for `capacity`.
 * The ring's column_capacity is always enough. When it is TACHO_TOO_WIDE, record->columns says how
 * much room it needs; after any error neither is to be used otherwise. */
TACHO_MUST_USE static inline enum tacho_status
tacho_read_into(const struct tacho_ring *ring, uint64_t seq, struct tacho_record *record,
                uint64_t *words, size_t capacity)
{
    struct tacho_view view;
    enum tacho_status status = tacho_peek(ring, seq, &view);
    if (status != TACHO_OK)
        return status;
    record->seq = seq;
    record->realtime_ns = tacho_record_word(&view, TACHO_RECORD_REALTIME_NS);
    record->boottime_ns = tacho_record_word(&view, TACHO_RECORD_BOOTTIME_NS);
    record->epoch_and_flags = tacho_record_word(&view, TACHO_RECORD_EPOCH_AND_FLAGS);
    record->columns = view.columns;
    record->tick_duration_ns = tacho_record_word(&view, TACHO_RECORD_TICK_DURATION_NS);
    record->run_first = tacho_record_word(&view, TACHO_RECORD_RUN_FIRST);
    record->missed_ticks = tacho_record_word(&view, TACHO_RECORD_MISSED_TICKS);
    uint64_t count = view.columns < capacity ? view.columns : capacity;
    for (uint64_t column = 0; column < count; column++)
        words[column] = TACHO_LOAD(&view.slot[TACHO_RECORD_WORDS + column]);
    status = tacho_vouch(ring, seq);
    return status == TACHO_OK && view.columns > capacity ? TACHO_TOO_WIDE : status;
}

/* ---- Values ---- */

/* Whether the record `seq` of this ring has the series. `last` is loaded each time, so that a column
 * goes stale by itself. For words that were copied; those below ask for it themselves. */
static inline bool tacho_covers(const struct tacho_ring *ring, const struct tacho_column *column,
                                uint64_t seq)
{
    /* Of two files with one id the other may be the smaller. */
    if (column->ring_id != ring->ring_id[0] || seq < column->first ||
        column->last_word >= ring->file_bytes / TACHO_WORD)
        return false;
    return seq <= tacho_header_word(ring, column->last_word);
}

/* What a word says of a series. Doubles that are not finite are absent. */
static inline struct tacho_value tacho_value_of(uint64_t word, enum tacho_repr repr)
{
    struct tacho_value value;
    value.repr = repr;
    value.u64 = 0;
    value.f64 = 0;
    if (repr == TACHO_REPR_U64) {
        value.present = word != TACHO_ABSENT;
        value.u64 = value.present ? word : 0;
        value.f64 = (double)value.u64;
    } else {
        value.present = (word >> 52 & 0x7ff) != 0x7ff;
        if (value.present)
            memcpy(&value.f64, &word, sizeof word);
    }
    return value;
}

/* The value of a series in a record. */
static inline struct tacho_value tacho_value_in(const struct tacho_view *view,
                                                const struct tacho_column *column)
{
    bool is_covered = tacho_covers(view->ring, column, view->seq);
    return tacho_value_of(is_covered ? tacho_word_at(view, column->index) : TACHO_ABSENT,
                          column->repr);
}

/* The value of a series of integers: `false` and 0 when it is absent or the series is of doubles. */
static inline bool tacho_u64(const struct tacho_view *view, const struct tacho_column *column,
                             uint64_t *value)
{
    struct tacho_value found = tacho_value_in(view, column);
    *value = found.u64;
    return found.present && column->repr == TACHO_REPR_U64;
}

/* The value of a series of doubles: `false` and 0 when it is absent or the series is of integers. */
static inline bool tacho_f64(const struct tacho_view *view, const struct tacho_column *column,
                             double *value)
{
    struct tacho_value found = tacho_value_in(view, column);
    bool is_double = found.present && column->repr == TACHO_REPR_F64;
    *value = is_double ? found.f64 : 0;
    return is_double;
}

/* The values of `count` series in the record `seq`, all of them of that record. After an error all of
 * them are absent. */
TACHO_MUST_USE static inline enum tacho_status
tacho_values(const struct tacho_ring *ring, uint64_t seq, const struct tacho_column *columns,
             size_t count, struct tacho_value *values)
{
    struct tacho_view view;
    enum tacho_status status = tacho_peek(ring, seq, &view);
    if (status == TACHO_OK) {
        for (size_t at = 0; at < count; at++)
            values[at] = tacho_value_in(&view, &columns[at]);
        status = tacho_vouch(ring, seq);
    }
    for (size_t at = 0; status != TACHO_OK && at < count; at++)
        values[at] = tacho_value_of(TACHO_ABSENT, columns[at].repr);
    return status;
}

/* ---- The directory ---- */

/* How many changes the directory has seen. The same number before the directory was looked at and
 * after a record was read means that all series of that record were seen. */
static inline uint64_t tacho_directory_changes(const struct tacho_ring *ring)
{
    uint64_t changes = tacho_header_word(ring, TACHO_HEADER_DIRECTORY_CHANGES);
    TACHO_FENCE(); /* with the writer's release store of directory_changes */
    return changes;
}

/* How many entries there are, to be asked for by tacho_series_at from 0 on. */
static inline size_t tacho_series_count(const struct tacho_ring *ring)
{
    uint64_t count = tacho_header_word(ring, TACHO_HEADER_ENTRY_COUNT);
    TACHO_FENCE(); /* with the writer's release store of entry_count */
    return count < ring->entry_capacity ? count : ring->entry_capacity;
}

static inline bool tacho_is_utf8(const char *text, size_t len)
{
    static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *byte = (const unsigned char *)text;
    for (size_t at = 0; at < len;) {
        uint32_t c = byte[at++];
        size_t more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : 4;
        if (more == 4 || more > len - at)
            return false;
        c = more == 0 ? c : c & 0x3fu >> more;
        for (size_t end = at + more; at < end; at++) {
            if ((byte[at] & 0xc0) != 0x80)
                return false;
            c = c << 6 | (byte[at] & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || tacho_between(c, 0xd800, 0xdfff))
            return false;
    }
    return true;
}

/* Copies a name of the arena, byte offset in the high half of `place` and length in the low half, and
 * ends it with a 0. `text` has room for `most` bytes and one. */
static inline bool tacho_name(const struct tacho_ring *ring, uint64_t place, size_t most,
                              char *text, size_t *bytes)
{
    uint64_t offset = place >> 32, len = place & UINT32_MAX;
    if (!tacho_between(len, 1, most) || offset % TACHO_WORD != 0 || offset + len > ring->arena_bytes)
        return false;
    const tacho_word *words = &ring->words[(ring->arena_offset + offset) / TACHO_WORD];
    uint64_t word = 0;
    for (size_t at = 0; at < len; at++) {
        word = at % 8 == 0 ? TACHO_LOAD(&words[at / 8]) : word >> 8;
        text[at] = (char)(unsigned char)(word & 0xff);
    }
    text[len] = 0;
    *bytes = len;
    return tacho_is_utf8(text, len);
}

static inline uint64_t tacho_entry_word(const struct tacho_ring *ring, size_t index)
{
    return (ring->directory_offset + index * ring->entry_bytes) / TACHO_WORD;
}

/* Decodes entry number `index`: TACHO_NO_SERIES when there is no room for so many, TACHO_CORRUPT when
 * it is damaged. Whether it is there yet is for the caller to know. */
TACHO_MUST_USE static inline enum tacho_status
tacho_series_at(const struct tacho_ring *ring, size_t index, struct tacho_series *series)
{
    if (index >= ring->entry_capacity)
        return TACHO_NO_SERIES;
    uint64_t at = tacho_entry_word(ring, index);
    uint64_t object = tacho_header_word(ring, at + TACHO_ENTRY_OBJECT);
    uint64_t metric = tacho_header_word(ring, at + TACHO_ENTRY_METRIC);
    uint64_t meaning = tacho_header_word(ring, at + TACHO_ENTRY_MEANING);
    uint64_t column = tacho_header_word(ring, at + TACHO_ENTRY_COLUMN);
    uint64_t first = tacho_header_word(ring, at + TACHO_ENTRY_FIRST);
    uint64_t last = tacho_header_word(ring, at + TACHO_ENTRY_LAST);
    uint64_t kind = meaning & 0xff, unit = meaning >> 8 & 0xff, repr = meaning >> 16;
    if (!tacho_between(kind, 1, TACHO_KIND_MAX) || !tacho_between(unit, 1, TACHO_UNIT_MAX) ||
        !tacho_between(repr, 1, TACHO_REPR_MAX) || column >= ring->column_capacity || first == 0 ||
        last < first - 1 ||
        !tacho_name(ring, object, TACHO_OBJECT_ID_BYTES_MAX, series->object,
                    &series->object_bytes) ||
        !tacho_name(ring, metric, TACHO_METRIC_BYTES_MAX, series->metric, &series->metric_bytes))
        return TACHO_CORRUPT;
    series->first = first;
    series->last = last;
    series->kind = (enum tacho_kind)kind;
    series->unit = (enum tacho_unit)unit;
    series->repr = (enum tacho_repr)repr;
    series->column.index = column;
    series->column.repr = series->repr;
    series->column.first = first;
    series->column.last_word = at + TACHO_ENTRY_LAST;
    series->column.ring_id = ring->ring_id[0];
    return TACHO_OK;
}

/* Finds the series `metric` of `object` among those that live now. Goes through the directory: look a
 * series up once, and again when tacho_directory_changes, and read it many times. When there is none,
 * `*column` is one that is absent in every record. */
static inline enum tacho_status tacho_find(const struct tacho_ring *ring, const char *object,
                                           const char *metric, struct tacho_column *column)
{
    struct tacho_series series;
    memset(column, 0, sizeof *column);
    column->repr = TACHO_REPR_U64;
    column->first = TACHO_LIVES; /* no sequence is as high */
    size_t object_bytes = strlen(object), metric_bytes = strlen(metric);
    for (size_t index = tacho_series_count(ring); index-- > 0;) {
        uint64_t at = tacho_entry_word(ring, index);
        /* What can be told apart without its names is not decoded. */
        if (tacho_header_word(ring, at + TACHO_ENTRY_LAST) != TACHO_LIVES ||
            (tacho_header_word(ring, at + TACHO_ENTRY_OBJECT) & UINT32_MAX) != object_bytes ||
            (tacho_header_word(ring, at + TACHO_ENTRY_METRIC) & UINT32_MAX) != metric_bytes)
            continue;
        if (tacho_series_at(ring, index, &series) == TACHO_OK && series.last == TACHO_LIVES &&
            series.object_bytes == object_bytes && series.metric_bytes == metric_bytes &&
            memcmp(series.object, object, object_bytes) == 0 &&
            memcmp(series.metric, metric, metric_bytes) == 0) {
            *column = series.column;
            return TACHO_OK;
        }
    }
    return TACHO_NO_SERIES;
}

/* ---- Waiting, and what becomes of the writer ---- */

/* Sleeps until the word differs from `seen`, somebody wakes its sleepers, or `deadline_ns` of
 * CLOCK_MONOTONIC has come. Every way in which this returns means the same: look again. */
static inline void tacho_sleep(const struct tacho_ring *ring, uint32_t seen, uint64_t deadline_ns)
{
    enum { wait_until = 9 /* FUTEX_WAIT_BITSET, not private */ };
    struct timespec until;
    until.tv_sec = (time_t)(deadline_ns / UINT64_C(1000000000));
    until.tv_nsec = (long)(deadline_ns % UINT64_C(1000000000));
    long woken = syscall(SYS_futex, tacho_notify(ring), wait_until, seen, &until, NULL, UINT32_MAX);
    if (woken != 0 && errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT) {
        /* A kernel that forbids it: look around from time to time, without spinning. */
        struct timespec moment = {0, 10000000};
        nanosleep(&moment, NULL);
    }
}

/* Sleeps until a record after `seq` is published, this file is replaced, or `timeout_ns` is over. The
 * kernel wakes the sleeper; nothing is polled. Signals are handled and do not end the wait. `head`,
 * which may be NULL, is the head as it is now. */
static inline enum tacho_wait tacho_wait(const struct tacho_ring *ring, uint64_t seq,
                                         uint64_t timeout_ns, uint64_t *head)
{
    const uint64_t hour_ns = UINT64_C(3600000000000);
    uint64_t begin_ns = tacho_clock_ns(CLOCK_MONOTONIC), now_ns = begin_ns, newest;
    uint64_t deadline_ns =
        timeout_ns > UINT64_MAX - begin_ns ? TACHO_FOR_EVER : begin_ns + timeout_ns;
    for (;;) {
        /* Before the head: a record published after this load changes the word, and the kernel then
         * refuses to sleep. */
        uint32_t seen = TACHO_LOAD(tacho_notify(ring));
        TACHO_FENCE(); /* D, with the writer's release store of `notify` */
        newest = tacho_head(ring);
        if (head)
            *head = newest;
        if (newest > seq)
            return TACHO_WAIT_PUBLISHED;
        /* Where there is no other file to go to, saying so at once would only make a loop spin. */
        if (!ring->is_stranded && tacho_header_word(ring, TACHO_HEADER_STATE) == TACHO_STATE_RETIRED)
            return TACHO_WAIT_RETIRED;
        now_ns = tacho_clock_ns(CLOCK_MONOTONIC);
        if (now_ns >= deadline_ns)
            return TACHO_WAIT_TIMED_OUT;
        /* Bounded, so that a reader of a damaged ring looks around from time to time. */
        uint64_t left_ns = deadline_ns - now_ns;
        tacho_sleep(ring, seen, now_ns + (left_ns < hour_ns ? left_ns : hour_ns));
    }
}

/* Whether a writer holds the lock on the ring's inode. */
static inline bool tacho_is_held(const struct tacho_ring *ring)
{
    if (flock(ring->fd, LOCK_SH | LOCK_NB) == 0) {
        flock(ring->fd, LOCK_UN);
        return false;
    }
    return errno == EWOULDBLOCK;
}

/* What has become of the writer. */
static inline enum tacho_liveness tacho_liveness(const struct tacho_ring *ring)
{
    uint64_t state = tacho_header_word(ring, TACHO_HEADER_STATE);
    if (state == TACHO_STATE_RETIRED)
        return TACHO_RETIRED;
    if (state == TACHO_STATE_CLOSED)
        return TACHO_CLOSED;
    if (!tacho_is_held(ring))
        return TACHO_DEAD;
    /* A ring without a record yet is only as old as its file. */
    uint64_t heartbeat_ns = tacho_header_word(ring, TACHO_HEADER_HEARTBEAT_NS);
    uint64_t now_ns = tacho_clock_ns(CLOCK_BOOTTIME);
    uint64_t age_ns = now_ns > heartbeat_ns ? now_ns - heartbeat_ns : 0;
    return tacho_head(ring) > 0 && age_ns > tacho_stale_after_ns(ring) ? TACHO_HUNG : TACHO_LIVE;
}

static inline const char *tacho_liveness_text(enum tacho_liveness liveness)
{
    switch (liveness) {
    case TACHO_LIVE: return "live";
    case TACHO_HUNG: return "hung";
    case TACHO_DEAD: return "dead";
    case TACHO_CLOSED: return "closed";
    case TACHO_RETIRED: return "retired";
    }
    return "unknown";
}

/* Follows the ring's name when another file has taken its place. Views of the old file must not be
 * used any more then, and columns are to be found anew. When the other file does not open, this ring
 * stays as it is and readable; `error`, which may be NULL, says why. */
TACHO_MUST_USE static inline enum tacho_refresh tacho_refresh(struct tacho_ring *ring,
                                                              struct tacho_error *error)
{
    struct stat named, held;
    /* A name that is gone, as after a clean-up by hand: the old file is all there is. */
    bool is_same = ring->is_sealed || stat(ring->path, &named) != 0 || fstat(ring->fd, &held) != 0 ||
                   (named.st_dev == held.st_dev && named.st_ino == held.st_ino);
    /* Also when the other file does not open: tacho_wait then sleeps, and does not spin. */
    ring->is_stranded = tacho_header_word(ring, TACHO_HEADER_STATE) == TACHO_STATE_RETIRED;
    if (is_same)
        return TACHO_REFRESH_SAME;
    struct tacho_ring other;
    if (tacho_open(&other, ring->path, error) != TACHO_OK)
        return TACHO_REFRESH_FAILED;
    other.reopened = ring->reopened + 1;
    tacho_close(ring);
    *ring = other;
    return TACHO_REFRESH_FOLLOWED;
}

#endif
