#include "store/lmdb/lmdb_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lmdb/lmdb_env.h"
#include "store/lmdb/lmdb_folder.h"

enum { PATH_ROOM = LMDB_PATH_MAX + 32 };

struct copy {
    const char *to;
    const struct lmdb_copy_mark *mark;
    char part[PATH_ROOM];
    char whole[PATH_ROOM];
};

static enum ks_status cannot(const char *what, const char *path, struct ks_failure *why)
{
    return ks_fail(why, errno == ENOSPC || errno == EDQUOT ? KS_DISK_FULL : KS_IO, NULL,
                   "cannot %s %s: %s", what, path, ks_errno_text(errno));
}

static enum ks_status write_part(struct kv *kv, const struct copy *copy, struct ks_failure *why)
{
    int fd = open(copy->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    enum ks_status st = KS_OK;
    int rc;

    if (fd < 0) {
        return cannot("make", copy->part, why);
    }
    rc = mdb_env_copyfd2(lmdb_env_of(kv), fd, MDB_CP_COMPACT);
    if (rc != 0) {
        st = lmdb_env_fail(kv, rc, "cannot copy the store", why);
    } else if (fsync(fd) != 0) {
        st = cannot("sync", copy->part, why);
    }
    close(fd);
    return st;
}

static int put_mark(MDB_env *env, const char *path, const struct lmdb_copy_mark *mark)
{
    MDB_val key = lmdb_val(mark->key);
    MDB_val value = lmdb_val(mark->value);
    MDB_txn *txn = NULL;
    MDB_dbi meta;
    int rc = mdb_env_set_maxdbs(env, 1);

    if (rc == 0) {
        rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    }
    if (rc == 0) {
        rc = mdb_txn_begin(env, NULL, 0, &txn);
    }
    if (rc != 0) {
        return rc;
    }
    rc = mdb_dbi_open(txn, lmdb_table_name(KV_META), 0, &meta);
    if (rc == 0) {
        rc = mdb_put(txn, meta, &key, &value, 0);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn); /* syncs */
}

/* Nobody else knows the file yet: no locks. */
static enum ks_status mark_part(struct kv *kv, const struct copy *copy, struct ks_failure *why)
{
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);

    if (rc == 0) {
        rc = put_mark(env, copy->part, copy->mark);
        mdb_env_close(env);
    }
    return rc == 0 ? KS_OK : lmdb_env_fail(kv, rc, "cannot mark the copy", why);
}

/* The folder that `path` is in, whatever slashes it ends with. */
static void parent_of(char out[PATH_ROOM], const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    (void)snprintf(out, PATH_ROOM, "%.*s", len > 0 ? (int)len : 1, len > 0 ? path : ".");
}

/* What was made in the folder, then the folder itself, are on the disk. */
static enum ks_status sync_folders(const struct copy *copy, struct ks_failure *why)
{
    char parent[PATH_ROOM];
    enum ks_status st = lmdb_folder_sync(copy->to, why);

    parent_of(parent, copy->to);
    return st == KS_OK ? lmdb_folder_sync(parent, why) : st;
}

static enum ks_status fill(struct kv *kv, const struct copy *copy, struct ks_failure *why)
{
    enum ks_status st = write_part(kv, copy, why);

    if (st == KS_OK) {
        st = mark_part(kv, copy, why);
    }
    if (st == KS_OK && rename(copy->part, copy->whole) != 0) {
        st = cannot("rename", copy->part, why);
    }
    return st == KS_OK ? sync_folders(copy, why) : st;
}

enum ks_status lmdb_copy(struct kv *kv, const char *to, const struct lmdb_copy_mark *mark,
                         struct ks_failure *why)
{
    struct copy copy = {.to = to, .mark = mark};
    enum ks_status st;

    if ((size_t)snprintf(copy.part, LMDB_PATH_MAX, "%s/data.mdb.part", to) >= LMDB_PATH_MAX) {
        return ks_fail(why, KS_INVALID, NULL, "the path of the copy is too long");
    }
    (void)snprintf(copy.whole, sizeof(copy.whole), "%s/data.mdb", to);
    if (mkdir(to, 0700) != 0) {
        return errno == EEXIST
                   ? ks_fail(why, KS_EXISTS, NULL,
                             "%s is there already: name a folder that is to be made", to)
                   : cannot("make", to, why);
    }
    st = fill(kv, &copy, why);
    if (st != KS_OK) {
        (void)unlink(copy.part);
        (void)unlink(copy.whole);
        (void)rmdir(to);
    }
    return st;
}
