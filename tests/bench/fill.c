/*
 * fill: stores for benchmarks.
 *
 *     fill clone DIR TENANT COUNT   the device dev-0000000 of the tenant and its credential, made
 *                                   through the management API before, COUNT - 1 times again as
 *                                   dev-0000001 …: records of the true size without COUNT requests
 *     fill raw DIR TO BATCH         every device and credential record of the store in DIR, written
 *                                   to a new LMDB environment in TO with the service's own flags,
 *                                   BATCH devices a commit; prints {"devices","rate"}: what the
 * disk and LMDB alone can do
 */
#include <assert.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/store.h"

#define MAP_SIZE ((uint64_t)1 << 40)
enum { A_TRANSACTION = 10000, ID_AT = 4, ID_LEN = 11 };

static struct ks_failure why;

static void need(enum ks_status st, const char *what)
{
    if (st != KS_OK) {
        (void)fprintf(stderr, "fill: %s: %s %s\n", what, ks_status_name(st), why.text);
        exit(1);
    }
}

/* A copy of a text with dev-0000000 replaced by the id of the same length. */
static struct span renamed(struct arena *arena, struct span text, const char *id)
{
    char *copy = arena_alloc(arena, text.len + 1);
    char *at = copy;

    memcpy(copy, text.ptr, text.len);
    while (text.len >= ID_LEN &&
           (at = memmem(at, (size_t)(copy + text.len - at), "dev-0000000", ID_LEN)) != NULL) {
        memcpy(at, id, ID_LEN);
    }
    return span_of(copy, text.len);
}

static void clone_device(struct store_txn *txn, struct arena *arena, uint32_t space, const char *id)
{
    struct store_device device;
    struct store_credential credential;
    struct store_credential_ref ref = {.type = SPAN("hashed-password"), .auth_id = span_cstr(id)};

    need(store_device_get(txn, space, SPAN("dev-0000000"), &device, &why), "dev-0000000");
    need(store_credential_get(txn, space, ref.type, SPAN("dev-0000000"), &credential, &why),
         "its credential");
    device.id = span_cstr(id);
    device.document = renamed(arena, device.document, id);
    device.answer = renamed(arena, device.answer, id);
    device.credentials = store_credential_refs_encode(arena, &ref, 1);
    credential.type = ref.type;
    credential.auth_id = ref.auth_id;
    credential.device_id = device.id;
    credential.ext = renamed(arena, credential.ext, id);
    credential.document = renamed(arena, credential.document, id);
    credential.answer.text = renamed(arena, credential.answer.text, id);
    credential.answer.segments = arena_span(arena, credential.answer.segments);
    need(store_device_insert(txn, space, &device, &why), "insert a device");
    need(store_credential_put(txn, space, &credential, &why), "put a credential");
}

static int clone(const char *dir, const char *tenant, unsigned count)
{
    const struct lmdb_kv_options kv_options = {.dir = dir, .map_size = MAP_SIZE, .max_readers = 8};
    struct kv *kv;
    struct store *store;
    struct store_txn *txn;
    struct arena arena;
    uint32_t space = 0;
    char id[ID_LEN + 1];

    need(lmdb_kv_open(&kv, &kv_options, &why), dir);
    need(store_open(&store, kv, &why), "open the store");
    arena_init(&arena);
    for (unsigned i = 1; i < count;) {
        need(store_write_begin(store, &txn, &why), "begin");
        need(store_tenant_find(txn, span_cstr(tenant), &space, &why), tenant);
        for (unsigned end = i + A_TRANSACTION; i < count && i < end; i++) {
            (void)snprintf(id, sizeof(id), "dev-%07u", i);
            clone_device(txn, &arena, space, id);
            arena_reset(&arena);
        }
        need(store_write_commit(txn, &why), "commit");
    }
    arena_done(&arena);
    store_close(store);
    return 0;
}

/* ---- raw ---- */

static void must(int rc, const char *what)
{
    if (rc != 0) {
        (void)fprintf(stderr, "fill: %s: %s\n", what, mdb_strerror(rc));
        exit(1);
    }
}

static MDB_env *open_env(const char *path, unsigned flags)
{
    MDB_env *env;

    must(mdb_env_create(&env), "env");
    must(mdb_env_set_mapsize(env, MAP_SIZE), "map size");
    must(mdb_env_set_maxdbs(env, 32), "databases");
    must(mdb_env_open(env, path, flags | MDB_NOTLS | MDB_NORDAHEAD, 0600), path);
    return env;
}

struct table {
    MDB_dbi from;
    MDB_dbi to;
    MDB_cursor *at;
};

static void open_table(struct table *table, MDB_txn *from, MDB_txn *to, const char *name)
{
    must(mdb_dbi_open(from, name, 0, &table->from), name);
    must(mdb_dbi_open(to, name, MDB_CREATE, &table->to), name);
    must(mdb_cursor_open(from, table->from, &table->at), "cursor");
}

static bool copy_next(struct table *table, MDB_txn *to)
{
    MDB_val key;
    MDB_val value;

    if (mdb_cursor_get(table->at, &key, &value, MDB_NEXT) != 0) {
        return false;
    }
    must(mdb_put(to, table->to, &key, &value, 0), "put");
    return true;
}

static int raw(const char *dir, const char *to_dir, unsigned batch)
{
    MDB_env *from_env = open_env(dir, MDB_RDONLY);
    MDB_env *to_env;
    MDB_txn *from;
    MDB_txn *to;
    struct table devices;
    struct table credentials;
    MDB_dbi counters;
    uint64_t count = 0;
    bool more = true;
    int64_t begin;

    (void)mkdir(to_dir, 0700);
    to_env = open_env(to_dir, 0);
    must(mdb_txn_begin(from_env, NULL, MDB_RDONLY, &from), "read");
    must(mdb_txn_begin(to_env, NULL, 0, &to), "write");
    open_table(&devices, from, to, "device");
    open_table(&credentials, from, to, "auth");
    must(mdb_dbi_open(to, "counters", MDB_CREATE, &counters), "counters");
    must(mdb_txn_commit(to), "commit");
    begin = clock_monotonic_us();
    while (more) {
        must(mdb_txn_begin(to_env, NULL, 0, &to), "write");
        for (unsigned i = 0; i < batch && more; i++) {
            char name[] = "devs";
            MDB_val key = {.mv_size = 4, .mv_data = name};
            MDB_val value = {.mv_size = sizeof(count), .mv_data = &count};

            more = copy_next(&devices, to) && copy_next(&credentials, to);
            if (more) {
                count++;
                must(mdb_put(to, counters, &key, &value, 0), "put");
            }
        }
        must(mdb_txn_commit(to), "commit");
    }
    begin = clock_monotonic_us() - begin;
    (void)printf("{\"devices\":%llu,\"rate\":%.0f}\n", (unsigned long long)count,
                 (double)count * 1e6 / (double)begin);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "clone") == 0) {
        return clone(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    }
    if (argc == 5 && strcmp(argv[1], "raw") == 0) {
        return raw(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    }
    (void)fprintf(stderr, "usage: fill clone DIR TENANT COUNT | fill raw DIR TO BATCH\n");
    return 64;
}
