/*
 * progress: a line on a terminal that tells how far a long command has come; nothing where standard
 * error is no terminal.
 *
 * Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool on;
    const char *what; /* "reading" */
    int64_t begun_ms;
    int64_t shown_ms; /* 0: never so far */
};

/* Begins a stage; the line of the one before is done with. */
void progress_begin(struct progress *progress, const char *what);
struct progress_state {
    uint64_t done; /* of `all`, which is 0 if it is not known */
    uint64_t all;
    bool in_bytes;
    uint64_t count; /* of what is gone through: "lines" */
    const char *unit;
};
/* Shown at most some times a second. */
void progress_show(struct progress *progress, const struct progress_state *state);
/* Takes the line off the terminal. */
void progress_end(struct progress *progress);
