#include "support/store_conformance.h"

#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "store/store.h"

static struct kv *(*start_engine)(void);
static void (*finish_engine)(void);
static struct store *store;
static struct store_txn *txn;
static struct arena arena;

/* ---- support ---- */

static int set_up(void **state)
{
    (void)state;
    test_log_begin();
    arena_init(&arena);
    assert_ok(store_open(&store, start_engine(), why));
    return 0;
}

static void fail_on(const char *text, void *arg)
{
    (void)arg;
    fail_msg("inconsistent: %s", text);
}

static void verify(void)
{
    struct store_txn *reader;

    assert_ok(store_reader_open(store, &reader, why));
    assert_ok(store_reader_renew(reader, why));
    assert_ok(store_verify(reader, fail_on, NULL, why));
    store_reader_close(reader);
}

static int tear_down(void **state)
{
    (void)state;
    verify();
    store_close(store);
    arena_done(&arena);
    finish_engine();
    test_log_done();
    return 0;
}

static void begin(void)
{
    assert_ok(store_write_begin(store, &txn, why));
}

static void commit(void)
{
    assert_ok(store_write_commit(txn, why));
}

static struct store_txn *reader(void)
{
    struct store_txn *r;

    assert_ok(store_reader_open(store, &r, why));
    assert_ok(store_reader_renew(r, why));
    return r;
}

static struct store_tenant tenant_of(const char *id)
{
    return (struct store_tenant){.flags = STORE_TENANT_ENABLED,
                                 .id = span_cstr(id),
                                 .created_ms = 7,
                                 .max_devices = -1,
                                 .max_credentials_per_device = -1,
                                 .document = SPAN("{}"),
                                 .answer = {.text = SPAN("{\"trusted-ca\":[]}")}};
}

static uint32_t insert_tenant(const char *id)
{
    struct store_tenant tenant = tenant_of(id);
    uint32_t space = 0;

    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    return space;
}

static struct store_device device_of(const char *id)
{
    return (struct store_device){.flags = STORE_DEVICE_ENABLED,
                                 .id = span_cstr(id),
                                 .created_ms = 5,
                                 .document = SPAN("{}"),
                                 .answer = SPAN("{\"device-id\":\"x\"}")};
}

/* A device with one psk credential of its own name. */
static void insert_device(uint32_t space, const char *id)
{
    const struct store_credential_ref ref = {.type = SPAN("psk"), .auth_id = span_cstr(id)};
    struct store_device device = device_of(id);
    const struct store_credential credential = {.flags = STORE_CREDENTIAL_ENABLED,
                                                .type = ref.type,
                                                .auth_id = ref.auth_id,
                                                .device_id = device.id,
                                                .document = SPAN("{}"),
                                                .answer = {.text = SPAN("{}")}};

    device.credentials = store_credential_refs_encode(&arena, &ref, 1);
    assert_ok(store_device_insert(txn, space, &device, why));
    assert_ok(store_credential_put(txn, space, &credential, why));
}

/* ---- tenants ---- */

static void a_tenant_is_found_by_id_alias_and_ca_only_after_commit(void **state)
{
    struct store_tenant tenant = tenant_of("T1");
    const struct store_ca ca = {.subject_dn = SPAN("CN=ca"),
                                .public_key = SPAN("key"),
                                .not_before_ms = 1,
                                .not_after_ms = 2,
                                .flags = STORE_CA_AUTO_PROVISIONING};
    struct store_tenant found;
    struct store_ca found_ca;
    struct store_txn *r = reader();
    uint32_t space = 0;
    uint32_t other = 0;
    uint32_t spaces[4];
    size_t count = 0;
    size_t at = 0;

    (void)state;
    tenant.alias = SPAN("alias");
    tenant.cas = store_cas_encode(&arena, &ca, 1);
    begin();
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    assert_int_not_equal(space, 0);
    assert_status(KS_NOT_FOUND, store_tenant_find(r, SPAN("T1"), &other, why));
    commit();
    assert_status(KS_NOT_FOUND, store_tenant_find(r, SPAN("T1"), &other, why));
    assert_ok(store_reader_renew(r, why));
    assert_ok(store_tenant_find(r, SPAN("T1"), &other, why));
    assert_int_equal(other, space);
    assert_ok(store_tenant_find_alias(r, SPAN("alias"), &other, why));
    assert_int_equal(other, space);
    assert_ok(store_tenant_find_ca(r, SPAN("CN=ca"), spaces, 4, &count, why));
    assert_int_equal(count, 1);
    assert_int_equal(spaces[0], space);
    assert_ok(store_tenant_find_ca(r, SPAN("CN=c"), spaces, 4, &count, why));
    assert_int_equal(count, 0);
    assert_ok(store_tenant_get(r, space, &found, why));
    assert_span(found.id, "T1");
    assert_span(found.answer.text, "{\"trusted-ca\":[]}");
    assert_int_equal(found.created_ms, 7);
    assert_true(store_cas_next(found.cas, &at, &found_ca));
    assert_span(found_ca.public_key, "key");
    assert_false(store_cas_next(found.cas, &at, &found_ca));
    store_reader_close(r);
}

