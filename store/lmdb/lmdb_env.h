/*
 * lmdb_env: what the files of store/lmdb/ share of an engine; nobody else includes it.
 *
 * Threads, ownership: as store/lmdb/lmdb_kv.h; the environment is the engine's.
 */
#pragma once

#include <lmdb.h>

#include "base/status.h"

struct kv;

MDB_env *lmdb_env_of(struct kv *kv);
/* What LMDB's code means, in our words. */
enum ks_status lmdb_env_fail(struct kv *kv, int rc, const char *what, struct ks_failure *why);
