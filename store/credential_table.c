/* Credentials: one record for each type and auth-id of a key space, and their count. */
#include <assert.h>

#include "store/record.h"
#include "store/space_counts.h"
#include "store/txn.h"

/* The record under the key of (type, auth-id). Its auth-id is another if the two have the same
 * hash.
 */
static enum ks_status look_up(struct store_txn *txn, uint32_t space, struct span type,
                              struct span auth_id, struct store_credential *out,
                              struct ks_failure *why)
{
    struct key key;
    struct span value;
    enum ks_status st;

    if (type.len == 0 || type.len > STORE_TYPE_MAX || auth_id.len == 0 ||
        auth_id.len > STORE_NAME_MAX || span_has_nul(type)) {
        return KS_NOT_FOUND;
    }
    key_of_auth(&key, space, type, auth_id);
    st = txn_get(txn, KV_AUTH, &key, &value, why);
    if (st == KS_OK && !record_decode_credential(value, type, out)) {
        return txn_unreadable(txn, "credentials", space, auth_id, why);
    }
    return st;
}

enum ks_status store_credential_get(struct store_txn *txn, uint32_t space, struct span type,
                                    struct span auth_id, struct store_credential *out,
                                    struct ks_failure *why)
{
    struct store_credential found;
    enum ks_status st = look_up(txn, space, type, auth_id, &found, why);

    if (st == KS_OK && !span_eq(found.auth_id, auth_id)) {
        return KS_NOT_FOUND;
    }
    if (st == KS_OK) {
        *out = found;
    }
    return st;
}

enum ks_status store_credential_put(struct store_txn *txn, uint32_t space,
                                    const struct store_credential *credential,
                                    struct ks_failure *why)
{
    struct store_credential there;
    struct key key;
    enum ks_status found = look_up(txn, space, credential->type, credential->auth_id, &there, why);
    enum ks_status st;

    assert(credential->type.len > 0 && credential->type.len <= STORE_TYPE_MAX);
    assert(credential->auth_id.len > 0 && credential->auth_id.len <= STORE_NAME_MAX);
    if (found != KS_OK && found != KS_NOT_FOUND) {
        return found;
    }
    if (found == KS_OK && (!span_eq(there.device_id, credential->device_id) ||
                           !span_eq(there.auth_id, credential->auth_id))) {
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
    return st == KS_OK && found == KS_NOT_FOUND
               ? space_counts_add(txn, space, (struct space_change){.credentials = 1}, why)
               : st;
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
    return st == KS_OK ? space_counts_add(txn, space, (struct space_change){.credentials = -1}, why)
                       : st;
}
