/*
 * buf: a growable byte buffer with a hard bound; the one place where text is put together.
 *
 * Threads:   one owner at a time.
 * Ownership: the caller owns the struct; buf_done frees the bytes and takes a zeroed or half-built
 *            one. A span taken from it dies at the next append.
 * Errors:    an append that would pass `max` changes nothing and sets `overflow`, which stays set
 *            until buf_clear: append freely, look once. Out of memory aborts (inputs are bounded).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t max; /* bytes; 0 means BUF_DEFAULT_MAX */
    bool overflow;
};

#define BUF_DEFAULT_MAX ((size_t)16 << 20)

void buf_init(struct buf *buf, size_t max);
void buf_done(struct buf *buf);
/* Wipes the content before freeing: for secrets. */
void buf_done_secret(struct buf *buf);
void buf_clear(struct buf *buf);

/* Room for `len` more bytes at the end, not yet counted in; NULL (and overflow) beyond the bound.
 */
char *buf_reserve(struct buf *buf, size_t len);
/* Counts `len` bytes in that were written into reserved room. */
void buf_commit(struct buf *buf, size_t len);

void buf_add(struct buf *buf, const void *ptr, size_t len);
void buf_add_span(struct buf *buf, struct span s);
void buf_add_cstr(struct buf *buf, const char *text);
void buf_add_char(struct buf *buf, char c);
void buf_add_int(struct buf *buf, int64_t value);
void buf_printf(struct buf *buf, const char *format, ...) KS_PRINTF(2, 3);

/* Appends text as a JSON string with its quotes (RFC 8259 section 7): control characters as
 * \u00XX, quote and backslash escaped, all else as it is. The text must be valid UTF-8. */
void buf_add_json(struct buf *buf, struct span text);

static inline struct span buf_span(const struct buf *buf)
{
    return (struct span){.ptr = buf->ptr, .len = buf->len};
}
