/*
 * Answers questions about rings, one per line of its input, through clients/c/tachograph.h.
 *
 * tests/c_client.rs asks, and compares with what the reader in Rust says. An answer ends with a line
 * that has nothing but a full stop.
 */
#include "tachograph.h"

#define COLUMNS_HELD 4
#define LINE_BYTES 8192

static struct tacho_ring ring = {.fd = -1};
static struct tacho_column held[COLUMNS_HELD];
static size_t held_count;
static uint64_t words[TACHO_COLUMNS_MAX];

static const char *const waits[] = {"published", "retired", "timed out"};
static const char *const refreshes[] = {"failed", "same", "followed"};
static const uint64_t edges[] = {
    1u << 20, (1ull << 20) + 8, 1ull << 32, (1ull << 62) + 1, 1ull << 63, (1ull << 63) + 4,
    UINT64_MAX / 8, UINT64_MAX - 63, UINT64_MAX,
};

static void print_hex(const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++)
        printf("%02x", (unsigned char)text[at]);
}

static void print_value(struct tacho_value value)
{
    uint64_t bits;
    memcpy(&bits, &value.f64, sizeof bits);
    if (!value.present)
        printf(" absent");
    else if (value.repr == TACHO_REPR_U64)
        printf(" u64 %" PRIu64, value.u64);
    else
        printf(" f64 %" PRIx64, bits);
}

static void print_opened(enum tacho_status status, const struct tacho_error *error)
{
    char text[TACHO_TEXT_BYTES];
    if (status == TACHO_OK)
        printf("open\n");
    else
        printf("error %s\n", tacho_error_text(error, text, sizeof text));
}

static void print_header(void)
{
    printf("version %" PRIu64 " file %" PRIu64 " slots %" PRIu64 " columns %" PRIu64
           " entries %" PRIu64 " arena %" PRIu64 "\n",
           ring.version, ring.file_bytes, ring.slot_count, ring.column_capacity,
           ring.entry_capacity, ring.arena_bytes);
    printf("slot %" PRIu64 " entry %" PRIu64 " at %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
           ring.slot_bytes, ring.entry_bytes, ring.directory_offset, ring.arena_offset,
           ring.slots_offset);
    printf("ids %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " interval %" PRIu64
           " created %" PRIu64 " first %" PRIu64 " stale %" PRIu64 "\n",
           ring.ring_id[0], ring.ring_id[1], ring.boot_id[0], ring.boot_id[1], ring.interval_ns,
           ring.created_ns, ring.first_seq, tacho_stale_after_ns(&ring));
}

static void print_directory(void)
{
    struct tacho_series series;
    size_t count = tacho_series_count(&ring);
    printf("directory %zu changes %" PRIu64 "\n", count, tacho_directory_changes(&ring));
    for (size_t index = 0; index < count; index++) {
        if (tacho_series_at(&ring, index, &series) != TACHO_OK) {
            printf("damaged\n");
            continue;
        }
        print_hex(series.object, series.object_bytes);
        printf(" ");
        print_hex(series.metric, series.metric_bytes);
        printf(" %d %d %d column %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", series.kind, series.unit,
               series.repr, series.column.index, series.first, series.last);
    }
}

static void print_record(uint64_t seq)
{
    struct tacho_record record;
    struct tacho_value values[COLUMNS_HELD];
    enum tacho_status status =
        tacho_read_into(&ring, seq, &record, words, sizeof words / sizeof words[0]);
    printf("record %" PRIu64, seq);
    if (status != TACHO_OK) {
        printf(" %s\n", tacho_status_text(status));
        return;
    }
    printf(" %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 ":",
           record.realtime_ns, record.boottime_ns, record.epoch_and_flags, record.columns,
           record.tick_duration_ns, record.run_first, record.missed_ticks);
    for (uint64_t column = 0; column < record.columns; column++)
        printf(" %" PRIx64, words[column]);
    if (tacho_values(&ring, seq, held, held_count, values) != TACHO_OK)
        printf(" gone");
    for (size_t at = 0; at < held_count; at++)
        print_value(values[at]);
    printf("\n");
}

/* The same with room for few of its columns. */
static void print_narrow(uint64_t seq, size_t capacity)
{
    struct tacho_record record;
    enum tacho_status status = tacho_read_into(&ring, seq, &record, words, capacity);
    printf("%s", tacho_status_text(status));
    if (status == TACHO_OK || status == TACHO_TOO_WIDE)
        printf(": %" PRIu64, record.columns);
    printf("\n");
}

static void take_seq(const struct tacho_view *view, void *result)
{
    uint64_t *seq = (uint64_t *)result;
    *seq = view->seq;
}

/* All words of all records, vouched for at once. */
static void print_window(uint64_t oldest, uint64_t newest)
{
    struct tacho_view view;
    uint64_t sum = 0;
    for (uint64_t seq = oldest; seq <= newest; seq++) {
        enum tacho_status status = tacho_peek(&ring, seq, &view);
        for (uint64_t column = 0; status == TACHO_OK && column < view.columns + 2; column++)
            sum += tacho_word_at(&view, column);
    }
    printf("window %s", tacho_status_text(tacho_vouch(&ring, oldest)));
    printf(" %" PRIx64 "\n", sum);
}

