#include "service/digest_cache.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 4 };

struct entry {
    struct sha256 value;
    uint64_t used; /* when; 0: free */
};

struct set {
    struct entry way[WAYS];
};

struct digest_cache {
    uint64_t now; /* counts uses */
    size_t sets;  /* a power of two */
    struct set set[];
};

struct digest_cache *digest_cache_open(size_t values)
{
    size_t sets = 1;
    struct digest_cache *cache;

    while (sets * WAYS < values) {
        sets *= 2;
    }
    cache = calloc(1, sizeof(*cache) + sets * sizeof(cache->set[0]));
    if (cache == NULL) {
        abort();
    }
    cache->sets = sets;
    return cache;
}

void digest_cache_clear(struct digest_cache *cache)
{
    explicit_bzero(cache->set, cache->sets * sizeof(cache->set[0]));
}

void digest_cache_close(struct digest_cache *cache)
{
    if (cache != NULL) {
        digest_cache_clear(cache);
        free(cache);
    }
}

/* The bytes are a hash already: any of them will do as an index. */
static struct entry *ways_of(struct digest_cache *cache, const struct sha256 *value)
{
    uint32_t index;

    memcpy(&index, value->bytes, sizeof(index));
    return cache->set[index & (cache->sets - 1)].way;
}

bool digest_cache_has(struct digest_cache *cache, const struct sha256 *value)
{
    struct entry *way = ways_of(cache, value);

    for (size_t i = 0; i < WAYS; i++) {
        if (way[i].used != 0 && sha256_eq(&way[i].value, value)) {
            way[i].used = ++cache->now;
            return true;
        }
    }
    return false;
}

void digest_cache_add(struct digest_cache *cache, const struct sha256 *value)
{
    struct entry *way = ways_of(cache, value);
    struct entry *oldest = &way[0];

    if (digest_cache_has(cache, value)) {
        return;
    }
    for (size_t i = 1; i < WAYS; i++) {
        if (way[i].used < oldest->used) {
            oldest = &way[i];
        }
    }
    *oldest = (struct entry){.value = *value, .used = ++cache->now};
}
