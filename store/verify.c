/*
 * Cross-checks everything in a snapshot both ways: what a record names must be in the indexes, what
 * an index names must be in a record, counters must be what there is to count.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/bytes.h"
#include "store/record.h"
#include "store/space_counts.h"
#include "store/verify.h"

void verify_report(struct verify *v, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    v->count++;
    v->found(text, v->arg);
}

bool verify_usable(struct verify *v, enum ks_status st, const struct ks_failure *why)
{
    if (st == KS_CORRUPT) {
        verify_report(v, "%s", why->text);
        v->txn->error = KS_OK;
    }
    return st == KS_OK;
}

enum ks_status verify_each(struct verify *v, enum kv_table table, const struct key *prefix,
                           verify_visit *visit, struct ks_failure *why)
{
    struct key from = *prefix;
    struct span key;
    struct span value;
    enum ks_status st;

    for (;;) {
        st = txn_seek(v->txn, table, key_span(&from), &key, &value, why);
        if (st == KS_NOT_FOUND ||
            (st == KS_OK && (key.len < prefix->len ||
                             !span_eq(span_of(key.ptr, prefix->len), key_span(prefix))))) {
            return KS_OK;
        }
        if (st != KS_OK) {
            return st;
        }
        key_step(&from, key);
        visit(v, key, value);
    }
}

static bool key_is(struct verify *v, enum kv_table table, const struct key *key, struct span *value)
{
    struct ks_failure why = {0};

    return verify_usable(v, txn_get(v->txn, table, key, value, &why), &why);
}

/* A key space that may hold records: a tenant's, or one that waits to be purged. */
static bool space_is_known(struct verify *v, uint32_t space, bool *live)
{
    struct key key;
    struct span value;

    key_of_space(&key, space);
    *live = key_is(v, KV_TENANT, &key, &value);
    return *live || key_is(v, KV_PURGE, &key, &value);
}

/* Whether the key's space is live; reports one that is neither live nor to be purged. */
static bool in_live_space(struct verify *v, struct span key, const char *what)
{
    bool live = false;

    if (key.len <= 4) {
        verify_report(v, "a %s has a key of %zu bytes", what, key.len);
        return false;
    }
    if (!space_is_known(v, key_read_space(key), &live)) {
        verify_report(v, "a %s lies in key space %u, which is nobody's", what, key_read_space(key));
    }
    return live;
}

/* ---- tenants ---- */

static void expect_index(struct verify *v, enum kv_table table, const struct key *key,
                         uint32_t space, const char *what, struct span id)
{
    struct span value;

    if (!key_is(v, table, key, &value) || value.len < 4 || key_read_space(value) != space) {
        verify_report(v, "tenant %.*s is missing in the index by %s", SPAN_ARG(id), what);
    }
}

static void visit_tenant(struct verify *v, struct span key, struct span value)
{
    struct store_tenant tenant;
    struct store_ca ca;
    struct key index;
    struct span found;
    size_t at = 0;
    uint32_t space;

    if (key.len != 4) {
        verify_report(v, "a tenant has a key of %zu bytes", key.len);
        return;
    }
    space = key_read_space(key);
    if (!record_decode_tenant(value, space, &tenant)) {
        verify_report(v, "the tenant of key space %u cannot be read", space);
        return;
    }
    if (space >= v->next_space) {
        verify_report(v, "tenant %.*s has key space %u, which was never drawn", SPAN_ARG(tenant.id),
                      space);
    }
    key_begin(&index);
    key_add_text(&index, tenant.id);
    expect_index(v, KV_TENANT_ID, &index, space, "id", tenant.id);
    if (tenant.alias.len > 0) {
        key_begin(&index);
        key_add_name(&index, tenant.alias);
        expect_index(v, KV_TENANT_ALIAS, &index, space, "alias", tenant.id);
    }
    while (store_cas_next(tenant.cas, &at, &ca)) {
        key_of_tenant_ca(&index, ca.subject_dn, space);
        if (!key_is(v, KV_TENANT_CA, &index, &found) || !span_eq(found, ca.subject_dn)) {
            verify_report(v, "tenant %.*s is missing in the index by CA", SPAN_ARG(tenant.id));
        }
    }
    key_of_space(&index, space);
    if (key_is(v, KV_PURGE, &index, &found)) {
        verify_report(v, "tenant %.*s lives in a key space that is to be purged",
                      SPAN_ARG(tenant.id));
    }
    verify_sums(v, space, tenant.id);
}

