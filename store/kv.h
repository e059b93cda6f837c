/*
 * kv: an ordered byte map with tables and transactions: what the store needs of an engine.
 *
 * store/ keeps its records in it; store/lmdb/ implements it on LMDB, a sorted array in the tests
 * proves that nothing of LMDB leaks. Keys order by memcmp.
 *
 * Threads, ownership: as store/store.h: values found live until the transaction is renewed, reset,
 *            ended or (write transaction) written to.
 * Limits:    keys of 1 to KV_KEY_MAX bytes; values of 0 to KV_VALUE_MAX bytes.
 * Errors:    KS_NOT_FOUND is an answer. KS_FULL: the map or the transaction is full; KS_BUSY: there
 *            are too many readers. KS_DISK_FULL, KS_IO, KS_CORRUPT as they say. After commit the
 *            transaction is gone whatever it returned.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

enum { KV_KEY_MAX = 511, KV_VALUE_MAX = 4 << 20 };

enum kv_table {
    KV_META,
    KV_TENANT,
    KV_TENANT_ID,
    KV_TENANT_ALIAS,
    KV_TENANT_CA,
    KV_TENANT_STAT,
    KV_DEVICE,
    KV_AUTH,
    KV_GATEWAY,
    KV_GROUP,
    KV_OUTBOX,
    KV_NOTIFICATION,
    KV_PARKED,
    KV_PURGE,
    KV_TABLES
};

struct kv;
struct kv_txn;

struct kv_stat {
    uint64_t bytes_used; /* of the map, pages of live snapshots included */
    uint64_t bytes_map;
    uint64_t entries[KV_TABLES];
};

/* An engine: `struct kv` begins with a pointer to one of these. */
struct kv_engine {
    enum ks_status (*read_begin)(struct kv *kv, struct kv_txn **out, struct ks_failure *why);
    enum ks_status (*read_renew)(struct kv_txn *txn, struct ks_failure *why);
    void (*read_reset)(struct kv_txn *txn);
    void (*read_end)(struct kv_txn *txn);
    enum ks_status (*write_begin)(struct kv *kv, struct kv_txn **out, struct ks_failure *why);
    enum ks_status (*commit)(struct kv_txn *txn, struct ks_failure *why);
    void (*abort)(struct kv_txn *txn);

    enum ks_status (*get)(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct span *value, struct ks_failure *why);
    /* Inserts or replaces: room for `len` bytes, to be filled before the next call on txn. */
    enum ks_status (*put)(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                          char **room, struct ks_failure *why);
    /* As put, for a key behind all others of its table: KS_EXISTS (nothing written) for another.
     * Filled so, pages are full and written once: for a store that is being loaded. */
    enum ks_status (*append)(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                             char **room, struct ks_failure *why);
    enum ks_status (*del)(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct ks_failure *why);
    /* The first entry whose key is >= `from`, of at most KV_KEY_MAX + 1 bytes (a key and a NUL:
     * what comes behind the key). An empty `from`: the first of all. */
    enum ks_status (*seek)(struct kv_txn *txn, enum kv_table table, struct span from,
                           struct span *key, struct span *value, struct ks_failure *why);
    enum ks_status (*stat)(struct kv_txn *txn, struct kv_stat *out, struct ks_failure *why);
    bool (*read_only)(const struct kv *kv);
    void (*close)(struct kv *kv);
};

struct kv {
    const struct kv_engine *engine;
};
