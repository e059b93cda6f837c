#include "service/connection_table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/uuid.h"

enum { SWEPT_AT_ONCE = 2 }; /* more than one comes at once: what is too old dwindles */

struct order {
    struct connection *newest;
    struct connection *oldest;
};

struct connection_tenant {
    struct connection_tenant *next; /* of its bucket */
    uint64_t hash;
    size_t entries;
    struct order order;
    size_t len;
    char name[];
};

struct connection_table {
    size_t max_entries;
    size_t max_per_tenant;
    int64_t age_ms;
    struct uuid secret; /* key of the hashes: peers choose the ids */
    size_t count;
    size_t mask; /* buckets - 1; their number is a power of two */
    struct connection **bucket;
    struct connection_tenant **tenant;
    struct order order;
};

static void *must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

struct connection_table *connection_table_open(size_t max_entries, size_t max_per_tenant,
                                               int64_t age_ms)
{
    struct connection_table *table = must(calloc(1, sizeof(*table)));
    size_t buckets = 1;

    assert(max_entries > 0 && max_per_tenant > 0 && age_ms > 0);
    while (buckets < max_entries) {
        buckets *= 2;
    }
    *table = (struct connection_table){.max_entries = max_entries,
                                       .max_per_tenant = max_per_tenant,
                                       .age_ms = age_ms,
                                       .secret = uuid_random(),
                                       .mask = buckets - 1};
    table->bucket = must(calloc(buckets, sizeof(struct connection *)));
    table->tenant = must(calloc(buckets, sizeof(struct connection_tenant *)));
    return table;
}

void connection_table_close(struct connection_table *table)
{
    if (table == NULL) {
        return;
    }
    while (table->order.oldest != NULL) {
        connection_table_forget(table, table->order.oldest);
    }
    free(table->bucket);
    free(table->tenant);
    free(table);
}

/* ---- keys ---- */

uint64_t connection_table_hash(const struct connection_table *table, struct span tenant,
                               struct span device)
{
    char text[2 * CONNECTION_ID_MAX + 1];
    struct sha256 digest;
    uint64_t hash;

    assert(tenant.len <= CONNECTION_ID_MAX && device.len <= CONNECTION_ID_MAX);
    memcpy(text, tenant.ptr, tenant.len);
    text[tenant.len] = '\0';
    if (device.len > 0) {
        memcpy(text + tenant.len + 1, device.ptr, device.len);
    }
    digest = hmac_sha256(span_of((const char *)table->secret.bytes, sizeof(table->secret.bytes)),
                         span_of(text, tenant.len + 1 + device.len));
    memcpy(&hash, digest.bytes, sizeof(hash));
    return hash;
}

struct connection_key connection_table_key(const struct connection_table *table, struct span tenant,
                                           struct span device)
{
    return (struct connection_key){
        .tenant = tenant,
        .device = device,
        .tenant_hash = connection_table_hash(table, tenant, span_of(NULL, 0)),
        .hash = connection_table_hash(table, tenant, device),
    };
}

/* ---- places: the pointer that holds what is looked for, or NULL where it would be ---- */

static struct connection_tenant **tenant_place(const struct connection_table *table, uint64_t hash,
                                               struct span name)
{
    struct connection_tenant **at = &table->tenant[hash & table->mask];

    while (*at != NULL &&
           ((*at)->hash != hash || !span_eq(span_of((*at)->name, (*at)->len), name))) {
        at = &(*at)->next;
    }
    return at;
}

static bool is(const struct connection *connection, const struct connection_key *key)
{
    const struct connection_tenant *tenant = connection->tenant;

    return connection->hash == key->hash &&
           span_eq(span_of(connection->device, connection->device_len), key->device) &&
           span_eq(span_of(tenant->name, tenant->len), key->tenant);
}

static struct connection **place(const struct connection_table *table,
                                 const struct connection_key *key)
{
    struct connection **at = &table->bucket[key->hash & table->mask];

    while (*at != NULL && !is(*at, key)) {
        at = &(*at)->next;
    }
    return at;
}

static bool too_old(const struct connection_table *table, const struct connection *connection,
                    int64_t now_ms)
{
    return now_ms - connection->told_ms > table->age_ms;
}

struct connection *connection_table_find(const struct connection_table *table,
                                         const struct connection_key *key, int64_t now_ms)
{
    struct connection *found = *place(table, key);

    return found == NULL || too_old(table, found, now_ms) ? NULL : found;
}

/* ---- the orders ---- */

static struct order *order_of(struct connection_table *table, const struct connection *connection,
                              enum connection_order which)
{
    return which == CONNECTION_OF_ALL ? &table->order : &connection->tenant->order;
}

