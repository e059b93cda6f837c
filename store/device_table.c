/* Devices: the record, the references to gateways and groups, the count. */
#include <assert.h>
#include <string.h>

#include "store/bytes.h"
#include "store/outbox.h"
#include "store/record.h"
#include "store/space_counts.h"
#include "store/txn.h"

/* ---- who is a gateway: how many devices name it in `via` ---- */

static enum ks_status gateway_count(struct store_txn *txn, const struct key *key, uint64_t *count,
                                    struct ks_failure *why)
{
    struct span value;
    size_t at = 0;
    enum ks_status st = txn_get(txn, KV_GATEWAY, key, &value, why);

    if (st == KS_NOT_FOUND) {
        *count = 0;
        return KS_OK;
    }
    if (st == KS_OK && (value.len != 4 || !bytes_get(value, &at, 4, count))) {
        return txn_corrupt(txn, why, "a gateway count has %zu bytes", value.len);
    }
    return st;
}

static enum ks_status gateway_add(struct store_txn *txn, uint32_t space, struct span id, int by,
                                  struct ks_failure *why)
{
    struct key key;
    uint64_t count = 0;
    enum ks_status st;

    if (id.len == 0) {
        return KS_OK; /* an empty entry is kept in the document, but names nobody */
    }
    key_of_device(&key, space, id);
    st = gateway_count(txn, &key, &count, why);
    if (st != KS_OK) {
        return st;
    }
    count = by > 0 ? count + 1 : count - (count > 0);
    if (count == 0) {
        return txn_del(txn, KV_GATEWAY, &key, why);
    }
    buf_clear(&txn->scratch);
    bytes_put(&txn->scratch, count, 4);
    return txn_put(txn, KV_GATEWAY, &key, buf_span(&txn->scratch), why);
}

/* Adds (by 1) or removes (by -1) what the lists of a kept device say. */
static enum ks_status refer(struct store_txn *txn, uint32_t space,
                            const struct store_device *device, int by, struct ks_failure *why)
{
    enum ks_status st = KS_OK;
    struct span entry;
    struct key key;
    size_t at = 0;

    while (st == KS_OK && store_strings_next(device->via, &at, &entry)) {
        st = gateway_add(txn, space, entry, by, why);
    }
    at = 0;
    while (st == KS_OK && store_strings_next(device->member_of, &at, &entry)) {
        key_of_group(&key, space, entry, device->id);
        st = by > 0 ? txn_put(txn, KV_GROUP, &key, span_of(NULL, 0), why)
                    : txn_del(txn, KV_GROUP, &key, why);
    }
    return st;
}

/* ---- records ---- */

/* A device whose spans outlive the writes to come: those of a found one do not. */
static struct store_device keep(struct store_txn *txn, const struct store_device *device)
{
    struct store_device kept = *device;
    struct span *spans[] = {&kept.id,          &kept.via,      &kept.via_groups, &kept.member_of,
                            &kept.credentials, &kept.document, &kept.answer};

    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        *spans[i] = arena_span(&txn->arena, *spans[i]);
    }
    return kept;
}

static enum ks_status put_record(struct store_txn *txn, uint32_t space,
                                 const struct store_device *device, struct ks_failure *why)
{
    struct key key;

    key_of_device(&key, space, device->id);
    buf_clear(&txn->scratch);
    record_encode_device(device, &txn->scratch);
    assert(!txn->scratch.overflow); /* the edge bounds documents far below */
    return txn_put(txn, KV_DEVICE, &key, buf_span(&txn->scratch), why);
}

enum ks_status store_device_get(struct store_txn *txn, uint32_t space, struct span id,
                                struct store_device *out, struct ks_failure *why)
{
    struct key key;
    struct span value;
    enum ks_status st;

    if (id.len == 0 || id.len > STORE_ID_MAX) {
        return KS_NOT_FOUND;
    }
    key_of_device(&key, space, id);
    st = txn_get(txn, KV_DEVICE, &key, &value, why);
    if (st == KS_OK && !record_decode_device(value, id, out)) {
        return txn_unreadable(txn, "device", space, id, why);
    }
    return st;
}

static enum ks_status get_kept(struct store_txn *txn, uint32_t space, struct span id,
                               struct store_device *out, struct ks_failure *why)
{
    struct store_device found;
    enum ks_status st = store_device_get(txn, space, id, &found, why);

