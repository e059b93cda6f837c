/*
 * raw: what disk and LMDB alone can do with records that Koseki has written.
 *
 *     raw DIR TO COUNT CLIENTS         the devices that bench_http has created, so many
 *     raw DIR TO provisioned CLIENTS   each credential of the store with its device
 *
 * Writes the records, found in the store in DIR, to a new environment in TO, in the order in which
 * they were created (of provisioned ones: the order of the credentials' names), each with the
 * counter of its tenant, with the service's own flags. Twice: CLIENTS of them in each commit, which
 * nobody can surpass who has so many in flight; and handed over by as many threads, each waiting
 * for the commit of its record, to one that commits all that wait. Prints
 * {"devices","batches","clients"}, the last two in devices a second.
 */
#include <lmdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/clock.h"
#include "ids.h"
#include "store/key.h"
#include "store/record.h"

#define MAP_SIZE ((uint64_t)1 << 40)
enum { CLIENTS_MAX = 1024, COUNTER_SIZE = 24, SPACE = 1 };

struct entry {
    MDB_val key;
    MDB_val value;
};

/* What one request wrote. */
struct record {
    struct entry device;
    struct entry credential; /* no key: none */
};

struct target {
    MDB_env *env;
    MDB_dbi devices;
    MDB_dbi credentials;
    MDB_dbi counters;
    uint64_t written;
};

static struct record *records;
static size_t record_count;

static void must(int rc, const char *what)
{
    if (rc != 0) {
        (void)fprintf(stderr, "raw: %s: %s\n", what, mdb_strerror(rc));
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

static MDB_val copy_of(struct arena *arena, struct span bytes)
{
    struct span copy = arena_span(arena, bytes);
    MDB_val val = {.mv_size = copy.len};

    memcpy(&val.mv_data, &copy.ptr, sizeof(val.mv_data));
    return val;
}

/* Copies, so that nothing of the other file is read while it is measured. */
static struct entry copy_entry(struct arena *arena, MDB_val key, MDB_val value)
{
    return (struct entry){.key = copy_of(arena, span_of(key.mv_data, key.mv_size)),
                          .value = copy_of(arena, span_of(value.mv_data, value.mv_size))};
}

/* The other store. */
struct source {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi devices;
    MDB_dbi credentials;
    struct arena *arena;
};

static void open_source(struct source *source, const char *dir)
{
    source->env = open_env(dir, MDB_RDONLY);
    must(mdb_txn_begin(source->env, NULL, MDB_RDONLY, &source->txn), "read");
    must(mdb_dbi_open(source->txn, "device", 0, &source->devices), "device");
    must(mdb_dbi_open(source->txn, "auth", 0, &source->credentials), "auth");
}

static struct entry find_device(const struct source *source, uint32_t space, struct span id)
{
    struct key key;
    MDB_val value;
    MDB_val found;

    key_of_device(&key, space, id);
    found = copy_of(source->arena, key_span(&key));
    must(mdb_get(source->txn, source->devices, &found, &value), "a device");
    return copy_entry(source->arena, found, value);
}

static void read_created(const struct source *source, uint32_t count)
{
    records = arena_alloc(source->arena, count * sizeof(records[0]));
    for (uint32_t i = 0; i < count; i++) {
        char id[BENCH_ID_MAX];

        bench_id(i, id);
        records[i].device = find_device(source, SPACE, span_cstr(id));
    }
    record_count = count;
}

static void read_provisioned(const struct source *source)
{
    struct store_credential credential;
    MDB_cursor *cursor;
    MDB_stat stat;
    MDB_val key;
    MDB_val value;

    must(mdb_stat(source->txn, source->credentials, &stat), "auth");
    must(mdb_cursor_open(source->txn, source->credentials, &cursor), "cursor");
    records = arena_alloc(source->arena, (stat.ms_entries + 1) * sizeof(records[0]));
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        struct record *record = &records[record_count++];
        bool ok = record_decode_credential(span_of(value.mv_data, value.mv_size), SPAN("any"),
                                           &credential);

        must(ok ? 0 : MDB_CORRUPTED, "a credential");
        record->credential = copy_entry(source->arena, key, value);
        record->device = find_device(source, key_read_space(span_of(key.mv_data, key.mv_size)),
                                     credential.device_id);
    }
    mdb_cursor_close(cursor);
}

static void read_records(const char *dir, struct arena *arena, const char *which)
{
    struct source source = {.arena = arena};

    open_source(&source, dir);
    if (strcmp(which, "provisioned") == 0) {
        read_provisioned(&source);
    } else {
        read_created(&source, (uint32_t)strtoul(which, NULL, 10));
    }
    mdb_txn_abort(source.txn);
    mdb_env_close(source.env);
}

static void open_target(struct target *target, const char *dir, const char *name)
{
    char path[4096];
    MDB_txn *txn;

    (void)mkdir(dir, 0700);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    (void)mkdir(path, 0700);
    *target = (struct target){.env = open_env(path, 0)};
    must(mdb_txn_begin(target->env, NULL, 0, &txn), "write");
    must(mdb_dbi_open(txn, "device", MDB_CREATE, &target->devices), "device");
    must(mdb_dbi_open(txn, "auth", MDB_CREATE, &target->credentials), "auth");
    must(mdb_dbi_open(txn, "tenant_stat", MDB_CREATE, &target->counters), "tenant_stat");
    must(mdb_txn_commit(txn), "commit");
}

static void put(struct target *target, MDB_txn *txn, struct record *record)
{
    unsigned char counter[COUNTER_SIZE] = {0};
    struct key key;
    MDB_val counter_key = {.mv_size = 4, .mv_data = key.bytes};
    MDB_val value = {.mv_size = sizeof(counter), .mv_data = counter};

    key_of_space(&key, SPACE);
    target->written++;
    memcpy(counter, &target->written, sizeof(target->written));
    must(mdb_put(txn, target->devices, &record->device.key, &record->device.value, 0), "put");
    if (record->credential.key.mv_size > 0) {
        must(mdb_put(txn, target->credentials, &record->credential.key, &record->credential.value,
                     0),
             "put");
    }
    must(mdb_put(txn, target->counters, &counter_key, &value, 0), "put");
}

/* ---- so many in each commit ---- */

static double in_batches(const char *to, size_t batch)
{
    struct target target;
    int64_t begin;

    open_target(&target, to, "batches");
    begin = clock_monotonic_us();
    for (size_t at = 0; at < record_count; at += batch) {
        MDB_txn *txn;

        must(mdb_txn_begin(target.env, NULL, 0, &txn), "write");
        for (size_t i = at; i < at + batch && i < record_count; i++) {
            put(&target, txn, &records[i]);
        }
        must(mdb_txn_commit(txn), "commit");
    }
    begin = clock_monotonic_us() - begin;
    mdb_env_close(target.env);
    return (double)record_count * 1e6 / (double)begin;
}

/* ---- by threads that wait ---- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t submitted;
    pthread_cond_t committed;
    struct record *waiting[CLIENTS_MAX];
    size_t count;
    size_t next;
    size_t clients; /* that have not ended */
    uint64_t round; /* of commits: how many are done */
    bool running;   /* another one */
} shop = {.mutex = PTHREAD_MUTEX_INITIALIZER,
          .submitted = PTHREAD_COND_INITIALIZER,
          .committed = PTHREAD_COND_INITIALIZER};

