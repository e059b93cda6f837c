#include "store/lmdb/lmdb_kv.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"
#include "store/kv.h"
#include "store/lmdb/lmdb_env.h"
#include "store/lmdb/lmdb_file.h"
#include "store/lmdb/lmdb_folder.h"

enum { MIN_FREE_LEAST = 1 << 20, CACHE_LINE = 64, PREFETCH_MAX = 1 << 10 };

struct env {
    MDB_env *mdb;
    MDB_dbi table[KV_TABLES];
};

/*
 * After a failed write of the meta page LMDB refuses everything, reads included (MDB_PANIC), until
 * its environment is closed. What was committed before is whole, and nobody can write any more: so
 * reads go on in a second environment on the same file, read-only and without the lock file
 * (opening that twice in a process would drop its locks).
 */
struct lmdb_kv {
    struct kv kv; /* first */
    struct env env;
    struct lock lock;  /* guards the opening of: */
    struct env rescue; /* mdb NULL: not needed so far */
    uint64_t map_size;
    uint64_t min_free;
    int lock_fd; /* -1: read-only */
    bool read_only;
    char dir[LMDB_PATH_MAX];
};

struct kv_txn {
    struct lmdb_kv *kv;
    const struct env *env; /* of mdb */
    MDB_txn *mdb;
};

static const char *const table_names[KV_TABLES] = {
    [KV_META] = "meta",           [KV_TENANT] = "tenant",
    [KV_TENANT_ID] = "tenant_id", [KV_TENANT_ALIAS] = "tenant_alias",
    [KV_TENANT_CA] = "tenant_ca", [KV_TENANT_STAT] = "tenant_stat",
    [KV_DEVICE] = "device",       [KV_AUTH] = "auth",
    [KV_GATEWAY] = "gateway",     [KV_GROUP] = "group",
    [KV_OUTBOX] = "outbox",       [KV_NOTIFICATION] = "notification",
    [KV_PARKED] = "parked",       [KV_PURGE] = "purge",
};

/* ---- errors ---- */

/* LMDB answers a short write with EIO: with little space left it means a full disk. */
static bool disk_is_full(const struct lmdb_kv *kv)
{
    struct statvfs fs;

    return statvfs(kv->dir, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < kv->min_free;
}

static enum ks_status lmdb_fail(const struct lmdb_kv *kv, int rc, const char *what,
                                struct ks_failure *why)
{
    switch (rc) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return ks_fail(why, KS_FULL, "store-full", "%s: %s; raise store.map-size", what,
                       mdb_strerror(rc));
    case ENOSPC:
    case EDQUOT:
        return ks_fail(why, KS_DISK_FULL, "disk-full", "%s: %s", what, mdb_strerror(rc));
    case EIO:
        if (disk_is_full(kv)) {
            return ks_fail(why, KS_DISK_FULL, "disk-full", "%s: no space left", what);
        }
        return ks_fail(why, KS_IO, "read-only", "%s: %s", what, mdb_strerror(rc));
    case MDB_PANIC: /* a meta page could not be written before */
        return ks_fail(why, KS_IO, "read-only", "%s: %s", what, mdb_strerror(rc));
    case MDB_READERS_FULL:
        return ks_fail(why, KS_BUSY, "busy", "%s: %s", what, mdb_strerror(rc));
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_BAD_VALSIZE:
    case MDB_INCOMPATIBLE:
        return ks_fail(why, KS_CORRUPT, NULL, "%s: %s/data.mdb: %s", what, kv->dir,
                       mdb_strerror(rc));
    default:
        return ks_fail(why, KS_IO, NULL, "%s: %s", what, mdb_strerror(rc));
    }
}

/* ---- transactions ---- */

static struct lmdb_kv *lmdb_of(struct kv *kv)
{
    return (struct lmdb_kv *)kv;
}

static struct kv_txn *new_txn(struct lmdb_kv *kv)
{
    struct kv_txn *txn = calloc(1, sizeof(*txn));

    if (txn == NULL) {
        abort();
    }
    txn->kv = kv;
    txn->env = &kv->env;
    return txn;
}

static int open_handles(struct env *env, unsigned txn_flags, unsigned dbi_flags)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(env->mdb, NULL, txn_flags, &txn);

    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < KV_TABLES && rc == 0; i++) {
        rc = mdb_dbi_open(txn, table_names[i], dbi_flags, &env->table[i]);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn); /* handles of an aborted transaction are lost */
}

