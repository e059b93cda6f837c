/*
 * uuid: random (version 4) identifiers, RFC 9562.
 * Threads: any. Errors: aborts if the kernel has no randomness to give.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define UUID_TEXT_LEN 36

struct uuid {
    uint8_t bytes[16];
};

struct uuid uuid_random(void);
/* Canonical lower-case text with hyphens; `out` takes UUID_TEXT_LEN characters and a NUL. */
void uuid_format(const struct uuid *uuid, char out[UUID_TEXT_LEN + 1]);
bool uuid_parse(struct span text, struct uuid *out);
bool uuid_eq(const struct uuid *a, const struct uuid *b);
/* Cryptographic random bytes. */
void random_bytes(void *out, size_t len);
