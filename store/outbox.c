/* The outbox: entries in the order of their sequence, which never goes back. */
#include "store/txn.h"

enum ks_status store_outbox_append(struct store_txn *txn, struct span entry, uint64_t *seq,
                                   struct ks_failure *why)
{
    struct key key;
    uint64_t last;
    enum ks_status st = txn_meta_get(txn, meta_outbox_seq, &last, why);

    if (st == KS_OK) {
        st = txn_meta_put(txn, meta_outbox_seq, last + 1, why);
    }
    if (st != KS_OK) {
        return st;
    }
    key_begin(&key);
    key_add_seq(&key, last + 1);
    st = txn_put(txn, KV_OUTBOX, &key, entry, why);
    if (st == KS_OK) {
        *seq = last + 1;
    }
    return st;
}

enum ks_status store_outbox_next(struct store_txn *txn, uint64_t after, uint64_t *seq,
                                 struct span *entry, struct ks_failure *why)
{
    struct key from;
    struct span key;
    struct span value;
    enum ks_status st;

    key_begin(&from);
    key_add_seq(&from, after + 1);
    st = txn_seek(txn, KV_OUTBOX, key_span(&from), &key, &value, why);
    if (st == KS_OK && key.len != 8) {
        st = txn_corrupt(txn, why, "an outbox entry has a key of %zu bytes", key.len);
    }
    if (st == KS_OK) {
        *seq = key_read_seq(key);
        *entry = value;
    }
    return st;
}

enum ks_status store_outbox_delete(struct store_txn *txn, uint64_t seq, struct ks_failure *why)
{
    struct key key;

    key_begin(&key);
    key_add_seq(&key, seq);
    return txn_del(txn, KV_OUTBOX, &key, why);
}
