/* The purge list: key spaces that nobody can see any more, emptied a bit at a time. Which entry is
 * next is found by looking, so a crash in the middle loses nothing. */
#include "store/txn.h"

/* Deletes entries of the space from one table until the limit is reached. */
static enum ks_status purge_table(struct store_txn *txn, enum kv_table table, uint32_t space,
                                  size_t limit, size_t *removed, struct ks_failure *why)
{
    struct key from;

    key_of_space(&from, space);
    while (*removed < limit) {
        struct key key;
        struct span found;
        struct span value;
        enum ks_status st = txn_seek(txn, table, key_span(&from), &found, &value, why);

        if (st == KS_NOT_FOUND ||
            (st == KS_OK && (found.len < 4 || key_read_space(found) != space))) {
            return KS_OK;
        }
        if (st == KS_OK) {
            key_begin(&key);
            key_add_text(&key, found);
            st = txn_del(txn, table, &key, why);
        }
        if (st != KS_OK) {
            return st;
        }
        (*removed)++;
    }
    return KS_OK;
}

static enum ks_status purge_space(struct store_txn *txn, uint32_t space, size_t limit,
                                  size_t *removed, struct ks_failure *why)
{
    static const enum kv_table tables[] = {KV_DEVICE, KV_AUTH,   KV_GATEWAY,
                                           KV_GROUP,  KV_PARKED, KV_TENANT_STAT};
    struct key key;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        enum ks_status st = purge_table(txn, tables[i], space, limit, removed, why);

        if (st != KS_OK || *removed >= limit) {
            return st; /* the space stays on the list: more may be left */
        }
    }
    key_of_space(&key, space);
    return txn_del(txn, KV_PURGE, &key, why);
}

enum ks_status store_purge(struct store_txn *txn, size_t limit, size_t *removed, bool *done,
                           struct ks_failure *why)
{
    *removed = 0;
    *done = false;
    while (*removed < limit) {
        struct span key;
        struct span value;
        enum ks_status st = txn_seek(txn, KV_PURGE, span_of(NULL, 0), &key, &value, why);

        if (st == KS_NOT_FOUND) {
            *done = true;
            return KS_OK;
        }
        if (st == KS_OK && key.len != 4) {
            st =
                txn_corrupt(txn, why, "an entry of the purge list has a key of %zu bytes", key.len);
        }
        if (st == KS_OK) {
            st = purge_space(txn, key_read_space(key), limit, removed, why);
        }
        if (st != KS_OK) {
            return st;
        }
    }
    return KS_OK;
}
