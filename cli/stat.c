#include <inttypes.h>
#include <stdio.h>

#include "cli/command.h"
#include "store/lmdb/lmdb_free.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"

enum { STAT_READERS = 64 };

static void print_found(const char *text, void *arg)
{
    (void)arg;
    (void)printf("inconsistent: %s\n", text);
}

static enum ks_status print_stat(struct store_txn *txn, uint64_t bytes_free, struct ks_failure *why)
{
    struct store_stat stat;
    char instance[UUID_TEXT_LEN + 1];
    enum ks_status st = store_stat(txn, &stat, why);

    if (st != KS_OK) {
        return st;
    }
    uuid_format(&stat.instance, instance);
    (void)printf("tenants: %" PRIu64 "\ndevices: %" PRIu64 "\ncredentials: %" PRIu64
                 "\noutbox-events: %" PRIu64 "\noutbox-notifications: %" PRIu64
                 "\noutbox-parked: %" PRIu64 "\noutbox-dropped: %" PRIu64 "\npurging: %" PRIu64
                 "\nbytes-used: %" PRIu64 "\nbytes-free: %" PRIu64 "\nbytes-map: %" PRIu64
                 "\ninstance: %s\n",
                 stat.tenants, stat.devices, stat.credentials, stat.outbox.waiting[STORE_EVENTS],
                 stat.outbox.waiting[STORE_NOTIFICATIONS], stat.outbox.parked, stat.outbox.dropped,
                 stat.purging, stat.bytes_used, bytes_free, stat.bytes_map, instance);
    return KS_OK;
}

static enum ks_status look(struct store *store, struct kv *kv, bool verify, struct ks_failure *why)
{
    struct store_txn *txn = NULL;
    uint64_t bytes_free = 0;
    enum ks_status st = lmdb_free_bytes(kv, &bytes_free, why);

    if (st == KS_OK) {
        st = store_reader_open(store, &txn, why);
    }

    if (st == KS_OK) {
        st = store_reader_renew(txn, why);
    }
    if (st == KS_OK) {
        st = print_stat(txn, bytes_free, why);
    }
    if (st == KS_OK && verify) {
        st = store_verify(txn, print_found, NULL, why);
        if (st == KS_OK) {
            (void)printf("verified: every record, index and counter is consistent\n");
        }
    }
    store_reader_close(txn);
    return st;
}

int command_stat(const struct command_options *options)
{
    struct settings settings;
    struct store *store = NULL;
    struct kv *kv = NULL;
    struct ks_failure why = {0};
    enum ks_status st = KS_INVALID;

    if (command_settings(options, &settings)) {
        const struct lmdb_kv_options kv_options = {
            .dir = settings.data_dir,
            .map_size = (uint64_t)settings.store_map_size,
            .max_readers = STAT_READERS,
            .read_only = true,
        };

        st = lmdb_kv_open(&kv, &kv_options, &why);
        if (st == KS_OK) {
            st = store_open(&store, kv, &why);
        }
        if (st == KS_OK) {
            st = look(store, kv, options->verify, &why);
        }
        if (st != KS_OK) {
            (void)fprintf(stderr, "koseki stat: %s\n", why.text);
        }
    }
    store_close(store);
    settings_done(&settings);
    return st == KS_OK ? EXIT_OK : EXIT_FAILED;
}
