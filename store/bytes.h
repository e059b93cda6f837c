/*
 * bytes: fixed-width little-endian numbers in records, written into a buf and read with bounds.
 * Threads: any.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/span.h"

static inline void bytes_put(struct buf *out, uint64_t value, size_t size)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    buf_add(out, bytes, size);
}

/* Reads `size` bytes, 8 at most, at *at, which moves; false at the end of the bytes. */
static inline bool bytes_get(struct span bytes, size_t *at, size_t size, uint64_t *value)
{
    uint64_t v = 0;

    if (*at > bytes.len || bytes.len - *at < size) {
        return false;
    }
    if (size > 0) {
        memcpy(&v, bytes.ptr + *at, size); /* one load, where the size is a constant */
    }
    *at += size;
    *value = le64toh(v);
    return true;
}

static inline bool bytes_get_span(struct span bytes, size_t *at, size_t len, struct span *out)
{
    if (*at > bytes.len || bytes.len - *at < len) {
        return false;
    }
    *out = span_of(bytes.ptr + *at, len);
    *at += len;
    return true;
}
