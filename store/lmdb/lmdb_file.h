/*
 * lmdb_file: a look at data.mdb before LMDB maps it. LMDB trusts its file: a foreign one makes it
 * crash, and a page behind the end of a cut one is a SIGBUS.
 *
 * The meta pages must be LMDB's. If the newer one counts pages behind the end of the file, every
 * page that the trees refer to must be inside it: LMDB does not write pages that were taken and
 * given back in one transaction, so a whole file may be shorter than its count says. Damage in the
 * middle of the file is not looked for.
 *
 * Threads: any; not while another process writes the file.
 * Errors:  KS_CORRUPT "not-a-store" for a foreign or cut file, KS_IO if it cannot be read,
 *          KS_NOT_FOUND if there is none. The text names the path.
 * Source:  LMDB 0.9's mdb.c: MDB_meta, MDB_db, MDB_page, MDB_node on 64 bit.
 */
#pragma once

#include "base/status.h"

KS_MUST_CHECK enum ks_status lmdb_file_check(const char *path, struct ks_failure *why);