/* The tenant that an index entry names. */
static bool indexed_tenant(struct verify *v, uint32_t space, const char *index,
                           struct store_tenant *out)
{
    struct ks_failure why = {0};
    enum ks_status st = store_tenant_get(v->txn, space, out, &why);

    if (st == KS_NOT_FOUND) {
        verify_report(v, "the index by %s names key space %u, which no tenant has", index, space);
    }
    return verify_usable(v, st, &why);
}

static void visit_tenant_id(struct verify *v, struct span key, struct span value)
{
    struct store_tenant tenant;

    if (value.len != 4) {
        verify_report(v, "an entry of the index by id has %zu bytes", value.len);
    } else if (indexed_tenant(v, key_read_space(value), "id", &tenant) &&
               !span_eq(tenant.id, key)) {
        verify_report(v, "the index by id names another tenant than %.*s", SPAN_ARG(key));
    }
}

static void visit_tenant_alias(struct verify *v, struct span key, struct span value)
{
    struct store_tenant tenant;
    struct key expected;

    if (value.len < 4) {
        verify_report(v, "an entry of the index by alias has %zu bytes", value.len);
        return;
    }
    key_begin(&expected);
    key_add_name(&expected, span_of(value.ptr + 4, value.len - 4));
    if (!span_eq(key, key_span(&expected))) {
        verify_report(v, "an entry of the index by alias is not where it belongs");
    } else if (indexed_tenant(v, key_read_space(value), "alias", &tenant) &&
               !span_eq(tenant.alias, span_of(value.ptr + 4, value.len - 4))) {
        verify_report(v, "the index by alias names tenant %.*s, which has another",
                      SPAN_ARG(tenant.id));
    }
}

static void visit_tenant_ca(struct verify *v, struct span key, struct span value)
{
    struct store_tenant tenant;
    struct store_ca ca;
    struct key expected;
    uint32_t space;
    size_t at = 0;

    if (key.len < 6) {
        verify_report(v, "an entry of the index by CA has a key of %zu bytes", key.len);
        return;
    }
    space = key_read_space(span_of(key.ptr + key.len - 4, 4));
    key_of_tenant_ca(&expected, value, space);
    if (!span_eq(key, key_span(&expected))) {
        verify_report(v, "an entry of the index by CA is not where it belongs");
        return;
    }
    if (!indexed_tenant(v, space, "CA", &tenant)) {
        return;
    }
    while (store_cas_next(tenant.cas, &at, &ca)) {
        if (span_eq(ca.subject_dn, value)) {
            return;
        }
    }
    verify_report(v, "the index by CA names tenant %.*s, which has no such CA",
                  SPAN_ARG(tenant.id));
}

static void visit_stat(struct verify *v, struct span key, struct span value)
{
    bool live;

    if (key.len != 4 || value.len != SPACE_COUNTS_SIZE) {
        verify_report(v, "a counter record has %zu bytes", value.len);
    } else if (!space_is_known(v, key_read_space(key), &live)) {
        verify_report(v, "counters of key space %u, which is nobody's", key_read_space(key));
    }
}

/* ---- devices and credentials ---- */

static void check_refs(struct verify *v, uint32_t space, const struct store_device *device)
{
    struct store_credential_ref ref;
    struct store_credential credential;
    struct ks_failure why = {0};
    size_t at = 0;

    while (store_credential_refs_next(device->credentials, &at, &ref)) {
        enum ks_status st =
            store_credential_get(v->txn, space, ref.type, ref.auth_id, &credential, &why);

        if (st == KS_NOT_FOUND || (st == KS_OK && !span_eq(credential.device_id, device->id))) {
            verify_report(v, "device %.*s lists credentials of type %.*s that are not its own",
                          SPAN_ARG(device->id), SPAN_ARG(ref.type));
        } else {
            (void)verify_usable(v, st, &why);
        }
    }
}

