/* What the store does when its engine fails, and which stores it opens. */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "store/kv.h"
#include "store/store.h"
#include "support/array_kv.h"
#include "support/fault_kv.h"

static struct array_disk *disk;
static struct kv *kv;
static struct store *store;

static int set_up(void **state)
{
    (void)state;
    disk = array_disk_new();
    kv = fault_kv_open(array_kv_open(disk));
    assert_ok(store_open(&store, kv, why));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store);
    array_disk_free(disk);
    return 0;
}

static enum ks_status insert(struct store_txn *txn, const char *id, struct ks_failure *why)
{
    const struct store_tenant tenant = {
        .id = span_cstr(id), .document = SPAN("{}"), .answer = {.text = SPAN("{}")}};
    uint32_t space;

    return store_tenant_insert(txn, &tenant, &space, why);
}

static void the_first_failure_sticks_and_nothing_is_committed(void **state)
{
    struct ks_failure failure = {0};
    struct store_txn *txn = NULL;
    uint64_t generation = store_tenant_generation(store);
    uint64_t writes;
    uint32_t found;
    size_t commits = fault_kv_commits(kv);

    (void)state;
    assert_ok(store_write_begin(store, &txn, why));
    fault_kv_fail_puts(kv, 2, KS_FULL);
    assert_int_equal(insert(txn, "T1", &failure), KS_FULL);
    assert_string_equal(failure.reason, "injected");
    fault_kv_fail_puts(kv, 0, KS_OK);
    writes = store_txn_writes(txn);
    assert_int_equal(insert(txn, "T2", &failure), KS_FULL);
    assert_int_equal(store_tenant_find(txn, SPAN("T1"), &found, &failure), KS_FULL);
    assert_string_equal(failure.reason, "injected");
    assert_int_equal(store_txn_error(txn, &failure), KS_FULL);
    assert_int_equal(store_txn_writes(txn), writes);
    assert_int_equal(store_write_commit(txn, &failure), KS_FULL);
    assert_string_equal(failure.reason, "injected");
    assert_int_equal(fault_kv_commits(kv), commits);
    assert_true(store_tenant_generation(store) == generation);
    assert_ok(store_write_begin(store, &txn, why));
    assert_status(KS_NOT_FOUND, store_tenant_find(txn, SPAN("T1"), &found, why));
    assert_ok(insert(txn, "T1", why));
    assert_ok(store_write_commit(txn, why));
}

static void a_commit_that_fails_moves_no_generation(void **state)
{
    struct store_txn *txn = NULL;
    uint64_t generation = store_tenant_generation(store);

    (void)state;
    fault_kv_fail_commits(kv, KS_DISK_FULL);
    assert_ok(store_write_begin(store, &txn, why));
    assert_ok(insert(txn, "T1", why));
    assert_status(KS_DISK_FULL, store_write_commit(txn, why));
    assert_true(store_tenant_generation(store) == generation);
}

static void answers_do_not_stick(void **state)
{
    struct store_txn *txn = NULL;
    uint32_t found;

    (void)state;
    assert_ok(store_write_begin(store, &txn, why));
    assert_ok(insert(txn, "T1", why));
    assert_status(KS_EXISTS, insert(txn, "T1", why));
    assert_status(KS_NOT_FOUND, store_tenant_find(txn, SPAN("T2"), &found, why));
    assert_ok(store_txn_error(txn, why));
    assert_ok(store_write_commit(txn, why));
}

static void put_raw(struct kv *raw, enum kv_table table, struct span key, struct span value)
{
    struct kv_txn *txn = NULL;
    char *room = NULL;

    assert_ok(raw->engine->write_begin(raw, &txn, why));
    assert_ok(raw->engine->put(txn, table, key, value.len, &room, why));
    memcpy(room, value.ptr, value.len);
    assert_ok(raw->engine->commit(txn, why));
}

static void assert_is_refused(struct kv *raw, const char *reason)
{
    struct ks_failure failure = {0};
    struct store *refused = NULL;

    assert_int_equal(store_open(&refused, raw, &failure), KS_CORRUPT);
    assert_non_null(failure.reason);
    assert_string_equal(failure.reason, reason);
    raw->engine->close(raw); /* it stayed ours */
}

static void a_store_of_a_newer_format_is_refused(void **state)
{
    (void)state;
    put_raw(kv, KV_META, SPAN("format"), SPAN("\x02\0\0\0\0\0\0\0"));
    assert_is_refused(array_kv_open(disk), "newer-format");
}

static void a_store_without_an_instance_is_refused(void **state)
{
    (void)state;
    put_raw(kv, KV_META, SPAN("instance"), SPAN("short"));
    assert_is_refused(array_kv_open(disk), "not-a-store");
}

static void data_without_a_format_is_not_taken_for_a_new_store(void **state)
{
    struct kv *raw = array_kv_open(NULL);

    (void)state;
    put_raw(raw, KV_DEVICE, SPAN("x"), SPAN("y"));
    assert_is_refused(raw, "not-a-store");
}

static void a_store_that_cannot_be_made_says_why(void **state)
{
    struct ks_failure failure = {0};
    struct store *refused = NULL;
    struct kv *raw = fault_kv_open(array_kv_open(NULL));

    (void)state;
    fault_kv_fail_commits(raw, KS_DISK_FULL);
    assert_int_equal(store_open(&refused, raw, &failure), KS_DISK_FULL);
    assert_string_equal(failure.reason, "injected");
    raw->engine->close(raw);
}

int main(void)
{
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORE_TEST(the_first_failure_sticks_and_nothing_is_committed),
        STORE_TEST(a_commit_that_fails_moves_no_generation),
        STORE_TEST(answers_do_not_stick),
        STORE_TEST(a_store_of_a_newer_format_is_refused),
        STORE_TEST(a_store_without_an_instance_is_refused),
        STORE_TEST(data_without_a_format_is_not_taken_for_a_new_store),
        STORE_TEST(a_store_that_cannot_be_made_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