    if (st == KS_OK) {
        *out = keep(txn, &found);
    }
    return st;
}

enum ks_status store_device_insert(struct store_txn *txn, uint32_t space,
                                   const struct store_device *device, struct ks_failure *why)
{
    struct store_device kept;
    enum ks_status st = store_device_get(txn, space, device->id, &kept, why);

    assert(device->id.len > 0 && device->id.len <= STORE_ID_MAX);
    if (st == KS_OK) {
        return ks_fail(why, KS_EXISTS, "id-taken", "there is a device with the id %.*s",
                       SPAN_ARG(device->id));
    }
    if (st != KS_NOT_FOUND) {
        return st;
    }
    arena_reset(&txn->arena);
    kept = keep(txn, device);
    st = put_record(txn, space, &kept, why);
    if (st == KS_OK) {
        st = refer(txn, space, &kept, 1, why);
    }
    return st == KS_OK ? space_counts_add(txn, space, (struct space_change){.devices = 1}, why)
                       : st;
}

enum ks_status store_device_replace(struct store_txn *txn, uint32_t space,
                                    const struct store_device *device, struct ks_failure *why)
{
    struct store_device old;
    struct store_device kept;
    enum ks_status st;

    arena_reset(&txn->arena);
    st = get_kept(txn, space, device->id, &old, why);
    if (st != KS_OK) {
        return st;
    }
    kept = keep(txn, device);
    st = refer(txn, space, &old, -1, why);
    if (st == KS_OK) {
        st = put_record(txn, space, &kept, why);
    }
    return st == KS_OK ? refer(txn, space, &kept, 1, why) : st;
}

enum ks_status store_device_delete(struct store_txn *txn, uint32_t space, struct span id,
                                   struct ks_failure *why)
{
    struct store_device old;
    struct store_credential_ref ref;
    struct key key;
    size_t at = 0;
    enum ks_status st;

    arena_reset(&txn->arena);
    st = get_kept(txn, space, id, &old, why);
    if (st != KS_OK) {
        return st;
    }
    st = refer(txn, space, &old, -1, why);
    while (st == KS_OK && store_credential_refs_next(old.credentials, &at, &ref)) {
        st = store_credential_delete(txn, space, ref.type, ref.auth_id, why);
        st = st == KS_NOT_FOUND ? KS_OK
                                : st; /* not there: what verify reports, not a reason to stay */
    }
    if (st == KS_OK && old.event_seq != 0) {
        st = outbox_forget_parked(txn, space, old.event_seq, why);
    }
    if (st == KS_OK) {
        key_of_device(&key, space, old.id);
        st = txn_del(txn, KV_DEVICE, &key, why);
    }
    return st == KS_OK ? space_counts_add(txn, space, (struct space_change){.devices = -1}, why)
                       : st;
}

/* The entry behind the id `after` in a table whose keys are space and id. */
static enum ks_status seek_id(struct store_txn *txn, enum kv_table table, uint32_t space,
                              struct span after, struct span *id, struct span *value,
                              struct ks_failure *why)
{
    struct key from;
    struct span key;
    enum ks_status st;

    if (after.len > STORE_ID_MAX) {
        return KS_NOT_FOUND;
    }
    key_of_device(&from, space, after);
    if (after.len > 0) {
        key_add_nul(&from);
    }
    st = txn_seek(txn, table, key_span(&from), &key, value, why);
    if (st != KS_OK) {
        return st;
    }
    if (key.len <= 4 || key_read_space(key) != space) {
        return KS_NOT_FOUND;
    }
    *id = span_of(key.ptr + 4, key.len - 4);
    return id->len <= STORE_ID_MAX
               ? KS_OK
               : txn_corrupt(txn, why, "an id in key space %u has %zu bytes", space, id->len);
}

enum ks_status store_device_next_id(struct store_txn *txn, uint32_t space, struct span after,
                                    struct span *id, struct ks_failure *why)
{
    struct span value;

    return seek_id(txn, KV_DEVICE, space, after, id, &value, why);
}

enum ks_status store_device_next(struct store_txn *txn, uint32_t space, struct span after,
                                 struct store_device *out, struct ks_failure *why)
{
    struct span id;
    struct span value;
    enum ks_status st = seek_id(txn, KV_DEVICE, space, after, &id, &value, why);

