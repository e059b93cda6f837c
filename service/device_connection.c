#include "service/device_connection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/lock.h"
#include "base/uuid.h"
#include "service/reasons.h"

enum { TENANT_BUCKETS = 1024 };

struct tenant {
    struct tenant *next; /* of its bucket */
    size_t entries;
    size_t len;
    char name[];
};

/* A device; in its bucket, and in the list from the one told last to the one told longest ago. */
struct entry {
    struct entry *next;
    struct entry *newer;
    struct entry *older;
    struct tenant *tenant;
    char *device;
    size_t device_len;
    int64_t told_ms;
    struct buf gateway; /* empty: none */
    int64_t gateway_ms;
    struct buf adapter; /* empty: none */
    int64_t adapter_until_ms;
};

struct device_connections {
    size_t max_entries;
    size_t max_per_tenant;
    struct uuid key;  /* of the hashes: peers choose the ids */
    struct lock lock; /* guards all below */
    size_t count;
    size_t buckets; /* a power of two */
    struct entry **bucket;
    struct tenant *tenant[TENANT_BUCKETS];
    struct entry *newest;
    struct entry *oldest;
};

static void *must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

struct device_connections *device_connections_open(size_t max_entries, size_t max_per_tenant)
{
    struct device_connections *all = must(calloc(1, sizeof(*all)));

    assert(max_entries > 0 && max_per_tenant > 0);
    all->max_entries = max_entries;
    all->max_per_tenant = max_per_tenant;
    all->key = uuid_random();
    all->buckets = 1;
    while (all->buckets < max_entries) {
        all->buckets *= 2;
    }
    all->bucket = must(calloc(all->buckets, sizeof(struct entry *)));
    lock_init(&all->lock);
    return all;
}

/* ---- finding ---- */

static size_t hash_of(const struct device_connections *all, struct span tenant, struct span device)
{
    char text[2 * DEVICE_CONNECTION_ID_MAX + 1];
    struct sha256 digest;
    size_t hash;

    memcpy(text, tenant.ptr, tenant.len);
    text[tenant.len] = '\0';
    if (device.len > 0) {
        memcpy(text + tenant.len + 1, device.ptr, device.len);
    }
    digest = hmac_sha256(span_of((const char *)all->key.bytes, sizeof(all->key.bytes)),
                         span_of(text, tenant.len + 1 + device.len));
    memcpy(&hash, digest.bytes, sizeof(hash));
    return hash;
}

static struct tenant **tenant_place_locked(struct device_connections *all, struct span name)
    LOCK_REQUIRES(all->lock);
static struct tenant **tenant_place_locked(struct device_connections *all, struct span name)
{
    struct tenant **at = &all->tenant[hash_of(all, name, span_of(NULL, 0)) % TENANT_BUCKETS];

    while (*at != NULL && !span_eq(span_of((*at)->name, (*at)->len), name)) {
        at = &(*at)->next;
    }
    return at;
}

static bool is(const struct entry *entry, struct span tenant, struct span device)
{
    return span_eq(span_of(entry->device, entry->device_len), device) &&
           span_eq(span_of(entry->tenant->name, entry->tenant->len), tenant);
}

static struct entry **place_locked(struct device_connections *all, struct span tenant,
                                   struct span device) LOCK_REQUIRES(all->lock);
static struct entry **place_locked(struct device_connections *all, struct span tenant,
                                   struct span device)
{
    struct entry **at = &all->bucket[hash_of(all, tenant, device) & (all->buckets - 1)];

    while (*at != NULL && !is(*at, tenant, device)) {
        at = &(*at)->next;
    }
    return at;
}

/* ---- the list by age ---- */

static void unlist_locked(struct device_connections *all, struct entry *entry)
    LOCK_REQUIRES(all->lock);
static void unlist_locked(struct device_connections *all, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &all->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &all->oldest) = entry->newer;
}

static void list_locked(struct device_connections *all, struct entry *entry, int64_t now_ms)
    LOCK_REQUIRES(all->lock);
static void list_locked(struct device_connections *all, struct entry *entry, int64_t now_ms)
{
    entry->told_ms = now_ms;
    entry->newer = NULL;
    entry->older = all->newest;
    *(all->newest != NULL ? &all->newest->newer : &all->oldest) = entry;
    all->newest = entry;
}

/* ---- coming and going ---- */

static void forget_locked(struct device_connections *all, struct entry *entry)
    LOCK_REQUIRES(all->lock);
static void forget_locked(struct device_connections *all, struct entry *entry)
{
    struct tenant *tenant = entry->tenant;
    struct span name = span_of(tenant->name, tenant->len);
    struct entry **at = place_locked(all, name, span_of(entry->device, entry->device_len));

    *at = entry->next;
    unlist_locked(all, entry);
    all->count--;
    if (--tenant->entries == 0) {
        *tenant_place_locked(all, name) = tenant->next;
        free(tenant);
    }
    buf_done(&entry->gateway);
    buf_done(&entry->adapter);
    free(entry->device);
    free(entry);
}

