/* Credentials: one record for each type and auth-id of a key space, and their count. */
#include <assert.h>

#include "store/record.h"
#include "store/txn.h"

enum ks_status store_credential_get(struct store_txn *txn, uint32_t space, struct span type,
                                    struct span auth_id, struct store_credential *out,
                                    struct ks_failure *why)
{
    struct key key;
    struct span value;
    struct ks_failure here;
    enum ks_status st;

    if (type.len == 0 || type.len > STORE_TYPE_MAX || auth_id.len == 0 ||
        auth_id.len > STORE_NAME_MAX || span_has_nul(type)) {
        return KS_NOT_FOUND;
    }
    key_of_auth(&key, space, type, auth_id);
    st = txn_get(txn, KV_AUTH, &key, &value, why);
    if (st != KS_OK) {
        return st;
    }
    st = record_decode_credential(value, type, out, &here);
    if (st != KS_OK) {
        return txn_fail(txn, st, &here, why);
    }
    return span_eq(out->auth_id, auth_id) ? KS_OK : KS_NOT_FOUND; /* a hash collision */
}

enum ks_status store_credential_put(struct store_txn *txn, uint32_t space,
                                    const struct store_credential *credential,
                                    struct ks_failure *why)
{
    struct store_credential there;
    struct key key;
    bool is_new;
    enum ks_status st =
        store_credential_get(txn, space, credential->type, credential->auth_id, &there, why);

    if (st != KS_OK && st != KS_NOT_FOUND) {
        return st;
    }
    is_new = st == KS_NOT_FOUND;
    if (!is_new && !span_eq(there.device_id, credential->device_id)) {
        return ks_fail(
            why, KS_EXISTS, "auth-id-taken",
            "another device of the tenant has credentials of type %.*s with this auth-id",
            SPAN_ARG(credential->type));
    }
    key_of_auth(&key, space, credential->type, credential->auth_id);
    buf_clear(&txn->scratch);
    record_encode_credential(credential, &txn->scratch);
    assert(!txn->scratch.overflow); /* the edge bounds documents far below */
    st = txn_put(txn, KV_AUTH, &key, buf_span(&txn->scratch), why);
    return st == KS_OK && is_new ? space_counts_add(txn, space, 0, 1, why) : st;
}

enum ks_status store_credential_delete(struct store_txn *txn, uint32_t space, struct span type,
                                       struct span auth_id, struct ks_failure *why)
{
    struct store_credential there;
    struct key key;
    enum ks_status st = store_credential_get(txn, space, type, auth_id, &there, why);

    if (st != KS_OK) {
        return st;
    }
    key_of_auth(&key, space, type, auth_id);
    st = txn_del(txn, KV_AUTH, &key, why);
    return st == KS_OK ? space_counts_add(txn, space, 0, -1, why) : st;
}
