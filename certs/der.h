/*
 * der: a small bounded reader of DER: tag, length, content (X.690). For names only; certificates
 * are OpenSSL's business.
 *
 * Threads: any; pure. Ownership: borrows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct der_value {
    uint8_t tag;
    struct span content;
    struct span whole; /* tag and length included */
};

/* The next value of `in`, which is shortened; false if there is none or it is malformed. Tags above
 * 30 and indefinite lengths are malformed here. */
bool der_next(struct span *in, struct der_value *out);
