/*
 * lmdb_kv: the kv engine on LMDB. The only folder that includes <lmdb.h>.
 *
 * The environment is opened once per process with MDB_NOTLS and MDB_NORDAHEAD, never with
 * MDB_WRITEMAP or MDB_NOMETASYNC, and with MDB_NOSYNC only while nobody can see it; its map is
 * sized at start and never grown while serving. Stale readers are cleared at open and when the
 * reader table is full. After a failed write of a meta page, look-ups go on in a second, read-only
 * environment; nothing is written any more.
 *
 * Errors: KS_IO if the folder or file cannot be read; KS_BUSY "busy" if all readers' slots are
 *         taken, also after stale ones were cleared; KS_BUSY "data-dir-in-use" if another process
 *         serves it (an flock on `koseki.lock` in the folder, unless opened read-only);
 *         KS_CORRUPT "not-a-store" for a foreign or damaged file. The text names the path.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct kv;

struct lmdb_kv_options {
    const char *dir; /* made with mode 0700 if it is not there (not when read_only) */
    uint64_t map_size;
    uint64_t min_free; /* of the file system: with less than this EIO means a full disk */
    unsigned max_readers;
    bool read_only; /* for stat and export beside a serving process */
    bool unseen;    /* nothing is synced: what a load fills and nobody sees (lmdb_load.h) */
};

KS_MUST_CHECK enum ks_status lmdb_kv_open(struct kv **out, const struct lmdb_kv_options *options,
                                          struct ks_failure *why);
/* Clears slots of readers that died; call every 30 s or so. Any thread. */
void lmdb_kv_check_readers(struct kv *kv);
/* For a kv that no store has taken over. */
void lmdb_kv_close(struct kv *kv);
