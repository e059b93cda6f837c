#include "store/lmdb/lmdb_free.h"

#include <string.h>

#include "store/lmdb/lmdb_env.h"

/* LMDB's first table: lists of page numbers, each with its length in front, by the transaction that
 * freed them. Its own tool reads it so. */
static int count_pages(MDB_txn *txn, uint64_t *pages)
{
    static const MDB_dbi free_pages = 0;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val list;
    int rc = mdb_cursor_open(txn, free_pages, &cursor);

    if (rc != 0) {
        return rc;
    }
    while ((rc = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
        size_t length;

        memcpy(&length, list.mv_data, sizeof(length));
        *pages += length;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

enum ks_status lmdb_free_bytes(struct kv *kv, uint64_t *out, struct ks_failure *why)
{
    MDB_env *env = lmdb_env_of(kv);
    MDB_txn *txn = NULL;
    MDB_stat st = {.ms_psize = 0};
    uint64_t pages = 0;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (rc == 0) {
        rc = count_pages(txn, &pages);
        mdb_txn_abort(txn);
    }
    if (rc == 0) {
        rc = mdb_env_stat(env, &st);
    }
    *out = pages * st.ms_psize;
    return rc == 0 ? KS_OK : lmdb_env_fail(kv, rc, "cannot count free pages", why);
}
