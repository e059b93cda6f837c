/* Devices: the record, the references to gateways and groups, the count. */
#include <assert.h>

#include "store/bytes.h"
#include "store/record.h"
#include "store/txn.h"

/* ---- who is a gateway: how many devices name it in `via` ---- */

static enum ks_status gateway_count(struct store_txn *txn, const struct key *key, uint64_t *count,
                                    struct ks_failure *why)
{
    struct span value;
    size_t at = 0;
    enum ks_status st = txn_get(txn, KV_GATEWAY, key, &value, why);

    *count = 0;
    if (st != KS_OK) {
        return st == KS_NOT_FOUND ? KS_OK : st;
    }
    if (!bytes_get(value, &at, 4, count)) {
        struct ks_failure here;

        st = ks_fail(&here, KS_CORRUPT, NULL, "a gateway count cannot be read");
        return txn_fail(txn, st, &here, why);
    }
    return KS_OK;
}

static enum ks_status gateway_add(struct store_txn *txn, uint32_t space, struct span id, int by,
                                  struct ks_failure *why)
{
    struct key key;
    uint64_t count;
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

/* Adds (by 1) or removes (by -1) what a device's lists say. Its spans are copies or the caller's.
 */
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
    struct ks_failure here;
    enum ks_status st;

    if (id.len == 0 || id.len > STORE_ID_MAX) {
        return KS_NOT_FOUND;
    }
    key_of_device(&key, space, id);
    st = txn_get(txn, KV_DEVICE, &key, &value, why);
    if (st != KS_OK) {
        return st;
    }
    st = record_decode_device(value, id, out, &here);
    return st == KS_OK ? KS_OK : txn_fail(txn, st, &here, why);
}

/* The lists that a removal walks, copied, so that they outlive the writes. */
static enum ks_status get_copy(struct store_txn *txn, uint32_t space, struct span id,
                               struct store_device *out, struct ks_failure *why)
{
    enum ks_status st = store_device_get(txn, space, id, out, why);

    if (st == KS_OK) {
        out->via = arena_span(&txn->arena, out->via);
        out->member_of = arena_span(&txn->arena, out->member_of);
        out->credentials = arena_span(&txn->arena, out->credentials);
    }
    return st;
}

enum ks_status store_device_insert(struct store_txn *txn, uint32_t space,
                                   const struct store_device *device, struct ks_failure *why)
{
    struct store_device there;
    enum ks_status st = store_device_get(txn, space, device->id, &there, why);

    if (st == KS_OK) {
        return ks_fail(why, KS_EXISTS, "id-taken", "there is a device with the id %.*s",
                       SPAN_ARG(device->id));
    }
    if (st != KS_NOT_FOUND) {
        return st;
    }
    st = put_record(txn, space, device, why);
    if (st == KS_OK) {
        st = refer(txn, space, device, 1, why);
    }
    return st == KS_OK ? space_counts_add(txn, space, 1, 0, why) : st;
}

enum ks_status store_device_replace(struct store_txn *txn, uint32_t space,
                                    const struct store_device *device, struct ks_failure *why)
{
    struct store_device old;
    enum ks_status st = get_copy(txn, space, device->id, &old, why);

    if (st == KS_OK) {
        st = refer(txn, space, &old, -1, why);
    }
    if (st == KS_OK) {
        st = put_record(txn, space, device, why);
    }
    return st == KS_OK ? refer(txn, space, device, 1, why) : st;
}

enum ks_status store_device_delete(struct store_txn *txn, uint32_t space, struct span id,
                                   struct ks_failure *why)
{
    struct store_device old;
    struct store_credential_ref ref;
    struct key key;
    size_t at = 0;
    enum ks_status st = get_copy(txn, space, id, &old, why);

    if (st != KS_OK) {
        return st;
    }
    st = refer(txn, space, &old, -1, why);
    while (st == KS_OK && store_credential_refs_next(old.credentials, &at, &ref)) {
        st = store_credential_delete(txn, space, ref.type, ref.auth_id, why);
    }
    if (st == KS_OK) {
        key_of_device(&key, space, id);
        st = txn_del(txn, KV_DEVICE, &key, why);
    }
    return st == KS_OK ? space_counts_add(txn, space, -1, 0, why) : st;
}

enum ks_status store_device_next(struct store_txn *txn, uint32_t space, struct span after,
                                 struct store_device *out, struct ks_failure *why)
{
    struct key from;
    struct span key;
    struct span value;
    struct ks_failure here;
    enum ks_status st;

    key_of_device(&from, space, after);
    if (after.len > 0) {
        key_add_nul(&from);
    }
    st = txn_seek(txn, KV_DEVICE, key_span(&from), &key, &value, why);
    if (st != KS_OK) {
        return st;
    }
    if (key.len <= 4 || key_read_space(key) != space) {
        return KS_NOT_FOUND;
    }
    st = record_decode_device(value, span_of(key.ptr + 4, key.len - 4), out, &here);
    return st == KS_OK ? KS_OK : txn_fail(txn, st, &here, why);
}

enum ks_status store_device_count(struct store_txn *txn, uint32_t space, uint64_t *count,
                                  struct ks_failure *why)
{
    struct space_counts counts;
    enum ks_status st = space_counts_get(txn, space, &counts, why);

    *count = counts.devices;
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
    *out = count > 0;
    return st;
}
