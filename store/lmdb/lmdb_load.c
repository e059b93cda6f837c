#include "store/lmdb/lmdb_load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/kv.h"
#include "store/lmdb/lmdb_file.h"
#include "store/lmdb/lmdb_folder.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"

enum { READERS = 8, PATH_ROOM = LMDB_PATH_MAX + 64 };

struct lmdb_load {
    char dir[LMDB_PATH_MAX];
    char loading[PATH_ROOM];  /* the folder of what nobody sees */
    char new_file[PATH_ROOM]; /* data.mdb in it */
    char old_file[PATH_ROOM];
    uint64_t map_size;
    int lock_fd;
};

/* ---- the store that is there ---- */

static enum ks_status check_no_reader(const struct lmdb_load *load, struct ks_failure *why)
{
    pid_t reader = lmdb_folder_reader(load->dir);

    return reader == 0 ? KS_OK
                       : ks_fail(why, KS_BUSY, "data-dir-in-use",
                                 "process %d is reading the store in %s; wait for its end",
                                 (int)reader, load->dir);
}

static enum ks_status count_tenants(struct store *store, uint64_t *count, struct ks_failure *why)
{
    struct store_txn *txn = NULL;
    struct store_stat stat = {.tenants = 0};
    enum ks_status st = store_reader_open(store, &txn, why);

    if (st == KS_OK) {
        st = store_reader_renew(txn, why);
    }
    if (st == KS_OK) {
        st = store_stat(txn, &stat, why);
    }
    *count = stat.tenants;
    store_reader_close(txn);
    return st;
}

static enum ks_status look_at_old(const struct lmdb_load *load, uint64_t *tenants,
                                  struct ks_failure *why)
{
    const struct lmdb_kv_options options = {
        .dir = load->dir, .map_size = load->map_size, .max_readers = READERS, .read_only = true};
    struct kv *kv = NULL;
    struct store *store = NULL;
    enum ks_status st = lmdb_file_check(load->old_file, why);

    if (st == KS_OK) {
        st = lmdb_kv_open(&kv, &options, why);
    }
    if (st != KS_OK) {
        return st;
    }
    st = store_open(&store, kv, why);
    if (st != KS_OK) {
        lmdb_kv_close(kv);
        return st;
    }
    st = count_tenants(store, tenants, why);
    store_close(store);
    return st;
}

/* That nothing is lost when data.mdb is replaced. */
static enum ks_status check_old(const struct lmdb_load *load, struct ks_failure *why)
{
    struct ks_failure cause = {0};
    struct stat file;
    uint64_t tenants = 0;
    enum ks_status st;

    if (stat(load->old_file, &file) != 0) {
        return errno == ENOENT ? KS_OK
                               : ks_fail(why, KS_IO, NULL, "cannot look at %s: %s", load->old_file,
                                         ks_errno_text(errno));
    }
    st = look_at_old(load, &tenants, &cause);
    if (st != KS_OK) {
        return ks_fail(why, st, cause.reason,
                       "%s (if you do not need data.mdb any more, move it away first)", cause.text);
    }
    if (tenants > 0) {
        return ks_fail(why, KS_EXISTS, NULL,
                       "the store in %s holds %" PRIu64 " tenants, and only an empty one is filled:"
                       " name another data-dir, or move data.mdb away",
                       load->dir, tenants);
    }
    return KS_OK;
}

/* ---- the new one ---- */

static enum ks_status open_new(const struct lmdb_load *load, struct kv **kv, struct ks_failure *why)
{
    const struct lmdb_kv_options options = {
        .dir = load->loading, .map_size = load->map_size, .max_readers = READERS, .unseen = true};
    enum ks_status st = lmdb_folder_sweep(load->dir, why);

    return st == KS_OK ? lmdb_kv_open(kv, &options, why) : st;
}

enum ks_status lmdb_load_open(struct lmdb_load **out, const char *dir, uint64_t map_size,
                              struct kv **kv, struct ks_failure *why)
{
    struct lmdb_load *load = calloc(1, sizeof(*load));
    enum ks_status st = KS_OK;

    if (load == NULL) {
        abort();
    }
    load->lock_fd = -1;
    load->map_size = map_size;
    if ((size_t)snprintf(load->dir, sizeof(load->dir), "%s", dir) >= sizeof(load->dir)) {
        st = ks_fail(why, KS_INVALID, NULL, "the path of the data folder is too long");
    }
    (void)snprintf(load->loading, sizeof(load->loading), "%s/%s", load->dir, lmdb_folder_loading);
    (void)snprintf(load->new_file, sizeof(load->new_file), "%s/%s/data.mdb", load->dir,
                   lmdb_folder_loading);
    (void)snprintf(load->old_file, sizeof(load->old_file), "%s/data.mdb", load->dir);
    if (st == KS_OK) {
        st = lmdb_folder_take(load->dir, &load->lock_fd, why);
    }
    if (st == KS_OK) {
        st = check_no_reader(load, why);
    }
    if (st == KS_OK) {
        st = check_old(load, why);
    }
    if (st == KS_OK) {
        st = open_new(load, kv, why);
    }
    if (st != KS_OK) {
        lmdb_load_close(load);
        return st;
    }
    *out = load;
    return KS_OK;
}

const char *lmdb_load_dir(const struct lmdb_load *load)
{
    return load->loading;
}

/* ---- taking its place ---- */

static enum ks_status sync_file(const char *path, struct ks_failure *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum ks_status st = KS_OK;

    if (fd < 0 || fsync(fd) != 0) {
        st = ks_fail(why, KS_IO, NULL, "cannot sync %s: %s", path, ks_errno_text(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return st;
}

/* The lock file goes with the old file, whose transactions it counts: LMDB makes a new one. It goes
 * second: a lock file that nobody has open is made anew, too. */
static enum ks_status swap(const struct lmdb_load *load, struct ks_failure *why)
{
    char lock_file[PATH_ROOM];

    (void)snprintf(lock_file, sizeof(lock_file), "%s/lock.mdb", load->dir);
    if (rename(load->new_file, load->old_file) != 0) {
        return ks_fail(why, KS_IO, NULL, "cannot rename %s to %s: %s", load->new_file,
                       load->old_file, ks_errno_text(errno));
    }
    if (unlink(lock_file) != 0 && errno != ENOENT) {
        return ks_fail(why, KS_IO, NULL, "cannot remove %s: %s", lock_file, ks_errno_text(errno));
    }
    return KS_OK;
}

enum ks_status lmdb_load_publish(struct lmdb_load *load, struct ks_failure *why)
{
    enum ks_status st = sync_file(load->new_file, why);

    if (st == KS_OK) {
        st = check_no_reader(load, why);
    }
    if (st == KS_OK) {
        st = swap(load, why);
    }
    return st == KS_OK ? lmdb_folder_sync(load->dir, why) : st;
}

void lmdb_load_close(struct lmdb_load *load)
{
    if (load == NULL) {
        return;
    }
    if (load->lock_fd >= 0) {
        (void)!lmdb_folder_sweep(load->dir, NULL); /* what stays is swept by the next who opens */
        close(load->lock_fd);
    }
    free(load);
}
