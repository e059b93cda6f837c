/* A new store that takes an empty one's place, and copies: what files there are at each step. */
#include "support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/kv.h"
#include "store/lmdb/lmdb_copy.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/lmdb/lmdb_load.h"
#include "store/store.h"

#define MAP (UINT64_C(64) << 20)

static struct test_dir dir;

static int set_up(void **state)
{
    (void)state;
    test_dir_make(&dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove(&dir);
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[300];

    (void)snprintf(path, sizeof(path), "%s/%s", dir.path, name);
    return path;
}

static bool is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct store *open_store(struct kv **kv, const char *in, bool read_only)
{
    const struct lmdb_kv_options options = {
        .dir = in, .map_size = MAP, .max_readers = 8, .read_only = read_only};
    struct store *store = NULL;

    assert_ok(lmdb_kv_open(kv, &options, why));
    assert_ok(store_open(&store, *kv, why));
    return store;
}

static void put_tenant(struct store *store, const char *id)
{
    const struct store_tenant tenant = {
        .id = span_cstr(id), .document = SPAN("{}"), .answer = {.text = SPAN("{}")}};
    struct store_txn *txn = NULL;
    uint32_t space = 0;

    assert_ok(store_write_begin(store, &txn, why));
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    assert_ok(store_write_commit(txn, why));
}

static void make_store(const char *tenant)
{
    struct kv *kv = NULL;
    struct store *store = open_store(&kv, dir.path, false);

    if (tenant != NULL) {
        put_tenant(store, tenant);
    }
    store_close(store);
}

static bool holds(const char *in, const char *tenant)
{
    struct kv *kv = NULL;
    struct store *store = open_store(&kv, in, true);
    struct store_txn *txn = NULL;
    uint32_t space = 0;
    enum ks_status st;

    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    st = store_tenant_find(txn, span_cstr(tenant), &space, NULL);
    store_reader_close(txn);
    store_close(store);
    return st == KS_OK;
}

/* Fills a new store with one tenant; *out is to be published or not. */
static void fill(struct lmdb_load **out, const char *tenant)
{
    struct kv *kv = NULL;
    struct store *store = NULL;

    assert_ok(lmdb_load_open(out, dir.path, MAP, &kv, why));
    assert_ok(store_open(&store, kv, why));
    put_tenant(store, tenant);
    store_close(store);
}

static void load(const char *tenant)
{
    struct lmdb_load *load = NULL;

    fill(&load, tenant);
    assert_ok(lmdb_load_publish(load, why));
    lmdb_load_close(load);
}

static void assert_refused(enum ks_status expected, const char *text)
{
    struct lmdb_load *load = NULL;
    struct kv *kv = NULL;
    struct ks_failure failure = {0};

    assert_int_equal(lmdb_load_open(&load, dir.path, MAP, &kv, &failure), expected);
    assert_non_null(strstr(failure.text, text));
    assert_false(is_there("import.tmp"));
}

/* ---- loading ---- */

static void a_folder_without_a_store_gets_one(void **state)
{
    struct stat st;

    (void)state;
    load("T");
    assert_true(holds(dir.path, "T"));
    assert_false(is_there("import.tmp"));
    assert_int_equal(stat(path_of("data.mdb"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void an_empty_store_is_replaced(void **state)
{
    (void)state;
    make_store(NULL);
    load("T");
    assert_true(holds(dir.path, "T"));
    make_store("U"); /* it can be served and written */
    assert_true(holds(dir.path, "U"));
}

static void what_is_not_published_changes_nothing(void **state)
{
    struct lmdb_load *load = NULL;

    (void)state;
    make_store(NULL);
    fill(&load, "T");
    assert_true(is_there("import.tmp/data.mdb"));
    lmdb_load_close(load);
    assert_false(is_there("import.tmp"));
    assert_false(holds(dir.path, "T"));
}

static void what_a_crash_left_is_swept(void **state)
{
    struct lmdb_load *load = NULL;

    (void)state;
    for (int serve = 0; serve < 2; serve++) {
        assert_int_equal(mkdir(path_of("import.tmp"), 0700), 0);
        write_file("import.tmp/data.mdb", "half");
        write_file("import.tmp/sort-x", "half");
        if (serve == 1) {
            make_store(NULL);
            assert_false(is_there("import.tmp"));
        } else {
            fill(&load, "T");
            assert_false(is_there("import.tmp/sort-x"));
            lmdb_load_close(load);
        }
    }
}

static void a_store_with_tenants_is_kept(void **state)
{
    (void)state;
    make_store("U");
    assert_refused(KS_EXISTS, "holds 1 tenants");
    assert_true(holds(dir.path, "U"));
}

static void a_file_that_is_no_store_is_kept(void **state)
{
    (void)state;
    write_file("data.mdb", "somebody's");
    assert_refused(KS_CORRUPT, "move it away");
    assert_true(is_there("data.mdb"));
}

static void a_served_folder_is_refused(void **state)
{
    struct kv *kv = NULL;
    struct store *store = open_store(&kv, dir.path, false);

    (void)state;
    assert_refused(KS_BUSY, "served by another process");
    store_close(store);
    load("T");
}

/* A reader of another process, which tells when it reads and waits for the end of its input. */
static pid_t start_reader(int *to_reader)
{
    int down[2];
    int up[2];
    char byte = 'x';
    pid_t pid;

    assert_int_equal(pipe(down), 0);
    assert_int_equal(pipe(up), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct kv *kv = NULL;

        (void)close(down[1]);
        (void)open_store(&kv, dir.path, true);
        _exit(write(up[1], &byte, 1) == 1 && read(down[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(down[0]);
    close(up[1]);
    assert_int_equal(read(up[0], &byte, 1), 1);
    close(up[0]);
    *to_reader = down[1];
    return pid;
}

static void end_reader(pid_t pid, int to_reader)
{
    int status = 0;

    close(to_reader);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_reader_of_another_process_is_waited_for(void **state)
{
    struct lmdb_load *late = NULL;
    struct ks_failure failure = {0};
    int to_reader = -1;
    pid_t pid;

    (void)state;
    make_store(NULL);
    pid = start_reader(&to_reader);
    assert_refused(KS_BUSY, "is reading the store");
    end_reader(pid, to_reader);
    fill(&late, "T");
    pid = start_reader(&to_reader);
    assert_int_equal(lmdb_load_publish(late, &failure), KS_BUSY);
    assert_non_null(strstr(failure.text, "is reading the store"));
    end_reader(pid, to_reader);
    assert_ok(lmdb_load_publish(late, why));
    lmdb_load_close(late);
    assert_true(holds(dir.path, "T"));
}

/* ---- copies ---- */

static enum ks_status copy_to(struct kv *kv, const char *to, struct ks_failure *failure)
{
    struct buf key;
    struct buf value;
    struct lmdb_copy_mark mark;
    enum ks_status st;

    buf_init(&key, 64);
    buf_init(&value, 64);
    store_copy_mark(&key, &value);
    mark = (struct lmdb_copy_mark){.key = buf_span(&key), .value = buf_span(&value)};
    st = lmdb_copy(kv, to, &mark, failure);
    buf_done(&key);
    buf_done(&value);
    return st;
}

static struct uuid instance_of(const char *in, bool read_only)
{
    struct kv *kv = NULL;
    struct store *store = open_store(&kv, in, read_only);
    struct store_txn *txn = NULL;
    struct store_stat stat;

    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    assert_ok(store_stat(txn, &stat, why));
    store_reader_close(txn);
    store_close(store);
    return stat.instance;
}

static bool same(struct uuid a, struct uuid b)
{
    return uuid_eq(&a, &b);
}

/* What it tells is something else than what the original tells, and than what it told when it was
 * restored before. */
static void who_opens_a_copy_to_write_draws_an_instance_id(void **state)
{
    struct kv *kv = NULL;
    struct store *store;
    struct uuid original;
    struct uuid first;
    char to[300];
    char again[300];

    (void)state;
    make_store("T");
    original = instance_of(dir.path, false);
    assert_true(same(instance_of(dir.path, false), original));
    store = open_store(&kv, dir.path, true);
    (void)snprintf(to, sizeof(to), "%s/copy", dir.path);
    (void)snprintf(again, sizeof(again), "%s/again", dir.path);
    assert_ok(copy_to(kv, to, why));
    assert_ok(copy_to(kv, again, why));
    store_close(store);
    assert_true(same(instance_of(to, true), original)); /* nobody has written to it */
    first = instance_of(to, false);
    assert_false(same(first, original));
    assert_true(same(instance_of(to, false), first)); /* once */
    assert_true(holds(to, "T"));
    assert_false(same(instance_of(again, false), first));
    assert_true(same(instance_of(dir.path, false), original));
}

static void a_copy_is_a_store_and_private(void **state)
{
    struct kv *kv = NULL;
    struct store *store;
    struct stat st;
    struct ks_failure failure = {0};
    char to[300];

    (void)state;
    make_store("T");
    store = open_store(&kv, dir.path, true);
    (void)snprintf(to, sizeof(to), "%s/copy/", dir.path);
    assert_ok(copy_to(kv, to, why));
    assert_int_equal(copy_to(kv, to, &failure), KS_EXISTS);
    assert_non_null(strstr(failure.text, to));
    store_close(store);
    assert_true(holds(to, "T"));
    assert_false(is_there("copy/data.mdb.part"));
    assert_int_equal(stat(path_of("copy"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(path_of("copy/data.mdb"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_copy_that_cannot_be_made_leaves_nothing(void **state)
{
    struct kv *kv = NULL;
    struct store *store;
    struct ks_failure failure = {0};
    char to[300];

    (void)state;
    make_store("T");
    store = open_store(&kv, dir.path, true);
    (void)snprintf(to, sizeof(to), "%s/no/such", dir.path);
    assert_int_equal(copy_to(kv, to, &failure), KS_IO);
    assert_non_null(strstr(failure.text, to));
    store_close(store);
    assert_false(is_there("no"));
}

int main(void)
{
#define LOAD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOAD_TEST(a_folder_without_a_store_gets_one),
        LOAD_TEST(an_empty_store_is_replaced),
        LOAD_TEST(what_is_not_published_changes_nothing),
        LOAD_TEST(what_a_crash_left_is_swept),
        LOAD_TEST(a_store_with_tenants_is_kept),
        LOAD_TEST(a_file_that_is_no_store_is_kept),
        LOAD_TEST(a_served_folder_is_refused),
        LOAD_TEST(a_reader_of_another_process_is_waited_for),
        LOAD_TEST(a_copy_is_a_store_and_private),
        LOAD_TEST(who_opens_a_copy_to_write_draws_an_instance_id),
        LOAD_TEST(a_copy_that_cannot_be_made_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