static int open_rescue_locked(struct lmdb_kv *kv)
{
    int rc;

    if (kv->rescue.mdb != NULL) {
        return 0;
    }
    rc = mdb_env_create(&kv->rescue.mdb);
    if (rc == 0) {
        rc = mdb_env_set_mapsize(kv->rescue.mdb, kv->map_size);
    }
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(kv->rescue.mdb, KV_TABLES);
    }
    if (rc == 0) {
        rc = mdb_env_open(kv->rescue.mdb, kv->dir,
                          MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS | MDB_NORDAHEAD, 0600);
    }
    if (rc == 0) {
        rc = open_handles(&kv->rescue, MDB_RDONLY, 0);
    }
    if (rc != 0) {
        mdb_env_close(kv->rescue.mdb);
        kv->rescue.mdb = NULL;
        return rc;
    }
    log_warn("store-rescued", "action=\"look-ups go on from what was committed; restart\"");
    return 0;
}

/* Moves a reader whose environment is beyond use to the rescue. */
static int move_to_rescue(struct kv_txn *txn)
{
    int rc;

    if (txn->env == &txn->kv->rescue) {
        return MDB_PANIC;
    }
    lock_take(&txn->kv->lock);
    rc = open_rescue_locked(txn->kv);
    lock_give(&txn->kv->lock);
    if (rc != 0) {
        return rc;
    }
    mdb_txn_abort(txn->mdb);
    txn->mdb = NULL;
    txn->env = &txn->kv->rescue;
    return mdb_txn_begin(txn->env->mdb, NULL, MDB_RDONLY, &txn->mdb);
}

static enum ks_status read_begin(struct kv *kv, struct kv_txn **out, struct ks_failure *why)
{
    struct lmdb_kv *lmdb = lmdb_of(kv);
    struct kv_txn *txn = new_txn(lmdb);
    int rc = mdb_txn_begin(lmdb->env.mdb, NULL, MDB_RDONLY, &txn->mdb);

    if (rc == MDB_READERS_FULL) {
        lmdb_kv_check_readers(kv);
        rc = mdb_txn_begin(lmdb->env.mdb, NULL, MDB_RDONLY, &txn->mdb);
    }
    if (rc != 0) {
        free(txn);
        return lmdb_fail(lmdb, rc, "cannot begin reading", why);
    }
    *out = txn;
    return KS_OK;
}

static enum ks_status read_renew(struct kv_txn *txn, struct ks_failure *why)
{
    int rc = mdb_txn_renew(txn->mdb);

    if (rc == MDB_PANIC) {
        rc = move_to_rescue(txn);
    }
    return rc == 0 ? KS_OK : lmdb_fail(txn->kv, rc, "cannot renew a snapshot", why);
}

static void read_reset(struct kv_txn *txn)
{
    mdb_txn_reset(txn->mdb);
}

static void end_txn(struct kv_txn *txn)
{
    if (txn->mdb != NULL) {
        mdb_txn_abort(txn->mdb);
    }
    free(txn);
}

static enum ks_status write_begin(struct kv *kv, struct kv_txn **out, struct ks_failure *why)
{
    struct lmdb_kv *lmdb = lmdb_of(kv);
    struct kv_txn *txn = new_txn(lmdb);
    int rc = mdb_txn_begin(lmdb->env.mdb, NULL, 0, &txn->mdb);

    if (rc != 0) {
        free(txn);
        return lmdb_fail(lmdb, rc, "cannot begin a write", why);
    }
    *out = txn;
    return KS_OK;
}

static enum ks_status commit(struct kv_txn *txn, struct ks_failure *why)
{
    struct lmdb_kv *lmdb = txn->kv;
    int rc = mdb_txn_commit(txn->mdb); /* gone, whatever it answers */

    free(txn);
    return rc == 0 ? KS_OK : lmdb_fail(lmdb, rc, "cannot commit", why);
}

/* ---- values ---- */

MDB_val lmdb_val(struct span s)
{
    MDB_val val = {.mv_size = s.len};

    memcpy(&val.mv_data, &s.ptr, sizeof(val.mv_data)); /* LMDB has no const, but only reads it */
    return val;
}

/* A value that was looked up is read from its first to its last byte: asks for its lines all at
 * once, where one miss after the other would stall the reader. */
static void prefetch(struct span value)
{
    size_t len = value.len < PREFETCH_MAX ? value.len : PREFETCH_MAX;

    for (size_t at = 0; at < len; at += CACHE_LINE) {
        __builtin_prefetch(value.ptr + at);
    }
}

static enum ks_status get(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct span *value, struct ks_failure *why)
{
    MDB_val k = lmdb_val(key);
    MDB_val v;
    int rc = mdb_get(txn->mdb, txn->env->table[table], &k, &v);

    if (rc == MDB_NOTFOUND) {
        return KS_NOT_FOUND;
    }
    if (rc != 0) {
        return lmdb_fail(txn->kv, rc, "cannot read", why);
    }
    *value = span_of(v.mv_data, v.mv_size);
    prefetch(*value);
    return KS_OK;
}