static void *client(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&shop.mutex);
    while (shop.next < record_count) {
        uint64_t round = shop.round + (shop.running ? 2 : 1); /* which takes what waits now */

        shop.waiting[shop.count++] = &records[shop.next++];
        pthread_cond_signal(&shop.submitted);
        while (shop.round < round) {
            pthread_cond_wait(&shop.committed, &shop.mutex);
        }
    }
    shop.clients--;
    pthread_cond_signal(&shop.submitted);
    pthread_mutex_unlock(&shop.mutex);
    return NULL;
}

static void commit_rounds(struct target *target)
{
    struct record *taken[CLIENTS_MAX];

    pthread_mutex_lock(&shop.mutex);
    while (shop.clients > 0) {
        size_t count = shop.count;
        MDB_txn *txn;

        if (count == 0) {
            pthread_cond_wait(&shop.submitted, &shop.mutex);
            continue;
        }
        memcpy(taken, shop.waiting, count * sizeof(taken[0]));
        shop.count = 0;
        shop.running = true;
        pthread_mutex_unlock(&shop.mutex);
        must(mdb_txn_begin(target->env, NULL, 0, &txn), "write");
        for (size_t i = 0; i < count; i++) {
            put(target, txn, taken[i]);
        }
        must(mdb_txn_commit(txn), "commit");
        pthread_mutex_lock(&shop.mutex);
        shop.running = false;
        shop.round++;
        pthread_cond_broadcast(&shop.committed);
    }
    pthread_mutex_unlock(&shop.mutex);
}

static double by_clients(const char *to, size_t clients)
{
    pthread_t threads[CLIENTS_MAX];
    struct target target;
    int64_t begin;

    open_target(&target, to, "clients");
    shop.clients = clients;
    begin = clock_monotonic_us();
    for (size_t i = 0; i < clients; i++) {
        must(pthread_create(&threads[i], NULL, client, NULL), "thread");
    }
    commit_rounds(&target);
    for (size_t i = 0; i < clients; i++) {
        must(pthread_join(threads[i], NULL), "thread");
    }
    begin = clock_monotonic_us() - begin;
    mdb_env_close(target.env);
    return (double)record_count * 1e6 / (double)begin;
}

int main(int argc, char **argv)
{
    struct arena arena;
    size_t clients = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;
    double batches;
    double by;

    if (clients == 0 || clients > CLIENTS_MAX) {
        (void)fprintf(stderr, "usage: raw DIR TO COUNT|provisioned CLIENTS\n");
        return 64;
    }
    arena_init(&arena);
    read_records(argv[1], &arena, argv[3]);
    batches = in_batches(argv[2], clients);
    by = by_clients(argv[2], clients);
    (void)printf("{\"devices\":%zu,\"batches\":%.0f,\"clients\":%.0f}\n", record_count, batches,
                 by);
    arena_done(&arena);
    return 0;
}
