/*
 * reply_map: the reply addresses of one connection, each with its link.
 *
 * Threads:   the connection's reactor.
 * Ownership: entries are embedded in their links; the address text is the link's and must outlive
 *            the entry.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct reply_entry {
    struct span address;
    struct reply_entry *next; /* of its bucket */
};

struct reply_map {
    struct reply_entry **bucket;
    uint32_t buckets; /* power of two, or 0 before the first entry */
    uint32_t count;
};

void reply_map_done(struct reply_map *map);
/* False: the address is there already. */
bool reply_map_add(struct reply_map *map, struct reply_entry *entry);
void reply_map_remove(struct reply_map *map, const struct reply_entry *entry);
struct reply_entry *reply_map_find(const struct reply_map *map, struct span address);
