/* The engine on LMDB: what it does with files, folders, other processes and full maps. */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/key.h"
#include "store/kv.h"
#include "store/lmdb/lmdb_kv.h"

#define MIB (UINT64_C(1) << 20)

static struct test_dir dir;

static int set_up(void **state)
{
    (void)state;
    test_log_begin();
    test_dir_make(&dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove(&dir);
    test_log_done();
    return 0;
}

static enum ks_status open_in(const char *path, struct kv **out, struct ks_failure *why)
{
    const struct lmdb_kv_options options = {.dir = path, .map_size = 64 * MIB, .max_readers = 8};

    return lmdb_kv_open(out, &options, why);
}

static struct kv *open_kv(void)
{
    struct kv *kv = NULL;

    assert_ok(open_in(dir.path, &kv, why));
    return kv;
}

static struct kv_txn *begin(struct kv *kv)
{
    struct kv_txn *txn = NULL;

    assert_ok(kv->engine->write_begin(kv, &txn, why));
    return txn;
}

static enum ks_status put_in(struct kv *kv, struct kv_txn *txn, enum kv_table table,
                             struct span key, size_t len, struct ks_failure *why)
{
    char *room = NULL;
    enum ks_status st = kv->engine->put(txn, table, key, len, &room, why);

    if (st == KS_OK) {
        memset(room, 'v', len);
    }
    return st;
}

static enum ks_status put(struct kv *kv, struct kv_txn *txn, struct span key, size_t len,
                          struct ks_failure *why)
{
    return put_in(kv, txn, KV_DEVICE, key, len, why);
}

static void put_one(struct kv *kv, size_t len)
{
    struct kv_txn *txn = begin(kv);

    assert_ok(put(kv, txn, SPAN("key"), len, why));
    assert_ok(kv->engine->commit(txn, why));
}

struct numbered {
    char text[16];
    struct span span;
};

static struct span numbered(struct numbered *out, int number)
{
    (void)snprintf(out->text, sizeof(out->text), "key-%06d", number);
    out->span = span_cstr(out->text);
    return out->span;
}

static void path_of(char *out, size_t size, const char *folder, const char *name)
{
    (void)snprintf(out, size, "%s/%s", folder, name);
}

/* ---- the folder ---- */

static void the_folder_is_made_and_private(void **state)
{
    struct kv *kv = NULL;
    char folder[300];
    char path[400];
    struct stat st;

    (void)state;
    path_of(folder, sizeof(folder), dir.path, "data");
    assert_ok(open_in(folder, &kv, why));
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    for (const char *const *name =
             (const char *const[]){"data.mdb", "lock.mdb", "koseki.lock", NULL};
         *name != NULL; name++) {
        path_of(path, sizeof(path), folder, *name);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    lmdb_kv_close(kv);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    struct ks_failure failure = {0};
    struct kv *kv = NULL;
    char folder[300];

    (void)state;
    path_of(folder, sizeof(folder), dir.path, "no/such");
    assert_int_equal(open_in(folder, &kv, &failure), KS_IO);
    assert_non_null(strstr(failure.text, folder));
}

static void reading_alone_makes_nothing(void **state)
{
    struct lmdb_kv_options options = {
        .dir = dir.path, .map_size = MIB, .max_readers = 8, .read_only = true};
    struct kv *kv = NULL;
    char path[300];

    (void)state;
    assert_status(KS_IO, lmdb_kv_open(&kv, &options, why));
    path_of(path, sizeof(path), dir.path, "data.mdb");
    assert_int_equal(access(path, F_OK), -1);
}

/* ---- transactions on LMDB ---- */

static void the_longest_key_can_be_put_found_and_passed(void **state)
{
    struct kv *kv = open_kv();
    struct kv_txn *txn = begin(kv);
    char text[KV_KEY_MAX];
    struct span found;
    struct span value;
    struct key behind;

    (void)state;
    memset(text, 0xff, sizeof(text));
    assert_ok(put(kv, txn, span_of(text, sizeof(text)), 0, why));
    assert_ok(kv->engine->seek(txn, KV_DEVICE, span_of(NULL, 0), &found, &value, why));
    assert_int_equal(found.len, KV_KEY_MAX);
    assert_int_equal(value.len, 0);
    key_step(&behind, found);
    assert_status(KS_NOT_FOUND,
                  kv->engine->seek(txn, KV_DEVICE, key_span(&behind), &found, &value, why));
    kv->engine->abort(txn);
    lmdb_kv_close(kv);
}

static void a_full_map_is_said_and_what_was_committed_stays(void **state)
{
    const struct lmdb_kv_options options = {.dir = dir.path, .map_size = MIB, .max_readers = 8};
    struct kv *kv = NULL;
    struct kv_txn *txn;
    struct ks_failure failure = {0};
    struct numbered key;
    struct span value;
    enum ks_status st = KS_OK;
    int committed = 0;

    (void)state;
    assert_ok(lmdb_kv_open(&kv, &options, why));
    while (st == KS_OK) {
        txn = begin(kv);
        st = put(kv, txn, numbered(&key, committed), 1000, &failure);
        if (st == KS_OK) {
            st = kv->engine->commit(txn, &failure);
            committed += st == KS_OK;
        } else {
            kv->engine->abort(txn);
        }
    }
    assert_int_equal(st, KS_FULL);
    assert_string_equal(failure.reason, "store-full");
    assert_true(committed > 100);
    assert_ok(kv->engine->read_begin(kv, &txn, why));
    for (int i = 0; i < committed; i++) {
        assert_ok(kv->engine->get(txn, KV_DEVICE, numbered(&key, i), &value, why));
        assert_int_equal(value.len, 1000);
    }
    assert_status(KS_NOT_FOUND,
                  kv->engine->get(txn, KV_DEVICE, numbered(&key, committed), &value, why));
    kv->engine->read_end(txn);
    lmdb_kv_close(kv);
}

/* ---- files that are no store of ours ---- */

static void write_file(const char *folder, const void *bytes, size_t len)
{
    char path[400];
    FILE *file;

    path_of(path, sizeof(path), folder, "data.mdb");
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static char *read_data(size_t *len)
{
    char path[400];
    struct stat st;
    FILE *file;
    char *bytes;

    path_of(path, sizeof(path), dir.path, "data.mdb");
    assert_int_equal(stat(path, &st), 0);
    bytes = malloc((size_t)st.st_size);
    file = fopen(path, "rb");
    assert_non_null(bytes);
    assert_non_null(file);
    *len = fread(bytes, 1, (size_t)st.st_size, file);
    assert_int_equal(*len, st.st_size);
    (void)fclose(file);
    return bytes;
}

static void assert_is_refused(const char *what)
{
    struct ks_failure failure = {0};
    struct kv *kv = NULL;
    enum ks_status st = open_in(dir.path, &kv, &failure);

    if (st != KS_CORRUPT || failure.reason == NULL || strcmp(failure.reason, "not-a-store") != 0) {
        fail_msg("%s: %s: %s", what, ks_status_name(st), failure.text);
    }
    assert_non_null(strstr(failure.text, dir.path));
}

static void foreign_files_are_refused(void **state)
{
    static const char zeros[8192];
    char noise[8192];
    size_t len;
    char *bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (char)(i * 131 + i / 7);
    }
    write_file(dir.path, "hello", 5);
    assert_is_refused("text");
    write_file(dir.path, zeros, sizeof(zeros));
    assert_is_refused("zeros");
    write_file(dir.path, noise, sizeof(noise));
    assert_is_refused("noise");
    write_file(dir.path, NULL, 0);
    lmdb_kv_close(open_kv()); /* nothing yet: made */
    bytes = read_data(&len);
    bytes[20]++; /* version */
    write_file(dir.path, bytes, len);
    assert_is_refused("version");
    bytes[20]--;
    bytes[40]++; /* page size */
    write_file(dir.path, bytes, len);
    assert_is_refused("page size");
    bytes[40]--;
    bytes[4096 + 16]++; /* the second page's magic */
    write_file(dir.path, bytes, len);
    assert_is_refused("second meta page");
    free(bytes);
}

static void an_lmdb_file_of_another_program_is_left_alone(void **state)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi = 0;
    MDB_val val = {.mv_size = 5, .mv_data = (char[]){"other"}};
    MDB_stat before;

    (void)state;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, dir.path, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &val, &val, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_is_refused("another program's");
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, dir.path, 0, 0600), 0);
    assert_int_equal(mdb_env_stat(env, &before), 0);
    assert_int_equal(before.ms_entries, 1);
    mdb_env_close(env);
}

