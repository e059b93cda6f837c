#include "service/device_connection.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lock.h"
#include "service/connection_table.h"
#include "service/group_members.h"
#include "service/reasons.h"
#include "store/store.h"

_Static_assert(DEVICE_CONNECTION_GATEWAYS >= STORE_LIST_MAX + GROUP_MEMBERS_MAX,
               "a look-up takes all gateways that an assertion tells");
_Static_assert((int)DEVICE_CONNECTION_ID_MAX <= (int)CONNECTION_ID_MAX, "the table takes every id");

struct device_connections {
    struct lock lock; /* guards the table's content; keys are made outside */
    struct connection_table *table;
    uint64_t turn; /* of look-ups of adapters, under the lock too */
};

struct device_connections *device_connections_open(size_t max_entries, size_t max_per_tenant)
{
    struct device_connections *all = calloc(1, sizeof(*all));

    if (all == NULL) {
        abort();
    }
    all->table = connection_table_open(max_entries, max_per_tenant, DEVICE_CONNECTION_AGE_MS);
    lock_init(&all->lock);
    return all;
}

void device_connections_close(struct device_connections *all)
{
    if (all == NULL) {
        return;
    }
    lock_done(&all->lock);
    connection_table_close(all->table);
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
    struct connection_key key;
    struct connection *entry;

    if (st == KS_OK) {
        st = check_id(gateway, "gateway", why);
    }
    if (st != KS_OK) {
        return st;
    }
    key = connection_table_key(all->table, tenant, device);
    lock_take(&all->lock);
    entry = connection_table_tell(all->table, &key, now_ms);
    if (entry != NULL) {
        connection_text_set(&entry->gateway, gateway);
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
    struct connection_key key;
    struct connection *entry;
    bool known;

    if (st != KS_OK) {
        return st;
    }
    key = connection_table_key(all->table, tenant, device);
    lock_take(&all->lock);
    entry = connection_table_find(all->table, &key, now_ms);
    known = entry != NULL && entry->gateway.len > 0;
    if (known) {
        clock_format(entry->gateway_ms, &when);
        buf_add_cstr(out, "{\"gateway-id\":");
        buf_add_json(out, connection_text_span(&entry->gateway));
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
    struct connection_key key;
    struct connection *entry;

    if (st == KS_OK) {
        st = check_id(adapter, "adapter instance", why);
    }
    if (st != KS_OK) {
        return st;
    }
    key = connection_table_key(all->table, tenant, device);
    lock_take(&all->lock);
    entry = connection_table_tell(all->table, &key, now_ms);
    if (entry != NULL) {
        connection_text_set(&entry->adapter, adapter);
        entry->adapter_until_ms = lifespan_s < 0 || lifespan_s > (CLOCK_MAX - now_ms) / 1000
                                      ? CLOCK_MAX
                                      : now_ms + lifespan_s * 1000;
    }
    lock_give(&all->lock);
    return entry != NULL ? KS_OK : full(why);
}

static bool has_adapter(const struct connection *entry, int64_t now_ms)
{
    return entry != NULL && entry->adapter.len > 0 && now_ms < entry->adapter_until_ms;
}

enum ks_status device_connection_remove_adapter(struct device_connections *all, struct span tenant,
                                                struct span device, struct span adapter,
                                                int64_t now_ms, struct ks_failure *why)
{
    enum ks_status st = check_ids(tenant, device, why);
    struct connection_key key;
    struct connection *entry;
    bool held;

    if (st == KS_OK) {
        st = check_id(adapter, "adapter instance", why);
    }
    if (st != KS_OK) {
        return st;
    }
    key = connection_table_key(all->table, tenant, device);
    lock_take(&all->lock);
    entry = connection_table_find(all->table, &key, now_ms);
    held = has_adapter(entry, now_ms) && span_eq(connection_text_span(&entry->adapter), adapter);
    if (held && entry->gateway.len == 0) {
        connection_table_forget(all->table, entry);
    } else if (held) {
        connection_text_set(&entry->adapter, span_of(NULL, 0));
    }
    lock_give(&all->lock);
    return held ? KS_OK : nothing_known(why);
}

static void add_adapter(const struct connection *entry, bool first, struct buf *out)
{
    buf_add_cstr(out, first ? "{\"adapter-instances\":[" : ",");
    buf_add_cstr(out, "{\"adapter-instance-id\":");
    buf_add_json(out, connection_text_span(&entry->adapter));
    buf_add_cstr(out, ",\"device-id\":");
    buf_add_json(out, span_of(entry->device, entry->device_len));
    buf_add_char(out, '}');
}

/* A look-up of adapters. */
struct look_up {
    struct connection_key key; /* of the device; then of each gateway */
    const struct span *gateways;
    const uint64_t *hashes; /* of the gateways */
    size_t count;
    int64_t now_ms;
};

static struct connection *find_gateway_locked(const struct device_connections *all,
                                              struct look_up *ask, size_t at)
    LOCK_REQUIRES(all->lock);
static struct connection *find_gateway_locked(const struct device_connections *all,
                                              struct look_up *ask, size_t at)
{
    ask->key.device = ask->gateways[at];
    ask->key.hash = ask->hashes[at];
    return connection_table_find(all->table, &ask->key, ask->now_ms);
}

/* The one whose adapter is the answer, alone; NULL: all of the gateways'. */
static const struct connection *find_one_locked(const struct device_connections *all,
                                                struct look_up *ask) LOCK_REQUIRES(all->lock);
static const struct connection *find_one_locked(const struct device_connections *all,
                                                struct look_up *ask)
{
    const struct connection *device = connection_table_find(all->table, &ask->key, ask->now_ms);

    if (has_adapter(device, ask->now_ms)) {
        return device;
    }
    for (size_t i = 0; device != NULL && i < ask->count; i++) {
        if (span_eq(connection_text_span(&device->gateway), ask->gateways[i])) {
            const struct connection *gateway = find_gateway_locked(all, ask, i);

            return has_adapter(gateway, ask->now_ms) ? gateway : NULL;
        }
    }
    return NULL;
}

static size_t add_all_locked(struct device_connections *all, struct look_up *ask, struct buf *out)
    LOCK_REQUIRES(all->lock);
static size_t add_all_locked(struct device_connections *all, struct look_up *ask, struct buf *out)
{
    size_t found = 0;

    all->turn++;
    for (size_t i = 0; i < ask->count && out->len < DEVICE_CONNECTION_ANSWER_MAX; i++) {
        struct connection *gateway = find_gateway_locked(all, ask, i);

        if (has_adapter(gateway, ask->now_ms) && gateway->turn != all->turn) {
            gateway->turn = all->turn; /* a gateway that is asked for twice is told once */
            add_adapter(gateway, found++ == 0, out);
        }
    }
    return found;
}

enum ks_status device_connection_get_adapters(struct device_connections *all, struct span tenant,
                                              struct span device, const struct span *gateways,
                                              size_t count, int64_t now_ms, struct buf *out,
                                              struct ks_failure *why)
{
    uint64_t hashes[DEVICE_CONNECTION_GATEWAYS];
    struct look_up ask = {.gateways = gateways, .hashes = hashes, .count = count, .now_ms = now_ms};
    const struct connection *one;
    size_t found = 1;
    enum ks_status st = check_ids(tenant, device, why);

    assert(count <= DEVICE_CONNECTION_GATEWAYS);
    for (size_t i = 0; st == KS_OK && i < count; i++) {
        st = check_id(gateways[i], "gateway", why);
    }
    if (st != KS_OK) {
        return st;
    }
    ask.key = connection_table_key(all->table, tenant, device);
    for (size_t i = 0; i < count; i++) {
        hashes[i] = connection_table_hash(all->table, tenant, gateways[i]);
    }
    lock_take(&all->lock);
    one = find_one_locked(all, &ask);
    if (one != NULL) {
        add_adapter(one, true, out);
    } else {
        found = add_all_locked(all, &ask, out);
    }
    lock_give(&all->lock);
    if (found == 0) {
        return nothing_known(why);
    }
    buf_add_cstr(out, "]}");
    return KS_OK;
}
