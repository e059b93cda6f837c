#include "certs/key_cache.h"

#include <stdlib.h>
#include <string.h>

#include "certs/certificate.h"

struct cached_key {
    struct evp_pkey_st *key; /* NULL: a free place */
    uint8_t hash[32];
    uint64_t used;
};

struct key_cache {
    uint64_t now; /* counts uses */
    size_t places;
    struct cached_key place[];
};

struct key_cache *key_cache_open(size_t keys)
{
    struct key_cache *cache = calloc(1, sizeof(*cache) + keys * sizeof(cache->place[0]));

    if (cache == NULL) {
        abort();
    }
    cache->places = keys;
    return cache;
}

void key_cache_close(struct key_cache *cache)
{
    for (size_t i = 0; cache != NULL && i < cache->places; i++) {
        public_key_free(cache->place[i].key);
    }
    free(cache);
}

struct evp_pkey_st *key_cache_get(struct key_cache *cache, struct span public_key,
                                  const uint8_t hash[32])
{
    struct cached_key *oldest = &cache->place[0];
    struct evp_pkey_st *key;

    for (size_t i = 0; i < cache->places; i++) {
        struct cached_key *place = &cache->place[i];

        if (place->key != NULL && memcmp(place->hash, hash, sizeof(place->hash)) == 0) {
            place->used = ++cache->now;
            return place->key;
        }
        if (place->used < oldest->used) {
            oldest = place;
        }
    }
    key = public_key_decode(public_key);
    if (key != NULL) {
        public_key_free(oldest->key);
        oldest->key = key;
        oldest->used = ++cache->now;
        memcpy(oldest->hash, hash, sizeof(oldest->hash));
    }
    return key;
}
