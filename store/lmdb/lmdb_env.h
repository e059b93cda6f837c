/*
 * lmdb_env: what the files of store/lmdb/ share of an engine; nobody else includes it.
 *
 * Threads, ownership: as store/lmdb/lmdb_kv.h; the environment is the engine's.
 */
#pragma once

#include <lmdb.h>

#include "base/status.h"
#include "store/kv.h"

MDB_env *lmdb_env_of(struct kv *kv);
const char *lmdb_table_name(enum kv_table table);
MDB_val lmdb_val(struct span s);
/* What LMDB's code means, in our words. */
enum ks_status lmdb_env_fail(struct kv *kv, int rc, const char *what, struct ks_failure *why);
