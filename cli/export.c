#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "service/export.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"

enum { EXPORT_READERS = 64 };

static enum ks_status cannot_write(struct ks_failure *why)
{
    return ks_fail(why, KS_IO, NULL, "cannot write to standard output: %s; the export is cut",
                   ks_errno_text(errno));
}

static enum ks_status print_line(struct span text, void *arg, struct ks_failure *why)
{
    FILE *to = arg;

    return fwrite(text.ptr, 1, text.len, to) == text.len && fputc('\n', to) != EOF
               ? KS_OK
               : cannot_write(why);
}

/* Whoever moves by export and import should know what stays behind. */
static enum ks_status tell_events(struct store_txn *txn, struct ks_failure *why)
{
    struct store_outbox_depth depth;
    enum ks_status st = store_outbox_depth(txn, &depth, why);

    if (st == KS_OK && depth.waiting[STORE_EVENTS] + depth.parked > 0) {
        (void)fprintf(stderr,
                      "koseki export: %" PRIu64
                      " events wait for the broker and are not part of an export\n",
                      depth.waiting[STORE_EVENTS] + depth.parked);
    }
    return st;
}

static enum ks_status print_all(struct store *store, struct ks_failure *why)
{
    struct store_txn *txn = NULL;
    enum ks_status st = store_reader_open(store, &txn, why);

    if (st == KS_OK) {
        st = store_reader_renew(txn, why);
    }
    if (st == KS_OK) {
        st = export_lines(txn, print_line, stdout, why);
    }
    if (st == KS_OK && (fflush(stdout) != 0 || (fsync(STDOUT_FILENO) != 0 && errno != EINVAL &&
                                                errno != ENOTSUP && errno != EROFS))) {
        st = cannot_write(why);
    }
    if (st == KS_OK) {
        st = tell_events(txn, why);
    }
    store_reader_close(txn);
    return st;
}

int command_export(const struct command_options *options)
{
    struct settings settings;
    struct store *store = NULL;
    struct kv *kv = NULL;
    struct ks_failure why = {0};
    enum ks_status st = KS_INVALID;

    (void)signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error to tell of */
    if (command_settings(options, &settings)) {
        const struct lmdb_kv_options kv_options = {
            .dir = settings.data_dir,
            .map_size = (uint64_t)settings.store_map_size,
            .max_readers = EXPORT_READERS,
            .read_only = true,
        };

        st = lmdb_kv_open(&kv, &kv_options, &why);
        if (st == KS_OK) {
            st = store_open(&store, kv, &why);
        }
        if (st == KS_OK) {
            st = print_all(store, &why);
        }
        if (st != KS_OK) {
            (void)fprintf(stderr, "koseki export: %s\n", why.text);
        }
    }
    store_close(store);
    settings_done(&settings);
    return st == KS_OK ? EXIT_OK : EXIT_FAILED;
}