static void visit_device(struct verify *v, struct span key, struct span value)
{
    struct store_device device;
    struct span entry;
    struct span found;
    struct key index;
    size_t at = 0;
    uint32_t space;

    if (!in_live_space(v, key, "device")) {
        return;
    }
    space = key_read_space(key);
    if (!record_decode_device(value, span_of(key.ptr + 4, key.len - 4), &device)) {
        verify_report(v, "device %.*s in key space %u cannot be read", (int)key.len - 4,
                      key.ptr + 4, space);
        return;
    }
    check_refs(v, space, &device);
    while (store_strings_next(device.via, &at, &entry)) {
        key_of_device(&index, space, entry);
        if (entry.len > 0 && !key_is(v, KV_GATEWAY, &index, &found)) {
            verify_report(v, "gateway %.*s of device %.*s is not counted", SPAN_ARG(entry),
                          SPAN_ARG(device.id));
        }
    }
    at = 0;
    while (store_strings_next(device.member_of, &at, &entry)) {
        key_of_group(&index, space, entry, device.id);
        if (!key_is(v, KV_GROUP, &index, &found)) {
            verify_report(v, "device %.*s is missing in the group index", SPAN_ARG(device.id));
        }
    }
    if (device.event_seq > v->outbox_seq) {
        verify_report(v, "device %.*s has an event number that was never drawn",
                      SPAN_ARG(device.id));
    }
}

static void visit_auth(struct verify *v, struct span key, struct span value)
{
    struct store_credential credential;
    struct store_credential_ref ref;
    struct store_device device;
    struct ks_failure why = {0};
    struct key expected;
    struct span type;
    size_t at = 0;
    enum ks_status st;

    if (!in_live_space(v, key, "credentials record")) {
        return;
    }
    type = span_of(key.ptr + 4, strnlen(key.ptr + 4, key.len - 4));
    if (type.len > STORE_TYPE_MAX || !record_decode_credential(value, type, &credential)) {
        verify_report(v, "credentials of type %.*s in key space %u cannot be read", SPAN_ARG(type),
                      key_read_space(key));
        return;
    }
    key_of_auth(&expected, key_read_space(key), type, credential.auth_id);
    if (!span_eq(key, key_span(&expected))) {
        verify_report(v, "credentials of type %.*s in key space %u are not where they belong",
                      SPAN_ARG(type), key_read_space(key));
        return;
    }
    st = store_device_get(v->txn, key_read_space(key), credential.device_id, &device, &why);
    while (st == KS_OK && store_credential_refs_next(device.credentials, &at, &ref)) {
        if (span_eq(ref.type, type) && span_eq(ref.auth_id, credential.auth_id)) {
            return;
        }
    }
    if (st == KS_OK || st == KS_NOT_FOUND) {
        verify_report(v, "credentials of type %.*s belong to device %.*s, which does not list them",
                      SPAN_ARG(type), SPAN_ARG(credential.device_id));
    } else {
        (void)verify_usable(v, st, &why);
    }
}

/* That the count is right is checked with the tenant. */
static void visit_gateway(struct verify *v, struct span key, struct span value)
{
    uint64_t count = 0;
    size_t at = 0;

    if (in_live_space(v, key, "gateway count") &&
        (value.len != 4 || !bytes_get(value, &at, 4, &count) || count == 0)) {
        verify_report(v, "the count of gateway %.*s cannot be read", (int)key.len - 4, key.ptr + 4);
    }
}

static void visit_group(struct verify *v, struct span key, struct span value)
{
    struct store_device device;
    struct ks_failure why = {0};
    struct span group;
    struct span id;
    struct span entry;
    size_t at = 0;

    (void)value;
    if (!in_live_space(v, key, "group entry")) {
        return;
    }
    group = span_of(key.ptr + 4, strnlen(key.ptr + 4, key.len - 4));
    id = 4 + group.len < key.len ? span_of(group.ptr + group.len + 1, key.len - 5 - group.len)
                                 : span_of(NULL, 0);
    if (verify_usable(v, store_device_get(v->txn, key_read_space(key), id, &device, &why), &why)) {
        while (store_strings_next(device.member_of, &at, &entry)) {
            if (span_eq(entry, group)) {
                return;
            }
        }
    }
    verify_report(v, "group %.*s lists a device that is not a member", SPAN_ARG(group));
}

