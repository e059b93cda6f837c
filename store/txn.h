/*
 * txn: a store transaction over the engine's, shared by the files of store/: the sticky first
 * error, the write count, scratch memory.
 *
 * Threads:   as store/store.h.
 * Ownership: values found are borrowed as store/kv.h says; scratch and arena belong to the
 * operation that runs, which clears them before it uses them.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "base/uuid.h"
#include "store/key.h"
#include "store/kv.h"
#include "store/store.h"

struct store {
    struct kv *kv;
    struct uuid instance;
    _Atomic uint64_t tenant_generation;
};

struct store_txn {
    struct store *store;
    struct kv_txn *kv;
    bool has_snapshot;
    bool touches_tenants;
    uint64_t writes;
    enum ks_status error; /* the first failure; every later call returns it */
    struct ks_failure why;
    struct buf scratch; /* a record on its way in */
    struct arena arena; /* copies of what a write would invalidate */
};

KS_MUST_CHECK enum ks_status txn_get(struct store_txn *txn, enum kv_table table,
                                     const struct key *key, struct span *value,
                                     struct ks_failure *why);
KS_MUST_CHECK enum ks_status txn_put(struct store_txn *txn, enum kv_table table,
                                     const struct key *key, struct span value,
                                     struct ks_failure *why);
/* KS_OK also if it was not there. */
KS_MUST_CHECK enum ks_status txn_del(struct store_txn *txn, enum kv_table table,
                                     const struct key *key, struct ks_failure *why);
/* The first entry at or behind `from`. */
KS_MUST_CHECK enum ks_status txn_seek(struct store_txn *txn, enum kv_table table, struct span from,
                                      struct span *key, struct span *value, struct ks_failure *why);
/* KS_FULL, KS_CORRUPT and the like stick to the transaction, answers do not: returns `status`, or
 * the failure that stuck before. */
enum ks_status txn_result(struct store_txn *txn, enum ks_status status,
                          const struct ks_failure *from, struct ks_failure *why);
/* KS_CORRUPT, which sticks. */
enum ks_status txn_corrupt(struct store_txn *txn, struct ks_failure *why, const char *format, ...)
    KS_PRINTF(3, 4);
/* KS_CORRUPT for a record that cannot be decoded. */
enum ks_status txn_unreadable(struct store_txn *txn, const char *what, uint32_t space,
                              struct span id, struct ks_failure *why);

/* A number of META: 0 if it is missing. */
KS_MUST_CHECK enum ks_status txn_meta_get(struct store_txn *txn, const char *name, uint64_t *value,
                                          struct ks_failure *why);
KS_MUST_CHECK enum ks_status txn_meta_put(struct store_txn *txn, const char *name, uint64_t value,
                                          struct ks_failure *why);

/* What META holds beside its format and the instance's id (store.c). */
extern const char meta_next_space[]; /* the key-space number to be drawn next */
extern const char meta_outbox_seq[]; /* the last one given to an entry */
extern const char meta_dropped[];    /* notifications dropped at the bound */
