/*
 * inlet: what evhttp gets to see of a connection: whole heads, read strictly (http/head.h) and
 * written again in one plain form, and bodies no larger than they may be. What cannot be read
 * exactly ends the connection before evhttp knows of it.
 *
 * A head is held until it has come whole. A body that is too large, or that the method has no use
 * for, is dropped as it comes, so that the request behind it can still be served. Chunks are cut
 * and written anew: extensions and trailers never reach anyone.
 *
 * Threads:   any; pure.
 * Ownership: holds a head of 12 KiB at most; inlet_done frees it.
 * Source:    RFC 9112 section 7.1; docs/decisions/inlet-before-evhttp.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum {
    INLET_LINE_MAX = 4096,   /* request line */
    INLET_FIELDS_MAX = 8192, /* header block */
};

enum inlet_verdict {
    INLET_FINE,
    INLET_MALFORMED,        /* 400 */
    INLET_LINE_TOO_LONG,    /* 414 */
    INLET_FIELDS_TOO_LARGE, /* 431 */
    INLET_BROKEN_BODY,      /* a chunk that cannot be read: the end, without an answer */
};

/* What the next byte belongs to. */
enum inlet_phase {
    INLET_IDLE, /* nothing of a request has come */
    INLET_HEAD,
    INLET_BODY,
};

enum inlet_state {
    INLET_STATE_HEAD,
    INLET_STATE_LENGTH,     /* a body of a known length */
    INLET_STATE_CHUNK_SIZE, /* a line */
    INLET_STATE_CHUNK,
    INLET_STATE_CHUNK_END, /* an empty line */
    INLET_STATE_TRAILER,   /* lines up to an empty one */
};

struct inlet {
    size_t max_payload;
    enum inlet_verdict verdict; /* once it is not fine, what comes is dropped */
    enum inlet_state state;
    bool begun;         /* of the next request something has come, and be it an empty line */
    struct buf held;    /* of a head or a line of chunks, what has come */
    size_t fields_at;   /* where the header block of a held head begins; 0: not there yet */
    size_t line_at;     /* where the line at the end begins */
    uint64_t left;      /* of a body or chunk, what has not come */
    uint64_t taken;     /* of a body in chunks, what was passed on */
    size_t trailer_len; /* what has come of it */
    bool dropping;      /* of a body, what comes */
    uint64_t heads;     /* requests whose head was passed on */
    uint64_t whole;     /* of them, those that were passed on to their end */
};

void inlet_init(struct inlet *inlet, size_t max_payload);
void inlet_done(struct inlet *inlet);
/* Takes all of `bytes`; appends what is passed on. The verdict stays once it is not fine. */
enum inlet_verdict inlet_feed(struct inlet *inlet, struct span bytes, struct buf *out);
enum inlet_phase inlet_phase(const struct inlet *inlet);
