/*
 * guard_schema: whether a performative is exactly what the standard describes: a described list of
 * the right fields with the right types, nested ones included.
 *
 * Threads:   any; pure.
 * Source:    AMQP 1.0 part 2 section 2.7 and 2.8, part 3 section 3.4 and 3.5.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "amqp/codec.h"

enum performative {
    PERFORMATIVE_OPEN = 0x10,
    PERFORMATIVE_BEGIN = 0x11,
    PERFORMATIVE_ATTACH = 0x12,
    PERFORMATIVE_FLOW = 0x13,
    PERFORMATIVE_TRANSFER = 0x14,
    PERFORMATIVE_DISPOSITION = 0x15,
    PERFORMATIVE_DETACH = 0x16,
    PERFORMATIVE_END = 0x17,
    PERFORMATIVE_CLOSE = 0x18,
};

/* No performative has more fields. */
enum { GUARD_FIELDS_MAX = 14 };

/* The fields of a performative: a reader at each value that is there and not null. */
struct guard_fields {
    uint64_t performative;
    struct codec_reader at[GUARD_FIELDS_MAX];
    bool has[GUARD_FIELDS_MAX];
};

/* Checks the body of a frame and finds its fields; the reader is left behind the performative,
 * where a transfer's payload begins. False: it is not exactly one of the nine. */
bool guard_schema_read(struct codec_reader *body, struct guard_fields *out);
/* The same of what a server answers: only what the guard or the engine counts with has a type. What
 * it says of itself and why it refuses is taken as it comes. */
bool guard_schema_read_answer(struct codec_reader *body, struct guard_fields *out);