static void print_all(void)
{
    uint64_t oldest, newest, latest;
    print_header();
    printf("head %" PRIu64 " state %" PRIu64 " %s\n", tacho_head(&ring),
           tacho_header_word(&ring, TACHO_HEADER_STATE),
           tacho_liveness_text(tacho_liveness(&ring)));
    print_directory();
    if (tacho_latest(&ring, take_seq, &latest) == TACHO_OK)
        printf("latest %" PRIu64 "\n", latest);
    else
        printf("latest none\n");
    for (uint64_t seq = 0; seq < 20; seq++)
        print_record(seq);
    for (size_t at = 0; at < sizeof edges / sizeof edges[0]; at++)
        print_record(edges[at]);
    if (tacho_bounds(&ring, &oldest, &newest)) {
        printf("bounds %" PRIu64 " %" PRIu64 "\n", oldest, newest);
        for (uint64_t seq = oldest; seq <= newest; seq++)
            print_record(seq);
        print_window(oldest, newest);
    }
}

static void find(const char *object, const char *metric)
{
    if (held_count == COLUMNS_HELD ||
        tacho_find(&ring, object, metric, &held[held_count]) != TACHO_OK) {
        printf("none\n");
        return;
    }
    printf("column %" PRIu64 "\n", held[held_count].index);
    held_count++;
}

static void open_path(const char *path)
{
    struct tacho_error error;
    tacho_close(&ring);
    held_count = 0;
    print_opened(tacho_open(&ring, path, &error), &error);
}

static void open_sealed(const char *descriptor)
{
    struct tacho_error error;
    tacho_close(&ring);
    held_count = 0;
    print_opened(tacho_open_sealed(&ring, atoi(descriptor), &error), &error);
}

static void follow(void)
{
    struct tacho_error error;
    char text[TACHO_TEXT_BYTES];
    enum tacho_refresh refresh = tacho_refresh(&ring, &error);
    printf("%s", refreshes[refresh + 1]);
    if (refresh == TACHO_REFRESH_FAILED)
        printf(" %s", tacho_error_text(&error, text, sizeof text));
    printf("\n");
}

static void sleep_until(const char *seq, const char *timeout_ms)
{
    uint64_t head;
    uint64_t timeout_ns = strtoull(timeout_ms, NULL, 10) * UINT64_C(1000000);
    enum tacho_wait wait = tacho_wait(&ring, strtoull(seq, NULL, 10), timeout_ns, &head);
    printf("%s %" PRIu64 "\n", waits[wait], head);
}

/* The mean time that the newest record takes, with two of its values. */
struct two {
    struct tacho_value first, second;
};

static void take_two(const struct tacho_view *view, void *result)
{
    struct two *two = (struct two *)result;
    two->first = tacho_value_in(view, &held[0]);
    two->second = tacho_value_in(view, &held[1]);
}

static void time_latest(void)
{
    enum { turns = 10000000 };
    struct two two;
    uint64_t read = 0, begin_ns = tacho_clock_ns(CLOCK_MONOTONIC);
    for (int turn = 0; turn < turns; turn++)
        read += tacho_latest(&ring, take_two, &two) == TACHO_OK && two.first.present;
    uint64_t took_ns = tacho_clock_ns(CLOCK_MONOTONIC) - begin_ns;
    printf("%" PRIu64 " of %d, %.2f ns each\n", read, turns, (double)took_ns / turns);
}

static void answer(char *line)
{
    char *word[4] = {0};
    size_t count = 0;
    for (char *next = strtok(line, " \n"); next && count < 4; next = strtok(NULL, " \n"))
        word[count++] = next;
    if (count == 2 && strcmp(word[0], "open") == 0)
        open_path(word[1]);
    else if (count == 2 && strcmp(word[0], "sealed") == 0)
        open_sealed(word[1]);
    else if (ring.words == NULL)
        printf("no ring\n");
    else if (count == 1 && strcmp(word[0], "all") == 0)
        print_all();
    else if (count == 1 && strcmp(word[0], "directory") == 0)
        print_directory();
    else if (count == 3 && strcmp(word[0], "find") == 0)
        find(word[1], word[2]);
    else if (count == 2 && strcmp(word[0], "record") == 0)
        print_record(strtoull(word[1], NULL, 10));
    else if (count == 3 && strcmp(word[0], "narrow") == 0)
        print_narrow(strtoull(word[1], NULL, 10), strtoull(word[2], NULL, 10));
    else if (count == 3 && strcmp(word[0], "wait") == 0)
        sleep_until(word[1], word[2]);
    else if (count == 1 && strcmp(word[0], "refresh") == 0)
        follow();
    else if (count == 1 && strcmp(word[0], "liveness") == 0)
        printf("%s\n", tacho_liveness_text(tacho_liveness(&ring)));
    else if (count == 1 && strcmp(word[0], "time") == 0)
        time_latest();
    else
        printf("no such question\n");
}

int main(void)
{
    static char line[LINE_BYTES];
    while (fgets(line, sizeof line, stdin)) {
        answer(line);
        printf(".\n");
        fflush(stdout);
    }
    tacho_close(&ring);
    return 0;
}