static void forget_old_locked(struct device_connections *all, int64_t now_ms)
    LOCK_REQUIRES(all->lock);
static void forget_old_locked(struct device_connections *all, int64_t now_ms)
{
    while (all->oldest != NULL && now_ms - all->oldest->told_ms > DEVICE_CONNECTION_AGE_MS) {
        forget_locked(all, all->oldest);
    }
}

/* NULL: not there, or too old. */
static struct entry *find_locked(struct device_connections *all, struct span tenant,
                                 struct span device, int64_t now_ms) LOCK_REQUIRES(all->lock);
static struct entry *find_locked(struct device_connections *all, struct span tenant,
                                 struct span device, int64_t now_ms)
{
    forget_old_locked(all, now_ms);
    return *place_locked(all, tenant, device);
}

/* The entry of the device, made if need be, now the newest. NULL: its tenant has its fill. */
static struct entry *touch_locked(struct device_connections *all, struct span tenant,
                                  struct span device, int64_t now_ms) LOCK_REQUIRES(all->lock);
static struct entry *touch_locked(struct device_connections *all, struct span tenant,
                                  struct span device, int64_t now_ms)
{
    struct entry *entry = find_locked(all, tenant, device, now_ms);
    struct tenant **owner = tenant_place_locked(all, tenant);

    if (entry != NULL) {
        unlist_locked(all, entry);
        list_locked(all, entry, now_ms);
        return entry;
    }
    if (*owner != NULL && (*owner)->entries >= all->max_per_tenant) {
        return NULL;
    }
    if (all->count >= all->max_entries) {
        forget_locked(all, all->oldest);
        owner = tenant_place_locked(all, tenant);
    }
    if (*owner == NULL) {
        *owner = must(calloc(1, sizeof(struct tenant) + tenant.len));
        (*owner)->len = tenant.len;
        memcpy((*owner)->name, tenant.ptr, tenant.len);
    }
    entry = must(calloc(1, sizeof(*entry)));
    entry->tenant = *owner;
    entry->tenant->entries++;
    entry->device = must(malloc(device.len));
    entry->device_len = device.len;
    memcpy(entry->device, device.ptr, device.len);
    buf_init(&entry->gateway, DEVICE_CONNECTION_ID_MAX);
    buf_init(&entry->adapter, DEVICE_CONNECTION_ID_MAX);
    entry->next = all->bucket[hash_of(all, tenant, device) & (all->buckets - 1)];
    all->bucket[hash_of(all, tenant, device) & (all->buckets - 1)] = entry;
    list_locked(all, entry, now_ms);
    all->count++;
    return entry;
}

void device_connections_close(struct device_connections *all)
{
    if (all == NULL) {
        return;
    }
    lock_take(&all->lock);
    while (all->oldest != NULL) {
        forget_locked(all, all->oldest);
    }
    lock_give(&all->lock);
    lock_done(&all->lock);
    free(all->bucket);
    free(all);
}

/* ---- the operations ---- */

static enum ks_status check_id(struct span id, const char *what, struct ks_failure *why)
{
    if (id.len > 0 && id.len <= DEVICE_CONNECTION_ID_MAX) {
        return KS_OK;
    }
    return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST, "the %s id must have 1 to %d bytes", what,
                   DEVICE_CONNECTION_ID_MAX);
}

static enum ks_status check_ids(struct span tenant, struct span device, struct ks_failure *why)
{
    enum ks_status st = check_id(tenant, "tenant", why);

    return st == KS_OK ? check_id(device, "device", why) : st;
}

static enum ks_status nothing_known(struct ks_failure *why)
{
    return ks_fail(why, KS_NOT_FOUND, NULL, "nothing is known of this device's connection");
}

static void replace(struct buf *text, struct span by)
{
    buf_clear(text);
    buf_add_span(text, by);
}

static enum ks_status full(struct ks_failure *why)
{
    return ks_fail(why, KS_FORBIDDEN, REASON_DEVICE_LIMIT,
                   "too many devices of this tenant have connections");
}

enum ks_status device_connection_set_gateway(struct device_connections *all, struct span tenant,
                                             struct span device, struct span gateway,
                                             int64_t now_ms, struct ks_failure *why)
{
    enum ks_status st = check_ids(tenant, device, why);
    struct entry *entry;

    if (st == KS_OK) {
        st = check_id(gateway, "gateway", why);
    }
    if (st != KS_OK) {
        return st;
    }
    lock_take(&all->lock);
    entry = touch_locked(all, tenant, device, now_ms);
    if (entry != NULL) {
        replace(&entry->gateway, gateway);
        entry->gateway_ms = now_ms;
    }
    lock_give(&all->lock);
    return entry != NULL ? KS_OK : full(why);
}

enum ks_status device_connection_get_gateway(struct device_connections *all, struct span tenant,
                                             struct span device, int64_t now_ms, struct buf *out,
                                             struct ks_failure *why)
{
    enum ks_status st = check_ids(tenant, device, why);
    struct clock_text when;
    struct entry *entry;
    bool known;