static enum ks_status put(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                          char **room, struct ks_failure *why)
{
    MDB_val k = lmdb_val(key);
    MDB_val v = {.mv_size = len};
    int rc = mdb_put(txn->mdb, txn->env->table[table], &k, &v, MDB_RESERVE);

    if (rc != 0) {
        return lmdb_fail(txn->kv, rc, "cannot write", why);
    }
    *room = v.mv_data;
    return KS_OK;
}

static enum ks_status append(struct kv_txn *txn, enum kv_table table, struct span key, size_t len,
                             char **room, struct ks_failure *why)
{
    MDB_val k = lmdb_val(key);
    MDB_val v = {.mv_size = len};
    int rc = mdb_put(txn->mdb, txn->env->table[table], &k, &v, MDB_RESERVE | MDB_APPEND);

    if (rc == MDB_KEYEXIST) {
        return ks_fail(why, KS_EXISTS, NULL, "an entry is not behind all others");
    }
    if (rc != 0) {
        return lmdb_fail(txn->kv, rc, "cannot write", why);
    }
    *room = v.mv_data;
    return KS_OK;
}

static enum ks_status del(struct kv_txn *txn, enum kv_table table, struct span key,
                          struct ks_failure *why)
{
    MDB_val k = lmdb_val(key);
    int rc = mdb_del(txn->mdb, txn->env->table[table], &k, NULL);

    if (rc == MDB_NOTFOUND) {
        return KS_NOT_FOUND;
    }
    return rc == 0 ? KS_OK : lmdb_fail(txn->kv, rc, "cannot delete", why);
}

static enum ks_status seek(struct kv_txn *txn, enum kv_table table, struct span from,
                           struct span *key, struct span *value, struct ks_failure *why)
{
    MDB_cursor *cursor;
    MDB_val k = lmdb_val(from);
    MDB_val v;
    int rc = mdb_cursor_open(txn->mdb, txn->env->table[table], &cursor);

    if (rc == 0) {
        rc = mdb_cursor_get(cursor, &k, &v, from.len == 0 ? MDB_FIRST : MDB_SET_RANGE);
        mdb_cursor_close(cursor);
    }
    if (rc == MDB_NOTFOUND) {
        return KS_NOT_FOUND;
    }
    if (rc != 0) {
        return lmdb_fail(txn->kv, rc, "cannot read", why);
    }
    *key = span_of(k.mv_data, k.mv_size);
    *value = span_of(v.mv_data, v.mv_size);
    return KS_OK;
}

static enum ks_status stat_of(struct kv_txn *txn, struct kv_stat *out, struct ks_failure *why)
{
    MDB_envinfo info;
    MDB_stat st;
    int rc = mdb_env_info(txn->env->mdb, &info);

    *out = (struct kv_stat){0};
    for (size_t i = 0; i < KV_TABLES && rc == 0; i++) {
        rc = mdb_stat(txn->mdb, txn->env->table[i], &st);
        out->entries[i] = rc == 0 ? st.ms_entries : 0;
    }
    if (rc != 0) {
        return lmdb_fail(txn->kv, rc, "cannot read statistics", why);
    }
    out->bytes_map = info.me_mapsize;
    out->bytes_used = (info.me_last_pgno + 1) * st.ms_psize;
    return KS_OK;
}

static bool is_read_only(const struct kv *kv)
{
    return ((const struct lmdb_kv *)kv)->read_only;
}

static void close_kv(struct kv *kv)
{
    struct lmdb_kv *lmdb = lmdb_of(kv);

    mdb_env_close(lmdb->env.mdb);
    mdb_env_close(lmdb->rescue.mdb);
    lock_done(&lmdb->lock);
    if (lmdb->lock_fd >= 0) {
        close(lmdb->lock_fd);
    }
    free(lmdb);
}

void lmdb_kv_check_readers(struct kv *kv)
{
    int dead = 0;

    (void)mdb_reader_check(lmdb_of(kv)->env.mdb, &dead);
}

/* ---- opening ---- */

static enum ks_status check_file(const struct lmdb_kv *lmdb, struct ks_failure *why)
{
    char path[sizeof(lmdb->dir) + 16];
    enum ks_status st;

    if (lmdb->read_only && lmdb_folder_is_taken(lmdb->dir)) {
        return KS_OK; /* who serves it has looked, and may be writing it now */
    }
    (void)snprintf(path, sizeof(path), "%s/data.mdb", lmdb->dir);
    st = lmdb_file_check(path, why);
    if (st == KS_NOT_FOUND) {
        return lmdb->read_only ? KS_IO : KS_OK;
    }
    return st;
}

/* LMDB found its file to contradict itself: nothing it says can be trusted any more. */
static void on_assert(MDB_env *env, const char *text)
{
    struct log_text quoted;
    const char *path = "";

    (void)mdb_env_get_path(env, &path);
    log_error("store-damaged", "file=%s/data.mdb text=%s action=\"restore it from a backup\"", path,
              log_text(&quoted, span_cstr(text)));
    _exit(1);
}

