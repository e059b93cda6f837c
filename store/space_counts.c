#include "store/space_counts.h"

#include "store/bytes.h"
#include "store/txn.h"

enum ks_status space_counts_get(struct store_txn *txn, uint32_t space, struct space_counts *out,
                                struct ks_failure *why)
{
    struct space_counts found = {0};
    struct key key;
    struct span value;
    size_t at = 0;
    enum ks_status st;

    key_of_space(&key, space);
    st = txn_get(txn, KV_TENANT_STAT, &key, &value, why);
    if (st == KS_OK &&
        (value.len != SPACE_COUNTS_SIZE || !bytes_get(value, &at, 8, &found.devices) ||
         !bytes_get(value, &at, 8, &found.credentials) ||
         !bytes_get(value, &at, 8, &found.parked))) {
        return txn_corrupt(txn, why, "the counters of key space %u have %zu bytes", space,
                           value.len);
    }
    if (st != KS_OK && st != KS_NOT_FOUND) {
        return st;
    }
    *out = found;
    return KS_OK;
}

enum ks_status space_counts_add(struct store_txn *txn, uint32_t space, struct space_change by,
                                struct ks_failure *why)
{
    struct space_counts counts = {0};
    struct key key;
    enum ks_status st = space_counts_get(txn, space, &counts, why);

    if (st != KS_OK) {
        return st;
    }
    key_of_space(&key, space);
    buf_clear(&txn->scratch);
    bytes_put(&txn->scratch, counts.devices + (uint64_t)by.devices, 8);
    bytes_put(&txn->scratch, counts.credentials + (uint64_t)by.credentials, 8);
    bytes_put(&txn->scratch, counts.parked + (uint64_t)by.parked, 8);
    return txn_put(txn, KV_TENANT_STAT, &key, buf_span(&txn->scratch), why);
}