static void ids_and_aliases_are_taken_once(void **state)
{
    struct store_tenant tenant = tenant_of("T1");
    uint64_t writes;
    uint32_t space;

    (void)state;
    tenant.alias = SPAN("same");
    begin();
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    writes = store_txn_writes(txn);
    assert_status(KS_EXISTS, store_tenant_insert(txn, &tenant, &space, why));
    tenant.id = SPAN("T2");
    assert_status(KS_EXISTS, store_tenant_insert(txn, &tenant, &space, why));
    assert_int_equal(store_txn_writes(txn), writes);
    tenant.alias = span_of(NULL, 0);
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    commit();
}

static void replacing_a_tenant_moves_its_indexes_and_the_generation(void **state)
{
    struct store_tenant tenant = tenant_of("T1");
    const struct store_ca one = {.subject_dn = SPAN("CN=one"), .public_key = SPAN("k")};
    const struct store_ca two = {.subject_dn = SPAN("CN=two"), .public_key = SPAN("k")};
    uint64_t generation = store_tenant_generation(store);
    uint32_t other;
    uint32_t spaces[2];
    size_t count;
    struct store_txn *r;

    (void)state;
    tenant.alias = SPAN("first");
    tenant.cas = store_cas_encode(&arena, &one, 1);
    begin();
    assert_ok(store_tenant_insert(txn, &tenant, &tenant.space, why));
    commit();
    assert_true(store_tenant_generation(store) > generation);
    generation = store_tenant_generation(store);
    tenant.alias = SPAN("second");
    tenant.cas = store_cas_encode(&arena, &two, 1);
    begin();
    assert_ok(store_tenant_replace(txn, &tenant, why));
    commit();
    assert_true(store_tenant_generation(store) > generation);
    r = reader();
    assert_status(KS_NOT_FOUND, store_tenant_find_alias(r, SPAN("first"), &other, why));
    assert_ok(store_tenant_find_alias(r, SPAN("second"), &other, why));
    assert_ok(store_tenant_find_ca(r, SPAN("CN=one"), spaces, 2, &count, why));
    assert_int_equal(count, 0);
    assert_ok(store_tenant_find_ca(r, SPAN("CN=two"), spaces, 2, &count, why));
    assert_int_equal(count, 1);
    store_reader_close(r);
}

static void long_names_are_told_apart(void **state)
{
    char a[600];
    char b[600];
    struct store_tenant tenant = tenant_of("T1");
    uint32_t one = 0;
    uint32_t two = 0;
    uint32_t found;
    struct store_txn *r;

    (void)state;
    memset(a, 'x', sizeof(a));
    memset(b, 'x', sizeof(b));
    b[sizeof(b) - 1] = 'y';
    begin();
    tenant.alias = span_of(a, sizeof(a));
    assert_ok(store_tenant_insert(txn, &tenant, &one, why));
    tenant.id = SPAN("T2");
    tenant.alias = span_of(b, sizeof(b));
    assert_ok(store_tenant_insert(txn, &tenant, &two, why));
    commit();
    r = reader();
    assert_ok(store_tenant_find_alias(r, span_of(a, sizeof(a)), &found, why));
    assert_int_equal(found, one);
    assert_ok(store_tenant_find_alias(r, span_of(b, sizeof(b)), &found, why));
    assert_int_equal(found, two);
    assert_status(KS_NOT_FOUND, store_tenant_find_alias(r, span_of(a, 599), &found, why));
    store_reader_close(r);
}

static void tenants_are_walked_in_order(void **state)
{
    struct store_tenant found;
    struct store_txn *r;
    char after[8] = "";

    (void)state;
    begin();
    (void)insert_tenant("b");
    (void)insert_tenant("a");
    (void)insert_tenant("ab");
    commit();
    r = reader();
    for (const char *const *id = (const char *const[]){"a", "ab", "b", NULL}; *id != NULL; id++) {
        assert_ok(store_tenant_next(r, span_cstr(after), &found, why));
        assert_span(found.id, *id);
        (void)snprintf(after, sizeof(after), "%s", *id);
    }
    assert_status(KS_NOT_FOUND, store_tenant_next(r, span_cstr(after), &found, why));
    store_reader_close(r);
}