/* Makes the tables in an empty environment; another must have them. */
static enum ks_status open_tables(struct lmdb_kv *lmdb, struct ks_failure *why)
{
    MDB_stat main_tree = {0};
    int rc = mdb_env_stat(lmdb->env.mdb, &main_tree);

    if (rc == 0 && main_tree.ms_entries == 0 && !lmdb->read_only) {
        rc = open_handles(&lmdb->env, 0, MDB_CREATE);
    } else if (rc == 0) {
        rc = open_handles(&lmdb->env, MDB_RDONLY, 0);
    }
    if (rc == MDB_NOTFOUND) {
        return ks_fail(why, KS_CORRUPT, "not-a-store", "%s/data.mdb holds no Koseki store",
                       lmdb->dir);
    }
    return rc == 0 ? KS_OK : lmdb_fail(lmdb, rc, "cannot open the tables", why);
}

static enum ks_status open_env(struct lmdb_kv *lmdb, const struct lmdb_kv_options *options,
                               struct ks_failure *why)
{
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (options->read_only ? MDB_RDONLY : 0) |
                     (options->unseen ? MDB_NOSYNC : 0);
    char text[sizeof(lmdb->dir) + 64];
    int rc = mdb_env_create(&lmdb->env.mdb);

    if (rc == 0) {
        rc = mdb_env_set_mapsize(lmdb->env.mdb, options->map_size);
    }
    if (rc == 0) {
        rc = mdb_env_set_assert(lmdb->env.mdb, on_assert);
    }
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(lmdb->env.mdb, KV_TABLES);
    }
    if (rc == 0) {
        rc = mdb_env_set_maxreaders(lmdb->env.mdb, options->max_readers);
    }
    if (rc == 0) {
        rc = mdb_env_open(lmdb->env.mdb, options->dir, flags, 0600);
    }
    if (rc != 0) {
        (void)snprintf(text, sizeof(text), "cannot open the store %s/data.mdb", options->dir);
        return lmdb_fail(lmdb, rc, text, why);
    }
    return KS_OK;
}

enum ks_status lmdb_kv_open(struct kv **out, const struct lmdb_kv_options *options,
                            struct ks_failure *why)
{
    static const struct kv_engine engine = {
        .read_begin = read_begin,
        .read_renew = read_renew,
        .read_reset = read_reset,
        .read_end = end_txn,
        .write_begin = write_begin,
        .commit = commit,
        .abort = end_txn,
        .get = get,
        .put = put,
        .append = append,
        .del = del,
        .seek = seek,
        .stat = stat_of,
        .read_only = is_read_only,
        .close = close_kv,
    };
    struct lmdb_kv *lmdb = calloc(1, sizeof(*lmdb));
    enum ks_status st = KS_OK;

    if (lmdb == NULL) {
        abort();
    }
    lmdb->kv.engine = &engine;
    lmdb->lock_fd = -1;
    lmdb->map_size = options->map_size;
    lmdb->min_free = options->min_free > MIN_FREE_LEAST ? options->min_free : MIN_FREE_LEAST;
    lock_init(&lmdb->lock);
    lmdb->read_only = options->read_only;
    if ((size_t)snprintf(lmdb->dir, sizeof(lmdb->dir), "%s", options->dir) >= sizeof(lmdb->dir)) {
        st = ks_fail(why, KS_INVALID, NULL, "the path of the data folder is too long");
    }
    if (st == KS_OK && !options->read_only) {
        st = lmdb_folder_take(lmdb->dir, &lmdb->lock_fd, why);
    }
    if (st == KS_OK && !options->read_only) {
        st = lmdb_folder_sweep(lmdb->dir, why);
    }
    if (st == KS_OK) {
        st = check_file(lmdb, why);
    }
    if (st == KS_OK) {
        st = open_env(lmdb, options, why);
    }
    if (st == KS_OK) {
        lmdb_kv_check_readers(&lmdb->kv);
        st = open_tables(lmdb, why);
    }
    if (st != KS_OK) {
        close_kv(&lmdb->kv);
        return st;
    }
    *out = &lmdb->kv;
    return KS_OK;
}

void lmdb_kv_close(struct kv *kv)
{
    close_kv(kv);
}

MDB_env *lmdb_env_of(struct kv *kv)
{
    return lmdb_of(kv)->env.mdb;
}

const char *lmdb_table_name(enum kv_table table)
{
    return table_names[table];
}

enum ks_status lmdb_env_fail(struct kv *kv, int rc, const char *what, struct ks_failure *why)
{
    return lmdb_fail(lmdb_of(kv), rc, what, why);
}
