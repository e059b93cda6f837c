/*
 * der: a small bounded reader of DER: tag, length, content (X.690).
 *
 * Threads: any; pure. Ownership: borrows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_VERSION = 0xA0,    /* [0] of a certificate */
    DER_EXTENSIONS = 0xA3, /* [3] */
};

struct der_value {
    uint8_t tag;
    struct span content;
    struct span whole; /* tag and length included */
};

/* The next value of `in`, which is shortened; false if there is none or it is malformed. Tags above
 * 30 and indefinite lengths are malformed here. */
bool der_next(struct span *in, struct der_value *out);
/* The same, but it must have this tag and the shortest length there is. */
bool der_take(struct span *in, uint8_t tag, struct der_value *out);

static inline bool der_starts_with(struct span in, uint8_t tag)
{
    return in.len > 0 && (uint8_t)in.ptr[0] == tag;
}