/* ---- devices and credentials ---- */

static void devices_are_counted_found_and_walked(void **state)
{
    struct store_device found;
    struct store_credential credential;
    struct store_txn *r;
    uint64_t count = 0;
    uint32_t space;

    (void)state;
    begin();
    space = insert_tenant("T1");
    insert_device(space, "D2");
    insert_device(space, "D1");
    assert_status(KS_EXISTS,
                  store_device_insert(txn, space, &(struct store_device){.id = SPAN("D1")}, why));
    commit();
    r = reader();
    assert_ok(store_device_count(r, space, &count, why));
    assert_int_equal(count, 2);
    assert_ok(store_device_next(r, space, SPAN(""), &found, why));
    assert_span(found.id, "D1");
    assert_ok(store_device_next(r, space, SPAN("D1"), &found, why));
    assert_span(found.id, "D2");
    assert_status(KS_NOT_FOUND, store_device_next(r, space, SPAN("D2"), &found, why));
    assert_ok(store_credential_get(r, space, SPAN("psk"), SPAN("D1"), &credential, why));
    assert_span(credential.device_id, "D1");
    assert_status(KS_NOT_FOUND,
                  store_credential_get(r, space, SPAN("PSK"), SPAN("D1"), &credential, why));
    store_reader_close(r);
}

static void deleting_a_device_takes_its_credentials_and_count(void **state)
{
    struct store_credential credential;
    struct store_txn *r;
    uint64_t count;
    uint32_t space;

    (void)state;
    begin();
    space = insert_tenant("T1");
    insert_device(space, "D1");
    insert_device(space, "D2");
    commit();
    begin();
    assert_ok(store_device_delete(txn, space, SPAN("D1"), why));
    assert_status(KS_NOT_FOUND, store_device_delete(txn, space, SPAN("D1"), why));
    commit();
    r = reader();
    assert_status(KS_NOT_FOUND,
                  store_credential_get(r, space, SPAN("psk"), SPAN("D1"), &credential, why));
    assert_ok(store_device_count(r, space, &count, why));
    assert_int_equal(count, 1);
    store_reader_close(r);
}

static void credentials_of_another_device_are_not_taken_over(void **state)
{
    struct store_credential credential = {.type = SPAN("psk"),
                                          .auth_id = SPAN("D1"),
                                          .device_id = SPAN("D2"),
                                          .document = SPAN("{}"),
                                          .answer = {.text = SPAN("{}")}};
    uint64_t writes;
    uint32_t space;

    (void)state;
    begin();
    space = insert_tenant("T1");
    insert_device(space, "D1");
    writes = store_txn_writes(txn);
    assert_status(KS_EXISTS, store_credential_put(txn, space, &credential, why));
    assert_int_equal(store_txn_writes(txn), writes);
    commit();
}

static void gateways_are_counted_through_every_change(void **state)
{
    const struct span gateways[] = {SPAN("G1"), SPAN("G2"), SPAN("G1")};
    struct store_device device = device_of("D1");
    struct store_txn *r;
    uint32_t space;
    bool is = false;

    (void)state;
    device.via = store_strings_encode(&arena, gateways, 3);
    device.member_of = store_strings_encode(&arena, gateways, 1);
    begin();
    space = insert_tenant("T1");
    assert_ok(store_device_insert(txn, space, &device, why));
    commit();
    verify();
    r = reader();
    assert_ok(store_is_gateway(r, space, SPAN("G1"), &is, why));
    assert_true(is);
    device.via = store_strings_encode(&arena, gateways + 1, 1);
    device.member_of = span_of(NULL, 0);
    begin();
    assert_ok(store_device_replace(txn, space, &device, why));
    commit();
    assert_ok(store_reader_renew(r, why));
    assert_ok(store_is_gateway(r, space, SPAN("G1"), &is, why));
    assert_false(is);
    assert_ok(store_is_gateway(r, space, SPAN("G2"), &is, why));
    assert_true(is);
    store_reader_close(r);
}

/* ---- what goes away ---- */

static void purge_all(void)
{
    bool done = false;

    while (!done) {
        size_t removed = 0;

        begin();
        assert_ok(store_purge(txn, 3, &removed, &done, why));
        assert_true(removed <= 3);
        commit();
        verify();
    }
}