/* ---- cut files ---- */

enum { ENTRIES = 600, LARGE_EVERY = 20, LARGE = 9000, VERY_LARGE = 2 << 20 };

static size_t value_len(int i)
{
    return i % LARGE_EVERY == 0 ? LARGE : 150;
}

/* Several levels of pages, a table with values on pages of their own and one without, a free list.
 */
static void fill(void)
{
    struct kv *kv = open_kv();

    for (int round = 0; round < 3; round++) {
        struct kv_txn *txn = begin(kv);
        struct numbered key;

        for (int i = 0; i < ENTRIES; i++) {
            assert_ok(put(kv, txn, numbered(&key, i), value_len(i), why));
            assert_ok(put_in(kv, txn, KV_AUTH, numbered(&key, i), 1, why));
        }
        assert_ok(kv->engine->commit(txn, why));
    }
    put_one(kv, VERY_LARGE); /* the pages at the end of the file are read by nothing but a get */
    lmdb_kv_close(kv);
}

static void assert_all_is_there(struct kv *kv)
{
    struct kv_txn *txn = NULL;
    struct numbered key;
    struct span value;

    assert_ok(kv->engine->read_begin(kv, &txn, why));
    for (int i = 0; i < ENTRIES; i++) {
        assert_ok(kv->engine->get(txn, KV_DEVICE, numbered(&key, i), &value, why));
        assert_int_equal(value.len, value_len(i));
        assert_int_equal(value.ptr[value.len - 1], 'v');
        assert_ok(kv->engine->get(txn, KV_AUTH, key.span, &value, why));
    }
    assert_ok(kv->engine->get(txn, KV_DEVICE, SPAN("key"), &value, why));
    assert_int_equal(value.ptr[value.len - 1], 'v');
    kv->engine->read_end(txn);
    put_one(kv, 1); /* reads the free list */
}

