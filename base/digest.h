/*
 * digest: SHA-256 and comparison in constant time. The only file that knows OpenSSL's digests.
 * Threads: any; the algorithm is fetched once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct sha256 {
    uint8_t bytes[32];
};

struct sha256 sha256_of(struct span data);
/* Of a followed by b, with a's length between so that no two pairs collide by shifting. */
struct sha256 sha256_of_pair(struct span a, struct span b);
bool sha256_eq(const struct sha256 *a, const struct sha256 *b);
/* HMAC-SHA-256: the keyed hash of caches whose keys are secret. */
struct sha256 hmac_sha256(struct span key, struct span data);
/* Time depends on the lengths only. */
bool secret_eq(struct span a, struct span b);