static uint64_t stat_devices(void)
{
    struct store_txn *r = reader();
    struct store_stat stat;

    assert_ok(store_stat(r, &stat, why));
    store_reader_close(r);
    return stat.devices + stat.credentials + stat.purging;
}

static void a_deleted_tenant_is_gone_at_once_and_swept_behind(void **state)
{
    struct store_device device;
    struct store_txn *r;
    uint32_t old;
    uint32_t again;

    (void)state;
    begin();
    old = insert_tenant("T1");
    for (int i = 0; i < 10; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "D%d", i);
        insert_device(old, id);
    }
    commit();
    begin();
    assert_ok(store_tenant_delete(txn, old, why));
    assert_status(KS_NOT_FOUND, store_tenant_delete(txn, old, why));
    again = insert_tenant("T1");
    commit();
    assert_int_not_equal(old, again);
    r = reader();
    assert_status(KS_NOT_FOUND, store_device_get(r, again, SPAN("D1"), &device, why));
    store_reader_close(r);
    verify();
    assert_true(stat_devices() > 0);
    purge_all();
    assert_int_equal(stat_devices(), 0);
}

static void emptying_a_tenant_gives_it_a_new_key_space(void **state)
{
    struct store_tenant tenant;
    struct store_device device;
    struct store_txn *r;
    uint64_t count = 1;
    uint32_t old;
    uint32_t space;
    uint32_t found;

    (void)state;
    begin();
    old = insert_tenant("T1");
    insert_device(old, "D1");
    commit();
    begin();
    space = old;
    assert_ok(store_device_delete_all(txn, &space, why));
    commit();
    assert_int_not_equal(old, space);
    r = reader();
    assert_ok(store_tenant_find(r, SPAN("T1"), &found, why));
    assert_int_equal(found, space);
    assert_ok(store_tenant_get(r, space, &tenant, why));
    assert_span(tenant.document, "{}");
    assert_status(KS_NOT_FOUND, store_device_get(r, space, SPAN("D1"), &device, why));
    assert_ok(store_device_count(r, space, &count, why));
    assert_int_equal(count, 0);
    store_reader_close(r);
    purge_all();
}

static void an_aborted_transaction_leaves_nothing(void **state)
{
    struct store_txn *r;
    uint32_t found;

    (void)state;
    begin();
    (void)insert_tenant("T1");
    store_write_abort(txn);
    r = reader();
    assert_status(KS_NOT_FOUND, store_tenant_find(r, SPAN("T1"), &found, why));
    store_reader_close(r);
}

static void outbox_numbers_never_go_back(void **state)
{
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t seq = 0;
    struct span entry;
    struct store_txn *r;

    (void)state;
    begin();
    assert_ok(store_outbox_append(txn, SPAN("one"), &first, why));
    commit();
    begin();
    assert_ok(store_outbox_delete(txn, first, why));
    commit();
    begin();
    assert_ok(store_outbox_append(txn, SPAN("two"), &second, why));
    commit();
    assert_true(second > first);
    r = reader();
    assert_ok(store_outbox_next(r, 0, &seq, &entry, why));
    assert_int_equal(seq, second);
    assert_span(entry, "two");
    assert_status(KS_NOT_FOUND, store_outbox_next(r, second, &seq, &entry, why));
    store_reader_close(r);
}

int store_conformance_run(struct kv *(*start)(void), void (*finish)(void))
{
#define CONFORMS(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CONFORMS(a_tenant_is_found_by_id_alias_and_ca_only_after_commit),
        CONFORMS(ids_and_aliases_are_taken_once),
        CONFORMS(replacing_a_tenant_moves_its_indexes_and_the_generation),
        CONFORMS(long_names_are_told_apart),
        CONFORMS(tenants_are_walked_in_order),
        CONFORMS(devices_are_counted_found_and_walked),
        CONFORMS(deleting_a_device_takes_its_credentials_and_count),
        CONFORMS(credentials_of_another_device_are_not_taken_over),
        CONFORMS(gateways_are_counted_through_every_change),
        CONFORMS(a_deleted_tenant_is_gone_at_once_and_swept_behind),
        CONFORMS(emptying_a_tenant_gives_it_a_new_key_space),
        CONFORMS(an_aborted_transaction_leaves_nothing),
        CONFORMS(outbox_numbers_never_go_back),
    };

    start_engine = start;
    finish_engine = finish;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
