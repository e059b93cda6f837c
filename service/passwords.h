/*
 * passwords: bcrypt hashes of device passwords, in the one form that Hono's adapters verify:
 * `$2a$`, two digits of cost, 53 characters.
 *
 * Threads:   any; pure. A hash takes milliseconds (44 at cost 10): on the pool only.
 * Ownership: nothing is kept; work memory is wiped.
 * Errors:    KS_INVALID says what to do.
 */
#pragma once

#include "base/span.h"
#include "base/status.h"

enum {
    PASSWORDS_PLAIN_MAX = 72, /* bytes that bcrypt looks at */
    PASSWORDS_HASH_LEN = 60,
    PASSWORDS_COST_MIN = 4,
    PASSWORDS_COST_MAX = 31,
};

/* Whether the text can be hashed: 1 to PASSWORDS_PLAIN_MAX bytes, no NUL. */
KS_MUST_CHECK enum ks_status passwords_check_plain(struct span plain, struct ks_failure *why);
/* Whether it is a hash of this form that costs no more than `max_cost`. */
KS_MUST_CHECK enum ks_status passwords_check_hash(struct span hash, int max_cost,
                                                  struct ks_failure *why);
/* Hashes with a fresh salt; `out` takes the hash and a NUL. */
KS_MUST_CHECK enum ks_status passwords_hash(struct span plain, int cost,
                                            char out[PASSWORDS_HASH_LEN + 1],
                                            struct ks_failure *why);
