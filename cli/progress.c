#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { SHOW_EVERY_MS = 200, BAR = 24 };

void progress_begin(struct progress *progress, const char *what)
{
    progress_end(progress);
    *progress = (struct progress){
        .on = isatty(STDERR_FILENO) == 1, .what = what, .begun_ms = clock_monotonic_ms()};
}

void progress_end(struct progress *progress)
{
    if (progress->on && progress->shown_ms != 0) {
        (void)fputs("\r\033[K", stderr);
    }
    progress->on = false;
}

/* " 42% [==========              ]" */
static void add_bar(char *out, size_t size, uint64_t done, uint64_t all)
{
    char bar[BAR + 1];
    int filled = (int)(done < all ? (double)done / (double)all * BAR : BAR);

    memset(bar, ' ', BAR);
    memset(bar, '=', (size_t)filled);
    bar[BAR] = '\0';
    (void)snprintf(out, size, " %3d%% [%s]",
                   (int)(done < all ? (double)done / (double)all * 100 : 100), bar);
}

static void add_bytes(char *out, size_t size, const struct progress_state *state)
{
    const double mib = 1 << 20;

    if (state->all > 0) {
        (void)snprintf(out, size, " %.1f of %.1f MiB", (double)state->done / mib,
                       (double)state->all / mib);
    } else {
        (void)snprintf(out, size, " %.1f MiB", (double)state->done / mib);
    }
}

void progress_show(struct progress *progress, const struct progress_state *state)
{
    int64_t now = clock_monotonic_ms();
    char bar[64] = "";
    char bytes[64] = "";

    if (!progress->on || now - progress->shown_ms < SHOW_EVERY_MS) {
        return;
    }
    progress->shown_ms = now;
    if (state->all > 0) {
        add_bar(bar, sizeof(bar), state->done, state->all);
    }
    if (state->in_bytes) {
        add_bytes(bytes, sizeof(bytes), state);
    }
    (void)fprintf(stderr, "\r%s%s%s  %" PRIu64 " %s, %.0f/s\033[K", progress->what, bar, bytes,
                  state->count, state->unit,
                  (double)state->count * 1000 / (double)(now - progress->begun_ms + 1));
}
