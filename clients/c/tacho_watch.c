/* Prints a line for each new record of the host's ring: tacho_watch [RING [LINES]]. */
#include "tachograph.h"

int main(int count, char **word)
{
    static struct tacho_ring ring;
    struct tacho_error error = {.status = TACHO_MISSING};
    char path[PATH_MAX], text[TACHO_TEXT_BYTES];
    bool is_found = count > 1 || tacho_find_ring("host", path, sizeof path);
    if (!is_found || tacho_open(&ring, count > 1 ? word[1] : path, &error) != TACHO_OK) {
        fprintf(stderr, "tacho_watch: %s\n", tacho_error_text(&error, text, sizeof text));
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    uint64_t lines = count > 2 ? strtoull(word[2], NULL, 10) : UINT64_MAX;
    uint64_t seen = tacho_head(&ring), changes = UINT64_MAX, head;
    struct tacho_column column[2];
    struct tacho_value value[2];
    while (lines > 0) {
        if (tacho_wait(&ring, seen, 5 * ring.interval_ns, &head) != TACHO_WAIT_PUBLISHED) {
            printf("the writer is %s\n", tacho_liveness_text(tacho_liveness(&ring)));
            if (tacho_refresh(&ring, NULL) == TACHO_REFRESH_FOLLOWED)
                changes = UINT64_MAX;
            continue;
        }
        if (changes != tacho_directory_changes(&ring)) {
            changes = tacho_directory_changes(&ring);
            tacho_find(&ring, "host", "load1", &column[0]);
            tacho_find(&ring, "host", "context_switches", &column[1]);
        }
        enum tacho_status status = tacho_values(&ring, ++seen, column, 2, value);
        if (status == TACHO_OK)
            printf("%" PRIu64 "  load1 %.2f  context_switches %" PRIu64 "\n", seen, value[0].f64,
                   value[1].u64);
        else
            printf("%" PRIu64 "  %s\n", seen, tacho_status_text(status));
        lines--;
    }
    tacho_close(&ring);
    return 0;
}
