/* Filling a store in any order gives the tables that inserting gives, on both engines. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "store/kv.h"
#include "store/lmdb/lmdb_kv.h"
#include "store/load_kv.h"
#include "store/store.h"
#include "support/array_kv.h"

enum { TENANTS = 3, DEVICES = 41, ORDERS = 7 };

static struct test_dir dir;
static struct arena arena;
static uint64_t progress_done;
static uint64_t progress_all;

static int set_up(void **state)
{
    (void)state;
    test_dir_make(&dir);
    arena_init(&arena);
    progress_done = progress_all = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    test_dir_remove(&dir);
    return 0;
}

/* ---- engines ---- */

static struct kv *array_engine(const char *name)
{
    (void)name;
    return array_kv_open(NULL);
}

static struct kv *lmdb_engine(const char *name)
{
    char path[300];
    const struct lmdb_kv_options options = {
        .dir = path, .map_size = UINT64_C(1) << 28, .max_readers = 8, .unseen = true};
    struct kv *kv = NULL;

    (void)snprintf(path, sizeof(path), "%s/%s", dir.path, name);
    assert_ok(lmdb_kv_open(&kv, &options, why));
    return kv;
}

typedef struct kv *open_engine(const char *name);

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
    (void)arg;
    assert_true(done >= progress_done && done <= all);
    progress_done = done;
    progress_all = all;
}

static struct kv *loading(struct kv *behind)
{
    const struct load_kv_options options = {
        .dir = dir.path, .memory = 4096, .progress = on_progress};

    return load_kv_open(behind, &options);
}

/* ---- content ---- */

static struct span text(const char *before, int number)
{
    char room[64];

    (void)snprintf(room, sizeof(room), "%s%d", before, number);
    return arena_span(&arena, span_cstr(room));
}

static void put_tenant(struct store_txn *txn, int number, uint32_t *space)
{
    const struct store_ca cas[] = {
        {.subject_dn = SPAN("CN=shared"), .public_key = SPAN("one")},
        {.subject_dn = SPAN("CN=shared"), .public_key = SPAN("two")},
        {.subject_dn = text("CN=own-", number), .public_key = SPAN("three")}};
    const struct store_tenant tenant = {.id = text("T", TENANTS - number),
                                        .alias = text("alias-", number),
                                        .trust_anchor_group = SPAN("all"),
                                        .max_devices = -1,
                                        .max_credentials_per_device = -1,
                                        .cas = store_cas_encode(&arena, cas, 3),
                                        .document = SPAN("{}"),
                                        .answer = {.text = SPAN("{\"trusted-ca\":[]}")}};

    assert_ok(store_tenant_insert(txn, &tenant, space, why));
}

static void put_credential(struct store_txn *txn, uint32_t space, struct span device,
                           const struct store_credential_ref *ref)
{
    const struct store_credential credential = {.type = ref->type,
                                                .auth_id = ref->auth_id,
                                                .device_id = device,
                                                .document = SPAN("{\"a\":1}"),
                                                .answer = {.text = SPAN("{}")}};

    assert_ok(store_credential_put(txn, space, &credential, why));
}

static void put_device(struct store_txn *txn, uint32_t space, int number)
{
    const struct span gateways[] = {SPAN("G1"), text("G", number % 5), SPAN("G1"), SPAN("")};
    const struct span groups[] = {SPAN("red"), text("g", number % 3), SPAN("red")};
    const struct store_credential_ref refs[] = {
        {.type = SPAN("psk"), .auth_id = text("", number)},
        {.type = SPAN("x509-cert"), .auth_id = text("CN=", number)}};
    const struct store_device device = {
        .id = text("D", number),
        .flags = STORE_DEVICE_ENABLED,
        .via = store_strings_encode(&arena, gateways, number % 2 == 0 ? 4 : 0),
        .member_of = store_strings_encode(&arena, groups, number % 2 == 0 ? 0 : 3),
        .credentials = store_credential_refs_encode(&arena, refs, (size_t)(number % 3)),
        .document = SPAN("{}"),
        .answer = SPAN("{\"device-id\":\"x\"}")};

    assert_ok(store_device_insert(txn, space, &device, why));
    for (int i = 0; i < number % 3; i++) {
        put_credential(txn, space, device.id, &refs[i]);
    }
}

