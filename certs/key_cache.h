/*
 * key_cache: public keys of CAs, decoded. Decoding one costs more than verifying a signature with
 * it, and the same few CAs sign a fleet.
 *
 * Threads:   one thread's.
 * Ownership: a found key is the cache's, and lives until the next call.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct evp_pkey_st;
struct key_cache;

struct key_cache *key_cache_open(size_t keys);
/* Takes NULL. */
void key_cache_close(struct key_cache *cache);
/* The key of a DER SubjectPublicKeyInfo; `hash` identifies it. NULL: public_key_decode refuses it.
 */
struct evp_pkey_st *key_cache_get(struct key_cache *cache, struct span public_key,
                                  const uint8_t hash[32]);