static void a_file_cut_anywhere_is_refused_or_whole(void **state)
{
    struct kv *whole;
    size_t len;
    size_t refused = 0;
    char *bytes;

    (void)state;
    fill();
    bytes = read_data(&len);
    for (size_t cut = 512; cut < len; cut += len / 500 / 512 * 512) {
        struct ks_failure failure = {0};
        struct kv *kv = NULL;
        enum ks_status st;

        write_file(dir.path, bytes, cut);
        st = open_in(dir.path, &kv, &failure);
        if (st == KS_OK) {
            assert_all_is_there(kv);
            lmdb_kv_close(kv);
            continue;
        }
        assert_int_equal(st, KS_CORRUPT);
        assert_string_equal(failure.reason, "not-a-store");
        refused++;
    }
    assert_true(refused > 10);
    write_file(dir.path, bytes, len);
    free(bytes);
    whole = open_kv();
    assert_all_is_there(whole);
    lmdb_kv_close(whole);
}

/* LMDB counts pages that were taken and given back in one transaction, but does not write them. */
static void a_file_that_is_shorter_than_its_count_is_whole(void **state)
{
    struct kv *kv;
    struct kv_txn *txn;
    struct kv_stat stat_before;
    struct numbered key;
    size_t len;

    (void)state;
    fill();
    kv = open_kv();
    txn = begin(kv);
    for (int i = ENTRIES; i < 3 * ENTRIES; i++) {
        assert_ok(put(kv, txn, numbered(&key, i), 2000, why));
    }
    for (int i = 3 * ENTRIES - 1; i >= ENTRIES; i--) {
        assert_ok(kv->engine->del(txn, KV_DEVICE, numbered(&key, i), why));
    }
    assert_ok(kv->engine->commit(txn, why));
    assert_ok(kv->engine->read_begin(kv, &txn, why));
    assert_ok(kv->engine->stat(txn, &stat_before, why));
    kv->engine->read_end(txn);
    lmdb_kv_close(kv);
    free(read_data(&len));
    assert_true(len < stat_before.bytes_used);
    kv = open_kv();
    assert_all_is_there(kv);
    lmdb_kv_close(kv);
}

