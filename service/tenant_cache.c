#include "service/tenant_cache.h"

#include <stdlib.h>
#include <string.h>

#include "service/reasons.h"
#include "store/store.h"

enum { SETS = 1024, WAYS = 4 };

struct entry {
    uint64_t generation; /* of the tenants when it was read; 0: free */
    uint64_t used;       /* when last */
    uint32_t space;
    uint8_t id_len;
    char id[STORE_ID_MAX];
};

struct tenant_cache {
    uint64_t generation; /* of the current request, plus 1 */
    uint64_t now;        /* counts uses */
    struct entry entry[SETS][WAYS];
};

struct tenant_cache *tenant_cache_open(void)
{
    struct tenant_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL) {
        abort();
    }
    return cache;
}

void tenant_cache_close(struct tenant_cache *cache)
{
    free(cache);
}

void tenant_cache_begin(struct tenant_cache *cache, uint64_t generation)
{
    cache->generation = generation + 1;
}

/* FNV-1a: only ids of tenants that exist get in, so nobody else chooses the keys. */
static struct entry *ways_of(struct tenant_cache *cache, struct span id)
{
    uint32_t hash = 0x811C9DC5U;

    for (size_t i = 0; i < id.len; i++) {
        hash = (hash ^ (unsigned char)id.ptr[i]) * 0x01000193U;
    }
    return cache->entry[(hash ^ (hash >> 16)) % SETS];
}

static struct entry *oldest_of(struct entry *way)
{
    struct entry *oldest = &way[0];

    for (size_t i = 1; i < WAYS; i++) {
        if (way[i].used < oldest->used) {
            oldest = &way[i];
        }
    }
    return oldest;
}

enum ks_status tenant_cache_find(struct tenant_cache *cache, struct store_txn *txn, struct span id,
                                 uint32_t *space, struct ks_failure *why)
{
    struct entry *way = ways_of(cache, id);
    struct entry *slot = NULL;
    enum ks_status st = KS_NOT_FOUND;

    for (size_t i = 0; i < WAYS; i++) {
        if (span_eq(span_of(way[i].id, way[i].id_len), id) && way[i].generation != 0) {
            slot = &way[i];
        }
    }
    if (slot != NULL && slot->generation == cache->generation) {
        slot->used = ++cache->now;
        *space = slot->space;
        return KS_OK;
    }
    if (id.len > 0 && id.len <= STORE_ID_MAX && !span_has_nul(id)) {
        st = store_tenant_find(txn, id, space, why);
    }
    if (st == KS_NOT_FOUND) {
        return ks_fail(why, KS_NOT_FOUND, REASON_UNKNOWN_TENANT, "no such tenant");
    }
    if (st != KS_OK) {
        return st;
    }
    slot = slot != NULL ? slot : oldest_of(way);
    *slot = (struct entry){.generation = cache->generation,
                           .used = ++cache->now,
                           .space = *space,
                           .id_len = (uint8_t)id.len};
    memcpy(slot->id, id.ptr, id.len);
    return KS_OK;
}