    if (st == KS_OK && !record_decode_device(value, id, out)) {
        return txn_unreadable(txn, "device", space, id, why);
    }
    return st;
}

enum ks_status store_device_count(struct store_txn *txn, uint32_t space, uint64_t *count,
                                  struct ks_failure *why)
{
    struct space_counts counts;
    enum ks_status st = space_counts_get(txn, space, &counts, why);

    if (st == KS_OK) {
        *count = counts.devices;
    }
    return st;
}

enum ks_status store_is_gateway(struct store_txn *txn, uint32_t space, struct span id, bool *out,
                                struct ks_failure *why)
{
    struct key key;
    uint64_t count = 0;
    enum ks_status st = KS_OK;

    if (id.len > 0 && id.len <= STORE_ID_MAX) {
        key_of_device(&key, space, id);
        st = gateway_count(txn, &key, &count, why);
    }
    if (st == KS_OK) {
        *out = count > 0;
    }
    return st;
}

enum ks_status store_gateway_next(struct store_txn *txn, uint32_t space, struct span after,
                                  struct span *id, struct ks_failure *why)
{
    struct span value;

    return seek_id(txn, KV_GATEWAY, space, after, id, &value, why);
}

/* Only such names have entries. */
static bool is_group(struct span group)
{
    return group.len > 0 && group.len <= STORE_ID_MAX && !span_has_nul(group);
}

enum ks_status store_group_next(struct store_txn *txn, uint32_t space, struct span group,
                                struct span after, struct span *device, struct ks_failure *why)
{
    struct key from;
    struct span key;
    struct span value;
    size_t prefix;
    enum ks_status st;

    if (!is_group(group) || after.len > STORE_ID_MAX) {
        return KS_NOT_FOUND;
    }
    key_of_group(&from, space, group, after);
    prefix = from.len - after.len;
    if (after.len > 0) {
        key_add_nul(&from);
    }
    st = txn_seek(txn, KV_GROUP, key_span(&from), &key, &value, why);
    if (st != KS_OK) {
        return st;
    }
    if (key.len <= prefix || memcmp(key.ptr, from.bytes, prefix) != 0) {
        return KS_NOT_FOUND;
    }
    *device = span_of(key.ptr + prefix, key.len - prefix);
    return KS_OK;
}

enum ks_status store_member_next(struct store_txn *txn, uint32_t space, struct span group,
                                 struct span device, struct span *next_group,
                                 struct span *next_device, struct ks_failure *why)
{
    struct key from;
    struct span key;
    struct span value;
    const char *nul;
    enum ks_status st;

    if (group.len > STORE_ID_MAX || device.len > STORE_ID_MAX) {
        return KS_NOT_FOUND;
    }
    key_of_group(&from, space, group, device);
    if (device.len > 0) {
        key_add_nul(&from);
    }
    st = txn_seek(txn, KV_GROUP, key_span(&from), &key, &value, why);
    if (st != KS_OK) {
        return st;
    }
    if (key.len <= 4 || key_read_space(key) != space) {
        return KS_NOT_FOUND;
    }
    nul = memchr(key.ptr + 4, '\0', key.len - 4);
    if (nul == NULL) {
        return txn_corrupt(txn, why, "a group entry of key space %u names no device", space);
    }
    *next_group = span_of(key.ptr + 4, (size_t)(nul - key.ptr) - 4);
    *next_device = span_of(nul + 1, (size_t)(key.ptr + key.len - nul) - 1);
    if (next_group->len > STORE_ID_MAX || next_device->len > STORE_ID_MAX) {
        return txn_corrupt(txn, why, "a group entry of key space %u is too long", space);
    }
    return KS_OK;
}

enum ks_status store_group_has(struct store_txn *txn, uint32_t space, struct span group,
                               struct span device, bool *out, struct ks_failure *why)
{
    struct key key;
    struct span value;
    enum ks_status st = KS_NOT_FOUND;

    if (is_group(group) && device.len <= STORE_ID_MAX) {
        key_of_group(&key, space, group, device);
        st = txn_get(txn, KV_GROUP, &key, &value, why);
    }
    *out = st == KS_OK;
    return st == KS_NOT_FOUND ? KS_OK : st;
}
