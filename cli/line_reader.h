/*
 * line_reader: the lines of a file, of bounded length.
 *
 * Threads:   one.
 * Ownership: a line lives until the next call.
 * Errors:    KS_TOO_LARGE; KS_IO.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

struct line_reader {
    int fd;
    struct buf buf;  /* what was read and not handed out */
    size_t from;     /* where it begins in buf */
    size_t max;      /* bytes of a line, newline not counted */
    uint64_t number; /* of the line that was handed out last */
    uint64_t taken;  /* bytes of what was handed out */
};

/* The descriptor stays the caller's. */
void line_reader_init(struct line_reader *reader, int fd, size_t max);
void line_reader_done(struct line_reader *reader);
/* Without its newline; the last one need not have one. KS_NOT_FOUND: no more. */
KS_MUST_CHECK enum ks_status line_reader_next(struct line_reader *reader, struct span *line,
                                              struct ks_failure *why);
