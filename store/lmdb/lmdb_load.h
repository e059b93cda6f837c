/*
 * lmdb_load: a store that is filled where nobody sees it and then takes the place of an empty one,
 * whole or not at all.
 *
 * The folder is taken (nobody can serve it meanwhile); the new file is made in a folder of its own
 * inside, without syncing. Publishing syncs it and renames it to data.mdb: a crash at any point
 * before that leaves what was, and what is left over is swept by the next who takes the folder.
 *
 * Threads: one.
 * Errors:  KS_BUSY if another process serves or reads the store; KS_EXISTS if it holds tenants;
 *          KS_CORRUPT if data.mdb is there and is no store of ours; KS_IO, KS_DISK_FULL. The text
 *          says what to do.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct kv;
struct lmdb_load;

/* *kv is the engine of the new file, the caller's to close. */
KS_MUST_CHECK enum ks_status lmdb_load_open(struct lmdb_load **out, const char *dir,
                                            uint64_t map_size, struct kv **kv,
                                            struct ks_failure *why);
/* The folder of what nobody sees: for other temporary files. */
const char *lmdb_load_dir(const struct lmdb_load *load);
/* The engine has been closed. KS_OK: the new file is data.mdb, on the disk. */
KS_MUST_CHECK enum ks_status lmdb_load_publish(struct lmdb_load *load, struct ks_failure *why);
/* Removes what was not published and gives the folder back. The engine has been closed. Takes NULL.
 */
void lmdb_load_close(struct lmdb_load *load);
