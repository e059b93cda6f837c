/*
 * digest_cache: a bounded set of SHA-256 values: what was verified lately and need not be again.
 * What a value stands for, its user knows.
 *
 * Set-associative: the value of a set that was not asked for longest makes room.
 *
 * Threads:   none of its own: its owner's thread or lock guards it.
 * Ownership: copies. All is allocated at open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/digest.h"

struct digest_cache;

/* Room for `values` of them, rounded up to a power of two. */
struct digest_cache *digest_cache_open(size_t values);
/* Takes NULL. Wipes, as clear does. */
void digest_cache_close(struct digest_cache *cache);
void digest_cache_clear(struct digest_cache *cache);
bool digest_cache_has(struct digest_cache *cache, const struct sha256 *value);
void digest_cache_add(struct digest_cache *cache, const struct sha256 *value);