/* Tenants, each followed by its devices (a prime number), in one of several orders. */
static void put_all(struct kv *kv, struct store_txn *txn, unsigned order, bool with_places)
{
    uint64_t place = 0;

    for (int t = 0; t < TENANTS; t++) {
        uint32_t space = 0;

        if (with_places) {
            load_kv_at(kv, ++place);
        }
        put_tenant(txn, t, &space);
        for (unsigned i = 0; i < DEVICES; i++) {
            if (with_places) {
                load_kv_at(kv, ++place);
            }
            put_device(txn, space, (int)((i * (2 * order + 1) + order) % DEVICES));
        }
    }
}

static struct store *stored(struct kv *kv, struct kv *to_fill, unsigned order)
{
    struct store *store = NULL;
    struct store_txn *txn = NULL;

    assert_ok(store_open(&store, kv, why));
    assert_ok(store_write_begin(store, &txn, why));
    put_all(to_fill, txn, order, to_fill != NULL);
    assert_ok(store_write_commit(txn, why));
    return store;
}

static void fail_on(const char *found, void *arg)
{
    (void)arg;
    fail_msg("inconsistent: %s", found);
}

static void verify(struct store *store)
{
    struct store_txn *txn = NULL;

    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    assert_ok(store_verify(txn, fail_on, NULL, why));
    store_reader_close(txn);
}

/* ---- comparing ---- */

static enum ks_status next(struct kv *kv, struct kv_txn *txn, enum kv_table table, struct buf *from,
                           struct span *key, struct span *value)
{
    enum ks_status st = kv->engine->seek(txn, table, buf_span(from), key, value, NULL);

    if (st == KS_OK) {
        buf_clear(from);
        buf_add_span(from, *key);
        buf_add_char(from, '\0');
    }
    return st;
}

static void assert_same_table(struct kv *a, struct kv_txn *in_a, struct kv *b, struct kv_txn *in_b,
                              enum kv_table table)
{
    struct buf from_a;
    struct buf from_b;
    enum ks_status st = KS_OK;

    buf_init(&from_a, 0);
    buf_init(&from_b, 0);
    while (st == KS_OK) {
        struct span key_a;
        struct span key_b;
        struct span value_a;
        struct span value_b;

        st = next(a, in_a, table, &from_a, &key_a, &value_a);
        assert_int_equal(st, next(b, in_b, table, &from_b, &key_b, &value_b));
        if (st == KS_OK) {
            assert_true(span_eq(key_a, key_b));
            assert_true(span_eq(key_a, SPAN("instance")) || span_eq(value_a, value_b));
        }
    }
    assert_int_equal(st, KS_NOT_FOUND);
    buf_done(&from_a);
    buf_done(&from_b);
}

static void assert_same(struct kv *a, struct kv *b)
{
    struct kv_txn *in_a = NULL;
    struct kv_txn *in_b = NULL;

    assert_ok(a->engine->read_begin(a, &in_a, why));
    assert_ok(b->engine->read_begin(b, &in_b, why));
    for (int table = 0; table < KV_TABLES; table++) {
        assert_same_table(a, in_a, b, in_b, (enum kv_table)table);
    }
    a->engine->read_end(in_a);
    b->engine->read_end(in_b);
}

static void fills_as_inserting_does(open_engine *open)
{
    struct kv *inserted = open("inserted");
    struct store *model = stored(inserted, NULL, 0);

    for (unsigned order = 0; order < ORDERS; order++) {
        char name[16];
        struct kv *load;
        struct store *filled;

        (void)snprintf(name, sizeof(name), "filled-%u", order);
        load = loading(open(name));
        filled = stored(load, load, order);
        assert_same(inserted, load);
        verify(filled);
        assert_true(progress_done > TENANTS * DEVICES && progress_done == progress_all);
        progress_done = 0;
        store_close(filled);
    }
    store_close(model);
}

static void sorted_arrays_are_filled_as_inserting_does(void **state)
{
    (void)state;
    fills_as_inserting_does(array_engine);
}

static void lmdb_is_filled_as_inserting_does(void **state)
{
    (void)state;
    fills_as_inserting_does(lmdb_engine);
}

/* ---- what is there twice ---- */

