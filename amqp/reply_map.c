#include "amqp/reply_map.h"

#include <assert.h>
#include <stdlib.h>

enum { REPLY_MAP_FIRST = 8 };

/* FNV-1a. A client that makes its own addresses collide slows down itself only, and not beyond
 * its own link limit. */
static uint32_t reply_hash(struct span address)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < address.len; i++) {
        hash = (hash ^ (unsigned char)address.ptr[i]) * 16777619U;
    }
    return hash;
}

static struct reply_entry **reply_bucket(const struct reply_map *map, struct span address)
{
    return &map->bucket[reply_hash(address) & (map->buckets - 1)];
}

static void reply_map_grow(struct reply_map *map)
{
    struct reply_map grown = {.buckets = map->buckets == 0 ? REPLY_MAP_FIRST : map->buckets * 2};

    grown.bucket = calloc(grown.buckets, sizeof(struct reply_entry *));
    if (grown.bucket == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < map->buckets; i++) {
        while (map->bucket[i] != NULL) {
            struct reply_entry *entry = map->bucket[i];
            struct reply_entry **to = reply_bucket(&grown, entry->address);

            map->bucket[i] = entry->next;
            entry->next = *to;
            *to = entry;
        }
    }
    free(map->bucket);
    map->bucket = grown.bucket;
    map->buckets = grown.buckets;
}

void reply_map_done(struct reply_map *map)
{
    assert(map->count == 0);
    free(map->bucket);
    *map = (struct reply_map){0};
}

struct reply_entry *reply_map_find(const struct reply_map *map, struct span address)
{
    struct reply_entry *entry = map->count == 0 ? NULL : *reply_bucket(map, address);

    while (entry != NULL && !span_eq(entry->address, address)) {
        entry = entry->next;
    }
    return entry;
}

bool reply_map_add(struct reply_map *map, struct reply_entry *entry)
{
    struct reply_entry **to;

    if (reply_map_find(map, entry->address) != NULL) {
        return false;
    }
    if (map->count >= map->buckets) {
        reply_map_grow(map);
    }
    to = reply_bucket(map, entry->address);
    entry->next = *to;
    *to = entry;
    map->count++;
    return true;
}

void reply_map_remove(struct reply_map *map, const struct reply_entry *entry)
{
    struct reply_entry **at = reply_bucket(map, entry->address);

    while (*at != NULL && *at != entry) {
        at = &(*at)->next;
    }
    assert(*at == entry);
    *at = entry->next;
    map->count--;
}
