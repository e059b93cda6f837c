/*
 * fill: stores for benchmarks.
 *
 *     fill clone DIR TENANT COUNT   the device dev-0000000 of the tenant and its credential, made
 *                                   through the management API before, COUNT - 1 times again as
 *                                   dev-0000001 …: records of the true size without COUNT requests
 *     fill raw DIR TO BATCH         every device and credential record of the store in DIR, written
 *                                   to a new LMDB environment in TO with the service's own flags,
 *                                   BATCH devices a commit; prints {"devices","rate"}: what disk
 *                                   and LMDB alone can do. In the order of the credentials' names:
 *                                   as they were provisioned. The devices' ids are drawn, so theirs
 *                                   is as random as it was then.
 */
#include <assert.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/key.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/record.h"
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

struct entry {
    MDB_val key;
    MDB_val value;
};

/* What one provisioning wrote. The bytes are the other store's. */
struct records {
    struct entry device;
    struct entry credential;
};

/* A copy of the key: LMDB takes no const. */
static MDB_val copy_of(struct arena *arena, struct span key)
{
    MDB_val val = {.mv_size = key.len, .mv_data = arena_alloc(arena, key.len)};

    memcpy(val.mv_data, key.ptr, key.len);
    return val;
}

/* The credential's device. Keys begin with the tenant's space; the type does not matter here. */
static void find_device(MDB_txn *txn, MDB_dbi devices, struct arena *arena, struct records *found)
{
    struct span key = span_of(found->credential.key.mv_data, found->credential.key.mv_size);
    struct span value = span_of(found->credential.value.mv_data, found->credential.value.mv_size);
    struct store_credential credential;
    struct key device;

    if (!record_decode_credential(value, SPAN("any"), &credential)) {
        (void)fprintf(stderr, "fill: a credential cannot be read\n");
        exit(1);
    }
    key_of_device(&device, key_read_space(key), credential.device_id);
    found->device.key = copy_of(arena, key_span(&device));
    must(mdb_get(txn, devices, &found->device.key, &found->device.value), "its device");
}

static size_t read_records(MDB_txn *txn, struct arena *arena, struct records **out)
{
    struct records *all;
    MDB_cursor *cursor;
    MDB_stat stat;
    MDB_dbi devices;
    MDB_dbi credentials;
    size_t count = 0;

    must(mdb_dbi_open(txn, "device", 0, &devices), "device");
    must(mdb_dbi_open(txn, "auth", 0, &credentials), "auth");
    must(mdb_stat(txn, credentials, &stat), "auth");
    must(mdb_cursor_open(txn, credentials, &cursor), "cursor");
    all = arena_alloc(arena, (stat.ms_entries + 1) * sizeof(*all));
    while (mdb_cursor_get(cursor, &all[count].credential.key, &all[count].credential.value,
                          MDB_NEXT) == 0) {
        find_device(txn, devices, arena, &all[count]);
        count++;
    }
    mdb_cursor_close(cursor);
    *out = all;
    return count;
}

struct target {
    MDB_env *env;
    MDB_dbi devices;
    MDB_dbi credentials;
    MDB_dbi counters;
};

static void make_target(struct target *target, const char *dir)
{
    MDB_txn *txn;

    (void)mkdir(dir, 0700);
    target->env = open_env(dir, 0);
    must(mdb_txn_begin(target->env, NULL, 0, &txn), "write");
    must(mdb_dbi_open(txn, "device", MDB_CREATE, &target->devices), "device");
    must(mdb_dbi_open(txn, "auth", MDB_CREATE, &target->credentials), "auth");
    must(mdb_dbi_open(txn, "counters", MDB_CREATE, &target->counters), "counters");
    must(mdb_txn_commit(txn), "commit");
}

static void write_records(const struct target *target, struct records *records, size_t from,
                          size_t to)
{
    char name[] = "devs";
    MDB_val key = {.mv_size = 4, .mv_data = name};
    MDB_txn *txn;

    must(mdb_txn_begin(target->env, NULL, 0, &txn), "write");
    for (size_t i = from; i < to; i++) {
        uint64_t count = i + 1;
        MDB_val value = {.mv_size = sizeof(count), .mv_data = &count};

        must(mdb_put(txn, target->devices, &records[i].device.key, &records[i].device.value, 0),
             "put");
        must(mdb_put(txn, target->credentials, &records[i].credential.key,
                     &records[i].credential.value, 0),
             "put");
        must(mdb_put(txn, target->counters, &key, &value, 0), "put");
    }
    must(mdb_txn_commit(txn), "commit");
}

static int raw(const char *dir, const char *to_dir, size_t batch)
{
    MDB_env *env = open_env(dir, MDB_RDONLY);
    struct target target;
    struct records *records;
    struct arena arena;
    MDB_txn *txn;
    size_t count;
    int64_t begin;

    arena_init(&arena);
    make_target(&target, to_dir);
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "read");
    count = read_records(txn, &arena, &records);
    begin = clock_monotonic_us();
    for (size_t at = 0; at < count; at += batch) {
        write_records(&target, records, at, at + batch < count ? at + batch : count);
    }
    begin = clock_monotonic_us() - begin;
    (void)printf("{\"devices\":%zu,\"rate\":%.0f}\n", count, (double)count * 1e6 / (double)begin);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    mdb_env_close(target.env);
    arena_done(&arena);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "clone") == 0) {
        return clone(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10));
    }
    if (argc == 5 && strcmp(argv[1], "raw") == 0) {
        return raw(argv[2], argv[3], strtoul(argv[4], NULL, 10));
    }
    (void)fprintf(stderr, "usage: fill clone DIR TENANT COUNT | fill raw DIR TO BATCH\n");
    return 64;
}