    if (st != KS_OK) {
        return st;
    }
    lock_take(&all->lock);
    entry = find_locked(all, tenant, device, now_ms);
    known = entry != NULL && entry->gateway.len > 0;
    if (known) {
        clock_format(entry->gateway_ms, &when);
        buf_add_cstr(out, "{\"gateway-id\":");
        buf_add_json(out, buf_span(&entry->gateway));
        buf_add_cstr(out, ",\"last-updated\":");
        buf_add_json(out, span_cstr(when.text));
        buf_add_char(out, '}');
    }
    lock_give(&all->lock);
    return known ? KS_OK : nothing_known(why);
}

enum ks_status device_connection_set_adapter(struct device_connections *all, struct span tenant,
                                             struct span device, struct span adapter,
                                             int64_t lifespan_s, int64_t now_ms,
                                             struct ks_failure *why)
{
    enum ks_status st = check_ids(tenant, device, why);
    struct entry *entry;

    if (st == KS_OK) {
        st = check_id(adapter, "adapter instance", why);
    }
    if (st != KS_OK) {
        return st;
    }
    lock_take(&all->lock);
    entry = touch_locked(all, tenant, device, now_ms);
    if (entry != NULL) {
        replace(&entry->adapter, adapter);
        entry->adapter_until_ms = lifespan_s < 0 || lifespan_s > DEVICE_CONNECTION_AGE_MS / 1000
                                      ? CLOCK_MAX
                                      : now_ms + lifespan_s * 1000;
    }
    lock_give(&all->lock);
    return entry != NULL ? KS_OK : full(why);
}

static bool has_adapter(const struct entry *entry, int64_t now_ms)
{
    return entry != NULL && entry->adapter.len > 0 && now_ms < entry->adapter_until_ms;
}

enum ks_status device_connection_remove_adapter(struct device_connections *all, struct span tenant,
                                                struct span device, struct span adapter,
                                                int64_t now_ms, struct ks_failure *why)
{
    enum ks_status st = check_ids(tenant, device, why);
    struct entry *entry;
    bool held;

    if (st == KS_OK) {
        st = check_id(adapter, "adapter instance", why);
    }
    if (st != KS_OK) {
        return st;
    }
    lock_take(&all->lock);
    entry = find_locked(all, tenant, device, now_ms);
    held = has_adapter(entry, now_ms) && span_eq(buf_span(&entry->adapter), adapter);
    if (held && entry->gateway.len == 0) {
        forget_locked(all, entry);
    } else if (held) {
        buf_clear(&entry->adapter);
    }
    lock_give(&all->lock);
    return held ? KS_OK : nothing_known(why);
}

static void add_adapter(const struct entry *entry, bool first, struct buf *out)
{
    buf_add_cstr(out, first ? "{\"adapter-instances\":[" : ",");
    buf_add_cstr(out, "{\"adapter-instance-id\":");
    buf_add_json(out, buf_span(&entry->adapter));
    buf_add_cstr(out, ",\"device-id\":");
    buf_add_json(out, span_of(entry->device, entry->device_len));
    buf_add_char(out, '}');
}

/* The entry whose adapter is the answer, alone; NULL: all of the gateways'. */
static struct entry *find_one_locked(struct device_connections *all, struct span tenant,
                                     struct entry *device, const struct span *gateways,
                                     size_t count, int64_t now_ms) LOCK_REQUIRES(all->lock);
static struct entry *find_one_locked(struct device_connections *all, struct span tenant,
                                     struct entry *device, const struct span *gateways,
                                     size_t count, int64_t now_ms)
{
    if (has_adapter(device, now_ms)) {
        return device;
    }
    for (size_t i = 0; device != NULL && i < count; i++) {
        if (span_eq(buf_span(&device->gateway), gateways[i])) {
            struct entry *gateway = *place_locked(all, tenant, gateways[i]);

            return has_adapter(gateway, now_ms) ? gateway : NULL;
        }
    }
    return NULL;
}

enum ks_status device_connection_get_adapters(struct device_connections *all, struct span tenant,
                                              struct span device, const struct span *gateways,
                                              size_t count, int64_t now_ms, struct buf *out,
                                              struct ks_failure *why)
{
    enum ks_status st = check_ids(tenant, device, why);
    const struct entry *one;
    size_t found = 0;

    for (size_t i = 0; st == KS_OK && i < count; i++) {
        st = check_id(gateways[i], "gateway", why);
    }
    if (st != KS_OK) {
        return st;
    }
    lock_take(&all->lock);
    one = find_one_locked(all, tenant, find_locked(all, tenant, device, now_ms), gateways, count,
                          now_ms);
    if (one != NULL) {
        add_adapter(one, found++ == 0, out);
    }
    for (size_t i = 0; one == NULL && i < count; i++) {
        const struct entry *gateway = *place_locked(all, tenant, gateways[i]);

        if (has_adapter(gateway, now_ms)) {
            add_adapter(gateway, found++ == 0, out);
        }
    }
    lock_give(&all->lock);
    if (found == 0) {
        return nothing_known(why);
    }
    buf_add_cstr(out, "]}");
    return KS_OK;
}