/* ---- other processes: this program again ---- */

static int child(const char *what, const char *folder)
{
    struct lmdb_kv_options options = {.dir = folder, .map_size = 64 * MIB, .max_readers = 8};
    struct kv *kv = NULL;
    struct kv_txn *txn = NULL;
    struct span value;
    enum ks_status st;

    options.read_only = strcmp(what, "serve") != 0;
    st = lmdb_kv_open(&kv, &options, NULL);
    if (st == KS_OK) {
        st = kv->engine->read_begin(kv, &txn, NULL);
    }
    if (st == KS_OK) {
        st = kv->engine->get(txn, KV_DEVICE, SPAN("key"), &value, NULL);
    }
    if (strcmp(what, "die-reading") == 0) {
        _exit((int)st);
    }
    if (txn != NULL) {
        kv->engine->read_end(txn);
    }
    if (kv != NULL) {
        lmdb_kv_close(kv);
    }
    return (int)st;
}

static enum ks_status in_another_process(const char *what)
{
    char program[] = "/proc/self/exe";
    char act[32];
    char *argv[] = {program, act, dir.path, NULL};
    pid_t pid;
    int status = 0;

    (void)snprintf(act, sizeof(act), "%s", what);
    assert_int_equal(posix_spawn(&pid, program, NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return (enum ks_status)WEXITSTATUS(status);
}

static void a_folder_is_served_once_and_read_beside(void **state)
{
    struct kv *kv = open_kv();

    (void)state;
    assert_int_equal(in_another_process("serve"), KS_BUSY);
    assert_int_equal(in_another_process("read"), KS_NOT_FOUND);
    put_one(kv, 1);
    assert_int_equal(in_another_process("read"), KS_OK);
    lmdb_kv_close(kv);
    assert_int_equal(in_another_process("read"), KS_OK);
    assert_int_equal(in_another_process("serve"), KS_OK);
}

static void the_place_of_a_dead_reader_is_taken_again(void **state)
{
    const struct lmdb_kv_options options = {
        .dir = dir.path, .map_size = 64 * MIB, .max_readers = 2};
    struct kv *kv = NULL;
    struct kv_txn *readers[3] = {NULL};
    struct ks_failure failure = {0};

    (void)state;
    assert_ok(lmdb_kv_open(&kv, &options, why));
    put_one(kv, 1);
    assert_ok(kv->engine->read_begin(kv, &readers[0], why));
    assert_int_equal(in_another_process("die-reading"), KS_OK);
    assert_ok(kv->engine->read_begin(kv, &readers[1], why));
    assert_int_equal(kv->engine->read_begin(kv, &readers[2], &failure), KS_BUSY);
    assert_string_equal(failure.reason, "busy");
    kv->engine->read_end(readers[0]);
    assert_ok(kv->engine->read_begin(kv, &readers[2], why));
    kv->engine->read_end(readers[1]);
    kv->engine->read_end(readers[2]);
    lmdb_kv_close(kv);
}

int main(int argc, char **argv)
{
#define LMDB_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LMDB_TEST(the_folder_is_made_and_private),
        LMDB_TEST(a_folder_that_cannot_be_made_is_named),
        LMDB_TEST(reading_alone_makes_nothing),
        LMDB_TEST(the_longest_key_can_be_put_found_and_passed),
        LMDB_TEST(a_full_map_is_said_and_what_was_committed_stays),
        LMDB_TEST(foreign_files_are_refused),
        LMDB_TEST(an_lmdb_file_of_another_program_is_left_alone),
        LMDB_TEST(a_file_cut_anywhere_is_refused_or_whole),
        LMDB_TEST(a_file_that_is_shorter_than_its_count_is_whole),
        LMDB_TEST(a_folder_is_served_once_and_read_beside),
        LMDB_TEST(the_place_of_a_dead_reader_is_taken_again),
    };

    if (argc == 3) {
        return child(argv[1], argv[2]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
