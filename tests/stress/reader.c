/*
 * Follows a ring for a while and checks every record for tears: reader RING SECONDS.
 *
 * The words of a record are functions of its sequence and of their column, and tick_duration_ns is
 * the sequence, so that a mix of two records shows itself. The ring may not be there yet, its writer
 * may die and come back, and another file may take its place. The last line says
 *
 *     reads R overruns O gaps G torn T reopened N
 *
 * and the program succeeds if it has read something and nothing of it was torn.
 */
#include "tachograph.h"

#define PAUSE_NS UINT64_C(5000000)
#define WAIT_NS UINT64_C(100000000)

struct counts {
    uint64_t reads, overruns, gaps, torn;
};

static uint64_t words[TACHO_COLUMNS_MAX];

static uint64_t expected(uint64_t seq, uint64_t column)
{
    return ((seq << 20 | column) * UINT64_C(0x9E3779B97F4A7C15)) >> 1;
}

static void look(const struct tacho_view *view, void *result)
{
    bool is_whole = tacho_record_word(view, TACHO_RECORD_TICK_DURATION_NS) == view->seq;
    for (uint64_t column = 0; column < view->columns; column++)
        is_whole &= tacho_word_at(view, column) == expected(view->seq, column);
    *(bool *)result = is_whole;
}

static enum tacho_status copy(const struct tacho_ring *ring, uint64_t seq, bool *is_whole)
{
    struct tacho_record record;
    enum tacho_status status =
        tacho_read_into(ring, seq, &record, words, sizeof words / sizeof words[0]);
    if (status != TACHO_OK)
        return status;
    *is_whole = record.seq == seq && record.tick_duration_ns == seq;
    for (uint64_t column = 0; column < record.columns; column++)
        *is_whole &= words[column] == expected(seq, column);
    return TACHO_OK;
}

/* In place or copied, in turns. */
static void read_one(const struct tacho_ring *ring, uint64_t seq, struct counts *counts)
{
    bool is_whole = false;
    enum tacho_status status =
        seq % 2 == 0 ? tacho_read(ring, seq, look, &is_whole) : copy(ring, seq, &is_whole);
    switch (status) {
    case TACHO_OK:
        counts->reads++;
        if (!is_whole) {
            counts->torn++;
            fprintf(stderr, "record %" PRIu64 " is torn\n", seq);
        }
        break;
    case TACHO_OVERRUN: counts->overruns++; break;
    case TACHO_LOST: counts->gaps++; break;
    default:
        counts->torn++;
        fprintf(stderr, "record %" PRIu64 ": %s\n", seq, tacho_status_text(status));
    }
}

/* Reads what has come since the record `seen`, and returns the newest. */
static uint64_t read_window(const struct tacho_ring *ring, uint64_t seen, uint64_t head,
                            struct counts *counts)
{
    uint64_t oldest = tacho_oldest(ring, head);
    if (oldest > seen + 1) {
        counts->overruns += oldest - (seen + 1);
        seen = oldest - 1;
    }
    while (seen < head)
        read_one(ring, ++seen, counts);
    return seen;
}

static void pause_a_little(void)
{
    struct timespec moment = {0, (long)PAUSE_NS};
    nanosleep(&moment, NULL);
}

int main(int count, char **word)
{
    static struct tacho_ring ring;
    struct counts counts = {0, 0, 0, 0};
    struct tacho_error error;
    if (count != 3) {
        fprintf(stderr, "usage: reader RING SECONDS\n");
        return 2;
    }
    uint64_t seconds = strtoull(word[2], NULL, 10);
    uint64_t end_ns = tacho_clock_ns(CLOCK_MONOTONIC) + seconds * UINT64_C(1000000000);
    bool is_open = false;
    while (!is_open && tacho_clock_ns(CLOCK_MONOTONIC) < end_ns) {
        is_open = tacho_open(&ring, word[1], &error) == TACHO_OK;
        if (!is_open)
            pause_a_little();
    }
    if (!is_open) {
        char text[TACHO_TEXT_BYTES];
        fprintf(stderr, "%s: %s\n", word[1], tacho_error_text(&error, text, sizeof text));
        return 1;
    }
    uint64_t seen = tacho_oldest(&ring, tacho_head(&ring)) - 1, head;
    while (tacho_clock_ns(CLOCK_MONOTONIC) < end_ns) {
        if (tacho_wait(&ring, seen, WAIT_NS, &head) == TACHO_WAIT_PUBLISHED) {
            seen = read_window(&ring, seen, head, &counts);
            continue;
        }
        if (tacho_refresh(&ring, &error) == TACHO_REFRESH_FOLLOWED && tacho_head(&ring) < seen)
            /* A ring that began anew: its records are others. */
            seen = tacho_oldest(&ring, tacho_head(&ring)) - 1;
    }
    printf("reads %" PRIu64 " overruns %" PRIu64 " gaps %" PRIu64 " torn %" PRIu64
           " reopened %" PRIu64 "\n",
           counts.reads, counts.overruns, counts.gaps, counts.torn, ring.reopened);
    tacho_close(&ring);
    return counts.torn == 0 && counts.reads > 0 ? 0 : 1;
}
