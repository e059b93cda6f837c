/*
 * lmdb_copy: a compact copy of a store's snapshot, also while it is served: a folder of its own,
 * which can be opened as it is.
 *
 * The copy is written under another name and renamed when it is on the disk: a folder with a
 * data.mdb holds a whole one.
 *
 * The copy has an entry in its META that the original has not.
 *
 * Threads: any; the engine is in use by nobody else of this process.
 * Errors:  KS_EXISTS if `to` is there already; KS_IO, KS_DISK_FULL: nothing of it is left.
 */
#pragma once

#include "base/span.h"
#include "base/status.h"

struct kv;

struct lmdb_copy_mark {
    struct span key;
    struct span value;
};

/* Makes the folder `to` (mode 0700) with the copy in it. */
KS_MUST_CHECK enum ks_status lmdb_copy(struct kv *kv, const char *to,
                                       const struct lmdb_copy_mark *mark, struct ks_failure *why);
