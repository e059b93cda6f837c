/*
 * raw: what disk and LMDB alone can do with the records that bench_http has created.
 *
 *     raw DIR TO COUNT CLIENTS
 *
 * Writes the records of those devices, found in the store in DIR, to a new environment in TO, in
 * the order in which they were created, each with the counter of its tenant, with the service's own
 * flags. Twice: CLIENTS of them in each commit, which nobody can surpass who has so many in flight;
 * and handed over by as many threads, each waiting for the commit of its record, to one that
 * commits all that wait. Prints {"devices","batches","clients"}, both in records a second.
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

#define MAP_SIZE ((uint64_t)1 << 40)
enum { CLIENTS_MAX = 1024, COUNTER_SIZE = 24, SPACE = 1 };

struct record {
    MDB_val key;
    MDB_val value;
};

struct target {
    MDB_env *env;
    MDB_dbi devices;
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
static void read_records(const char *dir, struct arena *arena, uint32_t count)
{
    MDB_env *env = open_env(dir, MDB_RDONLY);
    MDB_txn *txn;
    MDB_dbi devices;

    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "read");
    must(mdb_dbi_open(txn, "device", 0, &devices), "device");
    records = arena_alloc(arena, count * sizeof(records[0]));
    for (uint32_t i = 0; i < count; i++) {
        char id[BENCH_ID_MAX];
        struct key key;
        MDB_val value;

        bench_id(i, id);
        key_of_device(&key, SPACE, span_cstr(id));
        records[i].key = copy_of(arena, key_span(&key));
        must(mdb_get(txn, devices, &records[i].key, &value), id);
        records[i].value = copy_of(arena, span_of(value.mv_data, value.mv_size));
    }
    record_count = count;
    mdb_txn_abort(txn);
    mdb_env_close(env);
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
    must(mdb_put(txn, target->devices, &record->key, &record->value, 0), "put");
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
        (void)fprintf(stderr, "usage: raw DIR TO COUNT CLIENTS\n");
        return 64;
    }
    arena_init(&arena);
    read_records(argv[1], &arena, (uint32_t)strtoul(argv[3], NULL, 10));
    batches = in_batches(argv[2], clients);
    by = by_clients(argv[2], clients);
    (void)printf("{\"devices\":%zu,\"batches\":%.0f,\"clients\":%.0f}\n", record_count, batches,
                 by);
    arena_done(&arena);
    return 0;
}