/* An entry of a queue, or a parked one: its number, its record. */
static bool check_entry(struct verify *v, struct span number, struct span value, bool of_events)
{
    struct store_outbox_entry entry;

    if (number.len != 8 || key_read_seq(number) > v->outbox_seq) {
        verify_report(v, "an outbox entry has a number that was never drawn");
        return false;
    }
    if (!record_decode_outbox(value, &entry)) {
        verify_report(v, "outbox entry %" PRIu64 " cannot be read", key_read_seq(number));
        return false;
    }
    if ((entry.kind == STORE_OUTBOX_EVENT) != of_events || entry.space >= v->next_space) {
        verify_report(v, "outbox entry %" PRIu64 " is not where it belongs", key_read_seq(number));
        return false;
    }
    return true;
}

static void visit_event(struct verify *v, struct span key, struct span value)
{
    (void)check_entry(v, key, value, true);
}

static void visit_notification(struct verify *v, struct span key, struct span value)
{
    (void)check_entry(v, key, value, false);
}

/* A parked event is its device's, and in no queue. */
static void visit_parked(struct verify *v, struct span key, struct span value)
{
    struct span number = key.len > 4 ? span_of(key.ptr + 4, key.len - 4) : span_of(NULL, 0);
    struct store_outbox_entry entry;
    struct store_device device;
    struct ks_failure why = {0};
    struct key queued;
    struct span found;
    enum ks_status st;

    if (!in_live_space(v, key, "parked event") || !check_entry(v, number, value, true)) {
        return;
    }
    key_begin(&queued);
    key_add_text(&queued, number);
    if (key_is(v, KV_OUTBOX, &queued, &found)) {
        verify_report(v, "event %" PRIu64 " is parked and queued", key_read_seq(number));
    }
    if (!record_decode_outbox(value, &entry) || entry.space != key_read_space(key)) {
        verify_report(v, "a parked event is not where it belongs");
        return;
    }
    st = store_device_get(v->txn, entry.space, entry.device_id, &device, &why);
    if (st == KS_NOT_FOUND || (st == KS_OK && device.event_seq != key_read_seq(number))) {
        verify_report(v, "parked event %" PRIu64 " is not that of device %.*s",
                      key_read_seq(number), SPAN_ARG(entry.device_id));
    } else {
        (void)verify_usable(v, st, &why);
    }
}

static void visit_purge(struct verify *v, struct span key, struct span value)
{
    (void)value;
    if (key.len != 4 || key_read_space(key) >= v->next_space) {
        verify_report(v, "the purge list names a key space that was never drawn");
    }
}

/* If it cannot be read, no number is too high. */
static uint64_t meta_number(struct verify *v, const char *name)
{
    struct ks_failure why = {0};
    uint64_t value = UINT64_MAX;

    (void)verify_usable(v, txn_meta_get(v->txn, name, &value, &why), &why);
    return value;
}

enum ks_status store_verify(struct store_txn *txn, void (*found)(const char *text, void *arg),
                            void *arg, struct ks_failure *why)
{
    static const struct {
        enum kv_table table;
        verify_visit *visit;
    } passes[] = {
        {KV_TENANT, visit_tenant},
        {KV_TENANT_ID, visit_tenant_id},
        {KV_TENANT_ALIAS, visit_tenant_alias},
        {KV_TENANT_CA, visit_tenant_ca},
        {KV_TENANT_STAT, visit_stat},
        {KV_DEVICE, visit_device},
        {KV_AUTH, visit_auth},
        {KV_GATEWAY, visit_gateway},
        {KV_GROUP, visit_group},
        {KV_OUTBOX, visit_event},
        {KV_NOTIFICATION, visit_notification},
        {KV_PARKED, visit_parked},
        {KV_PURGE, visit_purge},
    };
    struct verify v = {.txn = txn, .found = found, .arg = arg};
    struct key all;
    enum ks_status st = KS_OK;

    v.next_space = meta_number(&v, meta_next_space);
    v.outbox_seq = meta_number(&v, meta_outbox_seq);
    key_begin(&all);
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]) && st == KS_OK; i++) {
        st = verify_each(&v, passes[i].table, &all, passes[i].visit, why);
    }
    if (st == KS_OK && v.count > 0) {
        return ks_fail(why, KS_CORRUPT, NULL, "%" PRIu64 " inconsistencies", v.count);
    }
    return st;
}
