/*
 * codec: AMQP 1.0 values, read from a span without ever going past its end, and written into a buf.
 *
 * Threads:   any; pure.
 * Ownership: what is read borrows from the bytes.
 * Errors:    a read returns false for anything that is not exactly the value asked for; the place
 *            of the reader is then undefined and `failed` stays set.
 * Source:    AMQP 1.0 part 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum { CODEC_DEPTH = 16 };

struct codec_reader {
    const unsigned char *at;
    const unsigned char *end;
    bool failed;
};

static inline struct codec_reader codec_reader_of(struct span bytes)
{
    return (struct codec_reader){.at = (const unsigned char *)bytes.ptr,
                                 .end = (const unsigned char *)span_end(bytes)};
}

static inline size_t codec_left(const struct codec_reader *r)
{
    return (size_t)(r->end - r->at);
}

/* What a value is, whatever its encoding. */
enum codec_type {
    CODEC_NULL,
    CODEC_BOOL,
    CODEC_UBYTE,
    CODEC_USHORT,
    CODEC_UINT,
    CODEC_ULONG,
    CODEC_BYTE,
    CODEC_SHORT,
    CODEC_INT,
    CODEC_LONG,
    CODEC_FLOAT,
    CODEC_DOUBLE,
    CODEC_DECIMAL32,
    CODEC_DECIMAL64,
    CODEC_DECIMAL128,
    CODEC_CHAR,
    CODEC_TIMESTAMP,
    CODEC_UUID,
    CODEC_BINARY,
    CODEC_STRING,
    CODEC_SYMBOL,
    CODEC_LIST,
    CODEC_MAP,
    CODEC_ARRAY,
    CODEC_DESCRIBED,
};

/* The type of the next value; false at the end and for an unknown constructor. Moves nothing. */
bool codec_peek(const struct codec_reader *r, enum codec_type *type);
/* Passes over one value of any type, nested ones up to CODEC_DEPTH; *value (may be NULL) is its
 * encoding. */
bool codec_skip(struct codec_reader *r, struct span *value);
/* The same; fails beyond *values values, nested ones counted, and takes what it found off them. */
bool codec_skip_within(struct codec_reader *r, uint32_t *values);

/* A null where one is allowed: true and moved if the next value is null. */
bool codec_take_null(struct codec_reader *r);
bool codec_read_bool(struct codec_reader *r, bool *out);
bool codec_read_ubyte(struct codec_reader *r, uint8_t *out);
bool codec_read_uint(struct codec_reader *r, uint32_t *out);
bool codec_read_ulong(struct codec_reader *r, uint64_t *out);
/* A signed integer of 32 or 64 bits. */
bool codec_read_integer(struct codec_reader *r, int64_t *out);
bool codec_read_binary(struct codec_reader *r, struct span *out);
/* UTF-8 is not checked. */
bool codec_read_string(struct codec_reader *r, struct span *out);
bool codec_read_symbol(struct codec_reader *r, struct span *out);

/* A list, or map, or array: `inside` reads its elements, *count of them (a map counts keys and
 * values). For an array, `inside` begins with the element constructor. The reader moves behind the
 * whole. */
bool codec_read_list(struct codec_reader *r, struct codec_reader *inside, uint32_t *count);
bool codec_read_map(struct codec_reader *r, struct codec_reader *inside, uint32_t *count);
bool codec_read_array(struct codec_reader *r, struct codec_reader *inside, uint32_t *count);
/* A described value with a numeric descriptor: behind it comes the value. */
bool codec_read_descriptor(struct codec_reader *r, uint64_t *descriptor);
/* The same with a symbol as descriptor. */
bool codec_read_symbolic_descriptor(struct codec_reader *r, struct span *descriptor);

/* ---- writing ---- */

void codec_write_null(struct buf *out);
void codec_write_bool(struct buf *out, bool value);
void codec_write_uint(struct buf *out, uint32_t value);
void codec_write_long(struct buf *out, int64_t value);
void codec_write_double(struct buf *out, double value);
/* Milliseconds since 1970. */
void codec_write_timestamp(struct buf *out, int64_t value);
void codec_write_ubyte(struct buf *out, uint8_t value);
void codec_write_int(struct buf *out, int32_t value);
void codec_write_string(struct buf *out, struct span value);
void codec_write_symbol(struct buf *out, struct span value);
void codec_write_binary(struct buf *out, struct span value);
void codec_write_descriptor(struct buf *out, uint8_t descriptor);
/* A list or map whose size is not known yet: begin, write the elements, end with their number. */
size_t codec_begin_list(struct buf *out);
size_t codec_begin_map(struct buf *out);
void codec_end_compound(struct buf *out, size_t begin, uint32_t count);
