/*
 * connection_table: what device_connection remembers, by tenant and device: a hash table that peers
 * cannot aim at (keyed hash), with the order in which devices were told, of all and of each tenant.
 *
 * Bounds: `max_per_tenant` devices of a tenant, `max_entries` in all; one not told for `age_ms` is
 * not found any more, and its memory goes as others come. Every call takes a bounded number of
 * steps.
 *
 * Threads:   one at a time (device_connection's lock), but for the functions that make keys: any.
 * Ownership: ids are copied; a connection found dies with the next call that is given the table.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Text of its own, in just the memory it needs. */
struct connection_text {
    char *ptr;
    size_t len; /* 0: none */
};

enum connection_order { CONNECTION_OF_ALL, CONNECTION_OF_TENANT, CONNECTION_ORDERS };

struct connection {
    struct connection *next;                     /* of its bucket */
    struct connection *newer[CONNECTION_ORDERS]; /* told after this one */
    struct connection *older[CONNECTION_ORDERS]; /* told before it */
    struct connection_tenant *tenant;
    uint64_t hash;
    int64_t told_ms;
    struct connection_text gateway;
    int64_t gateway_ms;
    struct connection_text adapter;
    int64_t adapter_until_ms;
    uint64_t turn; /* of the look-up that named it last */
    size_t device_len;
    char device[];
};

struct connection_key {
    struct span tenant;
    struct span device;
    uint64_t tenant_hash;
    uint64_t hash;
};

struct connection_table;

struct connection_table *connection_table_open(size_t max_entries, size_t max_per_tenant,
                                               int64_t age_ms);
/* Takes NULL. */
void connection_table_close(struct connection_table *table);

/* Borrows the ids, which have CONNECTION_ID_MAX bytes at most. */
enum { CONNECTION_ID_MAX = 256 };
struct connection_key connection_table_key(const struct connection_table *table, struct span tenant,
                                           struct span device);
/* The hash of another device of the tenant. */
uint64_t connection_table_hash(const struct connection_table *table, struct span tenant,
                               struct span device);

/* NULL: not there, or too old. */
struct connection *connection_table_find(const struct connection_table *table,
                                         const struct connection_key *key, int64_t now_ms);
/* The device's, made if need be, now the one told last. Where there are as many as there may be in
 * all, the one told longest ago goes. NULL: the tenant has its fill. */
struct connection *connection_table_tell(struct connection_table *table,
                                         const struct connection_key *key, int64_t now_ms);
void connection_table_forget(struct connection_table *table, struct connection *connection);

/* Replaces the text. */
void connection_text_set(struct connection_text *text, struct span by);
static inline struct span connection_text_span(const struct connection_text *text)
{
    return span_of(text->ptr, text->len);
}
