#include <stdio.h>

#include "base/buf.h"
#include "cli/command.h"
#include "store/lmdb/lmdb_copy.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"

enum { BACKUP_READERS = 64, MARK_MAX = 64 };

/* Only what is a store of ours is copied. */
static enum ks_status copy(const struct settings *settings, const char *to, struct ks_failure *why)
{
    const struct lmdb_kv_options options = {
        .dir = settings->data_dir,
        .map_size = (uint64_t)settings->store_map_size,
        .max_readers = BACKUP_READERS,
        .read_only = true,
    };
    struct lmdb_copy_mark mark;
    struct store *store = NULL;
    struct kv *kv = NULL;
    struct buf key;
    struct buf value;
    enum ks_status st = lmdb_kv_open(&kv, &options, why);

    if (st != KS_OK) {
        return st;
    }
    st = store_open(&store, kv, why);
    if (st != KS_OK) {
        lmdb_kv_close(kv);
        return st;
    }
    buf_init(&key, MARK_MAX);
    buf_init(&value, MARK_MAX);
    store_copy_mark(&key, &value);
    mark = (struct lmdb_copy_mark){.key = buf_span(&key), .value = buf_span(&value)};
    st = lmdb_copy(kv, to, &mark, why);
    buf_done(&key);
    buf_done(&value);
    store_close(store);
    return st;
}

int command_backup(const struct command_options *options)
{
    struct settings settings;
    struct ks_failure why = {0};
    enum ks_status st = KS_INVALID;

    if (command_settings(options, &settings)) {
        st = copy(&settings, options->operand, &why);
        if (st != KS_OK) {
            (void)fprintf(stderr, "koseki backup: %s\n", why.text);
        }
    }
    settings_done(&settings);
    return st == KS_OK ? EXIT_OK : EXIT_FAILED;
}
