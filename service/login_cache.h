/*
 * login_cache: which logins were verified lately, by the keyed hash of user and password. It knows
 * neither; what a verified login may do is looked up elsewhere.
 *
 * Bounded and set-associative: the entry of a set that was not used for longest makes room.
 *
 * Threads:   none of its own: the owner's lock guards it.
 * Ownership: a plain value inside its owner.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"

enum { LOGIN_CACHE_SETS = 256, LOGIN_CACHE_WAYS = 4 };

struct login_cache_entry {
    struct sha256 key;
    uint64_t used; /* when; 0: free */
};

struct login_cache {
    uint64_t now; /* counts uses */
    struct login_cache_entry entry[LOGIN_CACHE_SETS][LOGIN_CACHE_WAYS];
};

void login_cache_clear(struct login_cache *cache);
bool login_cache_has(struct login_cache *cache, const struct sha256 *key);
void login_cache_add(struct login_cache *cache, const struct sha256 *key);
