/*
 * lmdb_folder: who uses a data folder, and what a load that did not end has left in it.
 *
 * One process serves a folder, or fills it: it holds an flock on `koseki.lock`. Others may read
 * data.mdb beside it; LMDB keeps a lock of each process in lock.mdb.
 *
 * Threads: any.
 * Errors:  KS_IO; KS_BUSY "data-dir-in-use". The text names the path.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/status.h"

enum { LMDB_PATH_MAX = 4096 };

/* Where a load puts what is not yet to be seen. */
extern const char lmdb_folder_loading[];

/* Makes the folder (mode 0700) if need be and takes it; *fd holds it until it is closed. */
KS_MUST_CHECK enum ks_status lmdb_folder_take(const char *dir, int *fd, struct ks_failure *why);
/* Whether some process has taken the folder. */
bool lmdb_folder_is_taken(const char *dir);
/* A process, other than this one, that has opened the store to read or to write it; 0: none. Not to
 * be asked while this process has opened it: that would give its locks up. */
pid_t lmdb_folder_reader(const char *dir);
/* Removes what a load has left. The folder has been taken. */
KS_MUST_CHECK enum ks_status lmdb_folder_sweep(const char *dir, struct ks_failure *why);
/* Until what was renamed in the folder is on the disk. */
KS_MUST_CHECK enum ks_status lmdb_folder_sync(const char *dir, struct ks_failure *why);
