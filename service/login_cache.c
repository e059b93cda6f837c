#include "service/login_cache.h"

#include <string.h>

void login_cache_clear(struct login_cache *cache)
{
    explicit_bzero(cache, sizeof(*cache));
}

static struct login_cache_entry *set_of(struct login_cache *cache, const struct sha256 *key)
{
    return cache->entry[key->bytes[0] % LOGIN_CACHE_SETS];
}

bool login_cache_has(struct login_cache *cache, const struct sha256 *key)
{
    struct login_cache_entry *set = set_of(cache, key);

    for (size_t i = 0; i < LOGIN_CACHE_WAYS; i++) {
        if (set[i].used != 0 && sha256_eq(&set[i].key, key)) {
            set[i].used = ++cache->now;
            return true;
        }
    }
    return false;
}

void login_cache_add(struct login_cache *cache, const struct sha256 *key)
{
    struct login_cache_entry *set = set_of(cache, key);
    struct login_cache_entry *oldest = &set[0];

    if (login_cache_has(cache, key)) {
        return;
    }
    for (size_t i = 1; i < LOGIN_CACHE_WAYS; i++) {
        if (set[i].used < oldest->used) {
            oldest = &set[i];
        }
    }
    *oldest = (struct login_cache_entry){.key = *key, .used = ++cache->now};
}