static void take_out(struct order *order, const struct connection *connection,
                     enum connection_order which)
{
    struct connection *newer = connection->newer[which];
    struct connection *older = connection->older[which];

    *(newer != NULL ? &newer->older[which] : &order->newest) = older;
    *(older != NULL ? &older->newer[which] : &order->oldest) = newer;
}

static void put_first(struct order *order, struct connection *connection,
                      enum connection_order which)
{
    connection->newer[which] = NULL;
    connection->older[which] = order->newest;
    *(order->newest != NULL ? &order->newest->newer[which] : &order->oldest) = connection;
    order->newest = connection;
}

/* ---- coming and going ---- */

void connection_table_forget(struct connection_table *table, struct connection *connection)
{
    struct connection_tenant *tenant = connection->tenant;
    struct connection **at = &table->bucket[connection->hash & table->mask];

    while (*at != connection) {
        at = &(*at)->next;
    }
    *at = connection->next;
    take_out(&table->order, connection, CONNECTION_OF_ALL);
    take_out(&tenant->order, connection, CONNECTION_OF_TENANT);
    table->count--;
    if (--tenant->entries == 0) {
        *tenant_place(table, tenant->hash, span_of(tenant->name, tenant->len)) = tenant->next;
        free(tenant);
    }
    free(connection->gateway.ptr);
    free(connection->adapter.ptr);
    free(connection);
}

static void forget_oldest(struct connection_table *table, const struct order *order,
                          enum connection_order which)
{
    struct connection *oldest = order->oldest;

    assert(oldest != NULL && oldest->older[which] == NULL);
    connection_table_forget(table, oldest);
}

/* Makes room for one more of the tenant. False: it has its fill of devices told lately. */
static bool make_room(struct connection_table *table, const struct connection_key *key,
                      int64_t now_ms)
{
    const struct connection_tenant *tenant;

    for (int i = 0; i < SWEPT_AT_ONCE && table->order.oldest != NULL &&
                    too_old(table, table->order.oldest, now_ms);
         i++) {
        forget_oldest(table, &table->order, CONNECTION_OF_ALL);
    }
    tenant = *tenant_place(table, key->tenant_hash, key->tenant);
    if (tenant != NULL && tenant->entries >= table->max_per_tenant) {
        if (!too_old(table, tenant->order.oldest, now_ms)) {
            return false;
        }
        forget_oldest(table, &tenant->order, CONNECTION_OF_TENANT);
    }
    if (table->count >= table->max_entries) {
        forget_oldest(table, &table->order, CONNECTION_OF_ALL);
    }
    return true;
}

static struct connection_tenant *make_tenant(struct connection_table *table,
                                             const struct connection_key *key)
{
    struct connection_tenant **at = tenant_place(table, key->tenant_hash, key->tenant);

    if (*at == NULL) {
        *at = must(calloc(1, sizeof(**at) + key->tenant.len));
        (*at)->hash = key->tenant_hash;
        (*at)->len = key->tenant.len;
        memcpy((*at)->name, key->tenant.ptr, key->tenant.len);
    }
    return *at;
}

static struct connection *make(struct connection_table *table, const struct connection_key *key)
{
    struct connection **bucket = &table->bucket[key->hash & table->mask];
    struct connection *made = must(calloc(1, sizeof(*made) + key->device.len));

    made->next = *bucket;
    made->tenant = make_tenant(table, key);
    made->hash = key->hash;
    made->device_len = key->device.len;
    memcpy(made->device, key->device.ptr, key->device.len);
    made->tenant->entries++;
    table->count++;
    *bucket = made;
    return made;
}

struct connection *connection_table_tell(struct connection_table *table,
                                         const struct connection_key *key, int64_t now_ms)
{
    struct connection *told = *place(table, key);

    if (told != NULL && too_old(table, told, now_ms)) {
        connection_table_forget(table, told);
        told = NULL;
    }
    if (told == NULL && !make_room(table, key, now_ms)) {
        return NULL;
    }
    for (enum connection_order which = 0; told != NULL && which < CONNECTION_ORDERS; which++) {
        take_out(order_of(table, told, which), told, which);
    }
    if (told == NULL) {
        told = make(table, key);
    }
    for (enum connection_order which = 0; which < CONNECTION_ORDERS; which++) {
        put_first(order_of(table, told, which), told, which);
    }
    told->told_ms = now_ms;
    return told;
}

void connection_text_set(struct connection_text *text, struct span by)
{
    if (by.len == 0) {
        free(text->ptr);
        text->ptr = NULL;
    } else {
        if (by.len != text->len) {
            text->ptr = must(realloc(text->ptr, by.len));
        }
        memcpy(text->ptr, by.ptr, by.len);
    }
    text->len = by.len;
}