static void put_taken(struct store_txn *txn, uint32_t space, struct span device)
{
    const struct store_credential_ref taken = {.type = SPAN("psk"), .auth_id = SPAN("taken")};
    struct store_device owner = {.id = device, .document = SPAN("{}"), .answer = SPAN("{}")};

    owner.credentials = store_credential_refs_encode(&arena, &taken, 1);
    assert_ok(store_device_insert(txn, space, &owner, why));
    put_credential(txn, space, device, &taken);
}

static void twice(struct store_txn *txn, struct kv *kv, enum kv_table what)
{
    struct store_tenant tenant = {.id = SPAN("T"),
                                  .alias = SPAN("alias"),
                                  .document = SPAN("{}"),
                                  .answer = {.text = SPAN("{}")}};
    uint32_t space = 0;

    load_kv_at(kv, 10);
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    put_taken(txn, space, SPAN("D"));
    load_kv_at(kv, 20);
    if (what == KV_DEVICE) {
        const struct store_device again = {
            .id = SPAN("D"), .document = SPAN("{}"), .answer = SPAN("{}")};

        assert_ok(store_device_insert(txn, space, &again, why));
    } else if (what == KV_AUTH) {
        put_taken(txn, space, SPAN("E"));
    } else {
        tenant.id = what == KV_TENANT_ID ? tenant.id : SPAN("U");
        tenant.alias = what == KV_TENANT_ALIAS ? tenant.alias : span_of(NULL, 0);
        assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    }
}

static void a_second_of_one_key_is_told_with_both_places(void **state)
{
    static const enum kv_table tables[] = {KV_TENANT_ID, KV_TENANT_ALIAS, KV_DEVICE, KV_AUTH};

    (void)state;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct kv *load = loading(array_kv_open(NULL));
        struct load_conflict conflict = {.first = 0};
        struct ks_failure failure = {0};
        struct store *store = NULL;
        struct store_txn *txn = NULL;

        assert_ok(store_open(&store, load, why));
        assert_false(load_kv_conflict(load, &conflict));
        assert_ok(store_write_begin(store, &txn, why));
        twice(txn, load, tables[i]);
        assert_int_equal(store_write_commit(txn, &failure), KS_EXISTS);
        assert_true(failure.text[0] != '\0');
        assert_true(load_kv_conflict(load, &conflict));
        assert_int_equal(conflict.table, tables[i]);
        assert_int_equal(conflict.first, 10);
        assert_int_equal(conflict.second, 20);
        store_close(store);
    }
}

static void other_tenants_may_use_the_same_names(void **state)
{
    struct kv *load = loading(array_kv_open(NULL));
    struct store *store = NULL;
    struct store_txn *txn = NULL;

    (void)state;
    assert_ok(store_open(&store, load, why));
    assert_ok(store_write_begin(store, &txn, why));
    for (int i = 0; i < 2; i++) {
        uint32_t space = 0;

        put_tenant(txn, i, &space);
        put_taken(txn, space, SPAN("D"));
    }
    assert_ok(store_write_commit(txn, why));
    verify(store);
    store_close(store);
}

static void what_is_aborted_is_not_there_and_nothing_is_deleted(void **state)
{
    struct kv *load = loading(array_kv_open(NULL));
    struct store *store = NULL;
    struct store_txn *txn = NULL;
    struct kv_txn *raw = NULL;
    uint32_t space = 0;

    (void)state;
    assert_ok(store_open(&store, load, why));
    assert_ok(store_write_begin(store, &txn, why));
    put_tenant(txn, 0, &space);
    assert_status(KS_NOT_FOUND, store_tenant_find(txn, SPAN("T3"), &space, why));
    store_write_abort(txn);
    assert_ok(load->engine->write_begin(load, &raw, why));
    assert_status(KS_INVALID, load->engine->del(raw, KV_DEVICE, SPAN("x"), why));
    load->engine->abort(raw);
    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    assert_status(KS_NOT_FOUND, store_tenant_find(txn, SPAN("T3"), &space, why));
    store_reader_close(txn);
    store_close(store);
}

int main(void)
{
#define LOAD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOAD_TEST(sorted_arrays_are_filled_as_inserting_does),
        LOAD_TEST(lmdb_is_filled_as_inserting_does),
        LOAD_TEST(a_second_of_one_key_is_told_with_both_places),
        LOAD_TEST(other_tenants_may_use_the_same_names),
        LOAD_TEST(what_is_aborted_is_not_there_and_nothing_is_deleted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
