#include "support/store_conformance.h"

#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "store/store.h"

static const struct store_engine *tested;
static struct store *store;
static struct store_txn *txn;
static struct arena arena;

/* ---- support ---- */

static int set_up(void **state)
{
    (void)state;
    test_log_begin();
    arena_init(&arena);
    assert_ok(store_open(&store, tested->start(), why));
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
    tested->finish();
    test_log_done();
    return 0;
}

static void reopen(void)
{
    store_close(store);
    assert_ok(store_open(&store, tested->again(), why));
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

/* ---- tenants ---- */

static void a_tenant_is_found_by_id_alias_and_ca_only_after_commit(void **state)
{
    struct store_tenant tenant = tenant_of("T1");
    const struct store_ca ca = {.subject_dn = SPAN("CN=ca"),
                                .public_key = SPAN("key"),
                                .not_before_ms = 1,
                                .not_after_ms = 2,
                                .flags = STORE_CA_AUTO_PROVISIONING,
                                .device_id_template = SPAN("d-{{subject-cn}}"),
                                .auth_id_template = SPAN("a-{{subject-cn}}")};
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
    assert_span(found_ca.subject_dn, "CN=ca");
    assert_span(found_ca.public_key, "key");
    assert_int_equal(found_ca.flags, STORE_CA_AUTO_PROVISIONING);
    assert_span(found_ca.device_id_template, "d-{{subject-cn}}");
    assert_span(found_ca.auth_id_template, "a-{{subject-cn}}");
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
    struct span member;
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
    assert_ok(store_group_next(r, space, SPAN("G1"), SPAN(""), &member, why));
    assert_true(span_eq(member, SPAN("D1")));
    assert_int_equal(store_group_next(r, space, SPAN("G1"), member, &member, NULL), KS_NOT_FOUND);
    assert_int_equal(store_group_next(r, space, SPAN("G"), SPAN(""), &member, NULL), KS_NOT_FOUND);
    assert_ok(store_group_has(r, space, SPAN("G1"), SPAN("D1"), &is, why));
    assert_true(is);
    assert_ok(store_group_has(r, space, SPAN("G1"), SPAN("D"), &is, why));
    assert_false(is);
    assert_ok(store_group_has(r, space + 1, SPAN("G1"), SPAN("D1"), &is, why));
    assert_false(is);
    device.via = store_strings_encode(&arena, gateways + 1, 1);
    device.member_of = span_of(NULL, 0);
    begin();
    assert_ok(store_device_replace(txn, space, &device, why));
    commit();
    assert_ok(store_reader_renew(r, why));
    assert_int_equal(store_group_next(r, space, SPAN("G1"), SPAN(""), &member, NULL), KS_NOT_FOUND);
    assert_ok(store_is_gateway(r, space, SPAN("G1"), &is, why));
    assert_false(is);
    assert_ok(store_is_gateway(r, space, SPAN("G2"), &is, why));
    assert_true(is);
    store_reader_close(r);
}

/* ---- walks over ids ---- */

/* Of a walk: what it found, each behind a blank, without an end. */
static char walked[256];

static void walked_begin(void)
{
    walked[0] = '\0';
}

static void walked_add(const char *sign, struct span text)
{
    size_t len = strlen(walked);

    (void)snprintf(walked + len, sizeof(walked) - len, "%s%.*s", sign, SPAN_ARG(text));
}

static void tenant_ids_are_walked_and_counted_without_their_records(void **state)
{
    struct store_txn *r = reader();
    struct span id = span_of(NULL, 0);
    uint64_t count = 99;
    uint32_t space;

    (void)state;
    assert_ok(store_tenant_count(r, &count, why));
    assert_int_equal(count, 0);
    assert_status(KS_NOT_FOUND, store_tenant_next_id(r, id, &id, why));
    begin();
    (void)insert_tenant("b");
    space = insert_tenant("a-gone");
    (void)insert_tenant("a.1");
    (void)insert_tenant("a");
    assert_ok(store_tenant_delete(txn, space, why));
    commit();
    assert_ok(store_reader_renew(r, why));
    walked_begin();
    while (store_tenant_next_id(r, id, &id, NULL) == KS_OK) {
        walked_add(" ", id);
    }
    assert_string_equal(walked, " a a.1 b");
    assert_ok(store_tenant_count(r, &count, why));
    assert_int_equal(count, 3);
    assert_ok(store_tenant_next_id(r, SPAN("a.0"), &id, why)); /* from between two */
    assert_span(id, "a.1");
    store_reader_close(r);
}

static void walk_devices(struct store_txn *r, uint32_t space, struct span from)
{
    struct span id = from;

    walked_begin();
    while (store_device_next_id(r, space, id, &id, NULL) == KS_OK) {
        walked_add(" ", id);
    }
}

static void device_ids_are_walked_in_their_key_space(void **state)
{
    struct store_txn *r;
    uint32_t first;
    uint32_t space;
    uint32_t last;

    (void)state;
    begin();
    first = insert_tenant("T1");
    space = insert_tenant("T2");
    last = insert_tenant("T3");
    insert_device(first, "z");
    insert_device(space, "b");
    insert_device(space, "a:1");
    insert_device(space, "a");
    insert_device(last, "a");
    commit();
    r = reader();
    walk_devices(r, space, span_of(NULL, 0));
    assert_string_equal(walked, " a a:1 b");
    walk_devices(r, space, SPAN("a"));
    assert_string_equal(walked, " a:1 b");
    walk_devices(r, space, SPAN("a:"));
    assert_string_equal(walked, " a:1 b");
    walk_devices(r, space, SPAN("b"));
    assert_string_equal(walked, "");
    walk_devices(r, last + 1, span_of(NULL, 0));
    assert_string_equal(walked, "");
    store_reader_close(r);
}

static void insert_gateway(uint32_t space, const char *id, const struct span *via, size_t vias,
                           const struct span *member_of, size_t groups)
{
    struct store_device device = device_of(id);

    device.via = store_strings_encode(&arena, via, vias);
    device.member_of = store_strings_encode(&arena, member_of, groups);
    assert_ok(store_device_insert(txn, space, &device, why));
}

static void walk_gateways(struct store_txn *r, uint32_t space, struct span from)
{
    struct span id = from;

    walked_begin();
    while (store_gateway_next(r, space, id, &id, NULL) == KS_OK) {
        walked_add(" ", id);
    }
}

static void walk_members(struct store_txn *r, uint32_t space)
{
    struct span group = span_of(NULL, 0);
    struct span device = span_of(NULL, 0);

    walked_begin();
    while (store_member_next(r, space, group, device, &group, &device, NULL) == KS_OK) {
        walked_add(" ", group);
        walked_add("/", device);
    }
}

static void gateways_and_members_are_walked_in_order(void **state)
{
    const struct span ids[] = {SPAN("G2"), SPAN("nobody"), SPAN("G1"), SPAN("")};
    const struct span groups[] = {SPAN("red"), SPAN("blue"), SPAN(""), SPAN("re")};
    struct store_txn *r;
    uint32_t first;
    uint32_t space;

    (void)state;
    begin();
    first = insert_tenant("T1");
    space = insert_tenant("T2");
    insert_gateway(first, "D", ids, 1, groups, 1);
    insert_gateway(space, "D1", ids, 4, groups, 0);
    insert_gateway(space, "D2", ids, 2, groups + 1, 3);
    insert_gateway(space, "G1", ids, 0, groups, 2);
    commit();
    r = reader();
    walk_gateways(r, space, span_of(NULL, 0));
    assert_string_equal(walked, " G1 G2 nobody");
    walk_gateways(r, space, SPAN("G1"));
    assert_string_equal(walked, " G2 nobody");
    walk_members(r, space);
    assert_string_equal(walked, " /D2 blue/D2 blue/G1 re/D2 red/G1");
    begin();
    assert_ok(store_device_delete(txn, space, SPAN("D1"), why));
    assert_ok(store_device_delete(txn, space, SPAN("D2"), why));
    commit();
    assert_ok(store_reader_renew(r, why));
    walk_gateways(r, space, span_of(NULL, 0));
    assert_string_equal(walked, "");
    walk_members(r, space);
    assert_string_equal(walked, " blue/G1 red/G1");
    walk_members(r, space + 1);
    assert_string_equal(walked, "");
    store_reader_close(r);
}

static void walks_end_at_names_beyond_the_bounds(void **state)
{
    char text[STORE_ID_MAX + 1];
    struct span longest = span_of(text, STORE_ID_MAX);
    struct span too_long = span_of(text, sizeof(text));
    struct span id;
    struct span device;
    struct store_txn *r;
    uint32_t space;

    (void)state;
    memset(text, 'x', sizeof(text));
    begin();
    space = insert_tenant("T1");
    insert_gateway(space, "y", &longest, 1, &longest, 1);
    (void)insert_tenant("z");
    commit();
    r = reader();
    assert_ok(store_tenant_next_id(r, longest, &id, why));
    assert_ok(store_device_next_id(r, space, longest, &id, why));
    assert_ok(store_gateway_next(r, space, SPAN("x"), &id, why));
    assert_true(span_eq(id, longest));
    assert_ok(store_member_next(r, space, longest, SPAN("x"), &id, &device, why));
    assert_span(device, "y");
    assert_status(KS_NOT_FOUND, store_member_next(r, space, longest, SPAN("y"), &id, &device, why));
    assert_status(KS_NOT_FOUND, store_tenant_next_id(r, too_long, &id, why));
    assert_status(KS_NOT_FOUND, store_device_next_id(r, space, too_long, &id, why));
    assert_status(KS_NOT_FOUND, store_gateway_next(r, space, too_long, &id, why));
    assert_status(KS_NOT_FOUND,
                  store_member_next(r, space, too_long, SPAN("a"), &id, &device, why));
    store_reader_close(r);
}

/* ---- what goes away ---- */

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

/* ---- outbox ---- */

static uint64_t append_event(uint32_t space, const char *device)
{
    const struct store_outbox_entry entry = {.kind = STORE_OUTBOX_EVENT,
                                             .space = space,
                                             .created_ms = 9,
                                             .tenant_id = SPAN("T1"),
                                             .device_id = span_cstr(device),
                                             .gateway_id = SPAN("G1")};
    uint64_t seq = 0;

    assert_ok(store_outbox_append(txn, &entry, &seq, why));
    return seq;
}

static uint64_t append_notification(const char *body)
{
    const struct store_outbox_entry entry = {
        .kind = STORE_OUTBOX_TENANT_CHANGE, .tenant_id = SPAN("T1"), .body = span_cstr(body)};
    uint64_t seq = 0;

    assert_ok(store_outbox_append(txn, &entry, &seq, why));
    return seq;
}

static void insert_provisioned(uint32_t space, const char *id)
{
    struct store_device device = device_of(id);

    device.event_seq = append_event(space, id);
    assert_ok(store_device_insert(txn, space, &device, why));
}

static enum store_event_state state_of(uint32_t space, const char *id)
{
    enum store_event_state found = STORE_EVENT_NONE;
    struct store_device device;
    struct store_txn *r = reader();

    assert_ok(store_device_get(r, space, span_cstr(id), &device, why));
    assert_ok(store_event_state(r, space, &device, &found, why));
    store_reader_close(r);
    return found;
}

static struct store_outbox_depth depth(void)
{
    struct store_outbox_depth found;
    struct store_txn *r = reader();

    assert_ok(store_outbox_depth(r, &found, why));
    store_reader_close(r);
    return found;
}

static uint64_t first_of(enum store_queue queue)
{
    struct store_outbox_entry entry;
    struct store_txn *r = reader();
    uint64_t seq = 0;

    assert_ok(store_outbox_next(r, queue, 0, &seq, &entry, why));
    store_reader_close(r);
    return seq;
}

static void outbox_numbers_never_go_back(void **state)
{
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t seq = 0;
    uint32_t space;
    struct store_outbox_entry entry;
    struct store_txn *r;

    (void)state;
    begin();
    space = insert_tenant("T1");
    first = append_event(space, "D1");
    commit();
    begin();
    assert_ok(store_outbox_delete(txn, STORE_EVENTS, first, why));
    commit();
    begin();
    second = append_event(space, "D2");
    commit();
    assert_true(second > first);
    r = reader();
    assert_ok(store_outbox_next(r, STORE_EVENTS, 0, &seq, &entry, why));
    assert_int_equal(seq, second);
    assert_int_equal(entry.kind, STORE_OUTBOX_EVENT);
    assert_int_equal(entry.space, space);
    assert_int_equal(entry.created_ms, 9);
    assert_span(entry.tenant_id, "T1");
    assert_span(entry.device_id, "D2");
    assert_span(entry.gateway_id, "G1");
    assert_int_equal(entry.body.len, 0);
    assert_status(KS_NOT_FOUND, store_outbox_next(r, STORE_EVENTS, second, &seq, &entry, why));
    store_reader_close(r);
}

static void events_and_notifications_queue_apart_and_are_counted(void **state)
{
    uint64_t event;
    uint64_t note;
    uint64_t seq = 0;
    struct store_outbox_entry entry;
    struct store_txn *r;

    (void)state;
    begin();
    event = append_event(insert_tenant("T1"), "D1");
    note = append_notification("{}");
    (void)append_notification("{}");
    assert_true(note > event);
    commit();
    assert_int_equal(depth().waiting[STORE_EVENTS], 1);
    assert_int_equal(depth().waiting[STORE_NOTIFICATIONS], 2);
    r = reader();
    assert_ok(store_outbox_next(r, STORE_NOTIFICATIONS, 0, &seq, &entry, why));
    assert_int_equal(seq, note);
    assert_int_equal(entry.kind, STORE_OUTBOX_TENANT_CHANGE);
    assert_span(entry.body, "{}");
    store_reader_close(r);
    begin();
    assert_ok(store_outbox_drop_oldest(txn, why));
    assert_ok(store_outbox_delete(txn, STORE_NOTIFICATIONS, note, why)); /* gone: fine */
    commit();
    assert_int_equal(first_of(STORE_NOTIFICATIONS), note + 1);
    assert_int_equal(depth().dropped, 1);
    reopen();
    assert_int_equal(depth().dropped, 1);
    assert_int_equal(depth().waiting[STORE_EVENTS], 1);
}

static void a_parked_event_stays_with_its_device_and_can_be_queued_again(void **state)
{
    uint64_t count = 0;
    uint64_t seq;
    size_t moved = 0;
    bool parked = false;
    uint32_t space;

    (void)state;
    begin();
    space = insert_tenant("T1");
    insert_provisioned(space, "D1");
    insert_provisioned(space, "D2");
    commit();
    assert_int_equal(state_of(space, "D1"), STORE_EVENT_QUEUED);
    seq = first_of(STORE_EVENTS);
    begin();
    assert_ok(store_outbox_park(txn, seq, &parked, why));
    assert_true(parked);
    assert_status(KS_NOT_FOUND, store_outbox_park(txn, seq, &parked, why));
    assert_ok(store_parked_count(txn, space, &count, why));
    assert_int_equal(count, 1);
    commit();
    assert_int_equal(state_of(space, "D1"), STORE_EVENT_PARKED);
    assert_int_equal(state_of(space, "D2"), STORE_EVENT_QUEUED);
    assert_int_equal(depth().waiting[STORE_EVENTS], 1);
    assert_int_equal(depth().parked, 1);
    begin();
    assert_ok(store_outbox_unpark(txn, 10, &moved, why));
    assert_int_equal(moved, 1);
    commit();
    assert_int_equal(first_of(STORE_EVENTS), seq); /* where it was */
    assert_int_equal(depth().parked, 0);
    begin();
    assert_ok(store_outbox_delete(txn, STORE_EVENTS, seq, why));
    commit();
    assert_int_equal(state_of(space, "D1"), STORE_EVENT_SENT);
}

static void parked_events_go_with_their_device(void **state)
{
    uint64_t count = 0;
    size_t moved = 0;
    bool parked = false;
    uint32_t space;
    uint32_t again;

    (void)state;
    begin();
    space = insert_tenant("T1");
    for (int i = 0; i < 4; i++) {
        static const char *const ids[] = {"D1", "D2", "D3", "D4"};

        insert_provisioned(space, ids[i]);
    }
    commit();
    begin();
    assert_ok(store_device_delete(txn, space, SPAN("D1"), why));
    assert_ok(store_outbox_park(txn, first_of(STORE_EVENTS), &parked, why));
    assert_false(parked); /* there is nobody it could stay with */
    commit();
    begin();
    assert_ok(store_outbox_park(txn, first_of(STORE_EVENTS), &parked, why));
    assert_true(parked);
    assert_ok(store_device_delete(txn, space, SPAN("D2"), why));
    assert_ok(store_parked_count(txn, space, &count, why));
    assert_int_equal(count, 0);
    commit();
    assert_int_equal(depth().parked, 0);
    begin();
    assert_ok(store_outbox_park(txn, first_of(STORE_EVENTS), &parked, why));
    assert_true(parked);
    commit();
    again = space;
    begin();
    assert_ok(store_device_delete_all(txn, &again, why));
    assert_ok(store_outbox_unpark(txn, 10, &moved, why));
    assert_int_equal(moved, 0);
    assert_ok(store_outbox_park(txn, first_of(STORE_EVENTS), &parked, why));
    assert_false(parked);
    commit();
    purge_all();
    assert_int_equal(depth().parked, 0);
    assert_int_equal(depth().waiting[STORE_EVENTS], 0);
}

/* ---- snapshots, generations, reopening ---- */

static void a_reader_keeps_its_snapshot_and_its_spans(void **state)
{
    struct store_txn *r;
    struct store_tenant found;
    struct store_tenant changed;
    uint32_t space;

    (void)state;
    begin();
    space = insert_tenant("T1");
    commit();
    r = reader();
    assert_ok(store_tenant_get(r, space, &found, why));
    for (int i = 0; i < 5; i++) {
        begin();
        changed = tenant_of("T1");
        changed.space = space;
        changed.document = SPAN("{\"changed\":true}");
        assert_ok(store_tenant_replace(txn, &changed, why));
        commit();
    }
    assert_span(found.document, "{}");
    assert_ok(store_tenant_get(r, space, &found, why));
    assert_span(found.document, "{}");
    assert_ok(store_reader_renew(r, why));
    assert_ok(store_tenant_get(r, space, &found, why));
    assert_span(found.document, "{\"changed\":true}");
    store_reader_reset(r);
    assert_ok(store_reader_renew(r, why));
    assert_ok(store_tenant_get(r, space, &found, why));
    store_reader_close(r);
}

/* The spans of what was found die at the first write; the store copes. */
static void what_was_found_may_be_put_again(void **state)
{
    const struct span gateways[] = {SPAN("G1"), SPAN("G2")};
    const struct store_ca ca = {.subject_dn = SPAN("CN=ca"), .public_key = SPAN("k")};
    struct store_tenant tenant = tenant_of("T1");
    struct store_device device = device_of("D1");
    struct store_credential credential;
    struct store_txn *r;
    uint32_t spaces[2];
    size_t count;
    uint32_t space;
    bool is = false;

    (void)state;
    tenant.alias = SPAN("alias");
    tenant.cas = store_cas_encode(&arena, &ca, 1);
    device.via = store_strings_encode(&arena, gateways, 2);
    device.member_of = store_strings_encode(&arena, gateways, 2);
    begin();
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    assert_ok(store_device_insert(txn, space, &device, why));
    insert_device(space, "D2");
    commit();
    begin();
    assert_ok(store_tenant_get(txn, space, &tenant, why));
    tenant.flags = 0;
    assert_ok(store_tenant_replace(txn, &tenant, why));
    assert_ok(store_device_get(txn, space, SPAN("D1"), &device, why));
    device.flags = 0;
    assert_ok(store_device_replace(txn, space, &device, why));
    assert_ok(store_credential_get(txn, space, SPAN("psk"), SPAN("D2"), &credential, why));
    credential.flags = 0;
    assert_ok(store_credential_put(txn, space, &credential, why));
    assert_ok(store_device_next(txn, space, SPAN("D1"), &device, why));
    assert_ok(store_device_delete(txn, space, device.id, why));
    commit();
    r = reader();
    assert_ok(store_tenant_get(r, space, &tenant, why));
    assert_int_equal(tenant.flags, 0);
    assert_span(tenant.id, "T1");
    assert_span(tenant.alias, "alias");
    assert_ok(store_tenant_find_ca(r, SPAN("CN=ca"), spaces, 2, &count, why));
    assert_int_equal(count, 1);
    assert_ok(store_device_get(r, space, SPAN("D1"), &device, why));
    assert_int_equal(device.flags, 0);
    assert_span(device.answer, "{\"device-id\":\"x\"}");
    assert_ok(store_is_gateway(r, space, SPAN("G2"), &is, why));
    assert_true(is);
    assert_status(KS_NOT_FOUND, store_device_get(r, space, SPAN("D2"), &device, why));
    store_reader_close(r);
}

static void only_committed_changes_of_tenants_move_the_generation(void **state)
{
    uint64_t generation;
    uint32_t space;

    (void)state;
    begin();
    space = insert_tenant("T1");
    generation = store_tenant_generation(store);
    commit();
    assert_true(store_tenant_generation(store) > generation);
    generation = store_tenant_generation(store);
    begin();
    (void)insert_tenant("T2");
    store_write_abort(txn);
    begin();
    insert_device(space, "D1");
    (void)append_event(space, "D1");
    commit();
    begin();
    assert_status(KS_EXISTS,
                  store_tenant_insert(txn, &(struct store_tenant){.id = SPAN("T1")}, &space, why));
    commit();
    assert_true(store_tenant_generation(store) == generation);
    begin();
    assert_ok(store_device_delete_all(txn, &space, why));
    commit();
    assert_true(store_tenant_generation(store) > generation);
    generation = store_tenant_generation(store);
    begin();
    assert_ok(store_tenant_delete(txn, space, why));
    commit();
    assert_true(store_tenant_generation(store) > generation);
}

static void what_was_committed_is_there_after_reopening(void **state)
{
    struct store_txn *r;
    struct store_stat before;
    struct store_stat after;
    struct store_device device;
    uint32_t space;
    uint32_t again;
    uint64_t seq;
    uint64_t next;

    (void)state;
    begin();
    space = insert_tenant("T1");
    insert_device(space, "D1");
    seq = append_event(space, "D1");
    assert_ok(store_outbox_delete(txn, STORE_EVENTS, seq, why));
    commit();
    r = reader();
    assert_ok(store_stat(r, &before, why));
    store_reader_close(r);
    reopen();
    r = reader();
    assert_ok(store_stat(r, &after, why));
    assert_true(uuid_eq(&before.instance, &after.instance));
    assert_int_equal(after.tenants, 1);
    assert_int_equal(after.devices, 1);
    assert_int_equal(after.credentials, 1);
    assert_ok(store_device_get(r, space, SPAN("D1"), &device, why));
    store_reader_close(r);
    begin();
    assert_ok(store_tenant_delete(txn, space, why));
    commit();
    reopen();
    begin();
    again = insert_tenant("T1");
    assert_true(again > space); /* never reused */
    next = append_event(again, "D1");
    assert_true(next > seq);
    commit();
    purge_all();
    assert_ok(store_reader_open(store, &r, why));
    store_reader_close(r);
}

/* ---- more of tenants and devices ---- */

static void tenants_may_share_a_subject(void **state)
{
    const struct store_ca cas[] = {{.subject_dn = SPAN("CN=ca"), .public_key = SPAN("old key")},
                                   {.subject_dn = SPAN("CN=ca"), .public_key = SPAN("new key")},
                                   {.subject_dn = SPAN("CN=ca,O=x"), .public_key = SPAN("k")}};
    struct store_tenant tenant = tenant_of("T1");
    uint32_t one;
    uint32_t two;
    uint32_t spaces[4] = {0};
    size_t count;
    struct store_txn *r;

    (void)state;
    tenant.cas = store_cas_encode(&arena, cas, 3);
    begin();
    assert_ok(store_tenant_insert(txn, &tenant, &one, why));
    tenant.id = SPAN("T2");
    assert_ok(store_tenant_insert(txn, &tenant, &two, why));
    commit();
    r = reader();
    assert_ok(store_tenant_find_ca(r, SPAN("CN=ca"), spaces, 4, &count, why));
    assert_int_equal(count, 2); /* each once */
    assert_int_equal(spaces[0], one);
    assert_int_equal(spaces[1], two);
    assert_ok(store_tenant_find_ca(r, SPAN("CN=ca"), spaces, 1, &count, why));
    assert_int_equal(count, 1);
    begin();
    assert_ok(store_tenant_delete(txn, one, why));
    commit();
    assert_ok(store_reader_renew(r, why));
    assert_ok(store_tenant_find_ca(r, SPAN("CN=ca"), spaces, 4, &count, why));
    assert_int_equal(count, 1);
    assert_int_equal(spaces[0], two);
    store_reader_close(r);
}

static void an_alias_can_be_given_on(void **state)
{
    struct store_tenant one = tenant_of("T1");
    struct store_tenant two = tenant_of("T2");
    uint64_t writes;
    uint32_t found;

    (void)state;
    one.alias = SPAN("alias");
    begin();
    assert_ok(store_tenant_insert(txn, &one, &one.space, why));
    assert_ok(store_tenant_insert(txn, &two, &two.space, why));
    two.alias = SPAN("alias");
    writes = store_txn_writes(txn);
    assert_status(KS_EXISTS, store_tenant_replace(txn, &two, why));
    assert_int_equal(store_txn_writes(txn), writes);
    assert_ok(store_tenant_replace(txn, &one, why)); /* its own */
    one.alias = span_of(NULL, 0);
    assert_ok(store_tenant_replace(txn, &one, why));
    assert_ok(store_tenant_replace(txn, &two, why));
    assert_ok(store_tenant_find_alias(txn, SPAN("alias"), &found, why));
    assert_int_equal(found, two.space);
    two.space = 99;
    assert_status(KS_NOT_FOUND, store_tenant_replace(txn, &two, why));
    commit();
}

static void a_walk_stays_in_its_key_space(void **state)
{
    struct store_device found;
    uint32_t one;
    uint32_t two;

    (void)state;
    begin();
    one = insert_tenant("T1");
    two = insert_tenant("T2");
    insert_device(one, "D1");
    insert_device(two, "D0");
    insert_device(two, "D2");
    assert_ok(store_device_next(txn, one, SPAN(""), &found, why));
    assert_span(found.id, "D1");
    assert_status(KS_NOT_FOUND, store_device_next(txn, one, SPAN("D1"), &found, why));
    assert_ok(store_device_next(txn, two, SPAN("D1"), &found, why)); /* which is not there */
    assert_span(found.id, "D2");
    commit();
}

static void the_longest_ids_and_names_are_kept(void **state)
{
    char id[STORE_ID_MAX];
    char type[STORE_TYPE_MAX];
    char name[STORE_NAME_MAX];
    const struct store_credential_ref ref = {.type = span_of(type, sizeof(type)),
                                             .auth_id = span_of(name, sizeof(name))};
    struct store_tenant tenant = tenant_of("");
    struct store_device device = device_of("");
    struct store_credential credential = {
        .type = ref.type, .auth_id = ref.auth_id, .document = SPAN("{}")};
    uint32_t space;
    uint32_t found;

    (void)state;
    memset(id, 'i', sizeof(id));
    memset(type, 't', sizeof(type));
    memset(name, 'n', sizeof(name));
    tenant.id = span_of(id, sizeof(id));
    tenant.alias = span_of(name, sizeof(name));
    device.id = tenant.id;
    device.via = store_strings_encode(&arena, &tenant.id, 1);
    device.member_of = device.via;
    device.credentials = store_credential_refs_encode(&arena, &ref, 1);
    credential.device_id = device.id;
    begin();
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    assert_ok(store_device_insert(txn, space, &device, why));
    assert_ok(store_credential_put(txn, space, &credential, why));
    assert_ok(store_tenant_find(txn, tenant.id, &found, why));
    assert_ok(store_device_get(txn, space, device.id, &device, why));
    assert_ok(store_credential_get(txn, space, ref.type, ref.auth_id, &credential, why));
    name[STORE_NAME_MAX - 1] = 'x';
    assert_status(KS_NOT_FOUND,
                  store_credential_get(txn, space, ref.type, ref.auth_id, &credential, why));
    commit();
}

/* What a peer may send finds nothing and hurts nothing. */
static void names_beyond_the_bounds_are_not_found(void **state)
{
    static const char text[STORE_NAME_MAX + 1] = {'x'};
    struct store_device device;
    struct store_credential credential;
    uint32_t space;
    uint32_t found;
    uint32_t spaces[2];
    size_t count = 7;
    bool is = true;

    (void)state;
    begin();
    space = insert_tenant("T1");
    assert_status(KS_NOT_FOUND, store_tenant_find(txn, span_of(text, 0), &found, why));
    assert_status(KS_NOT_FOUND,
                  store_tenant_find(txn, span_of(text, STORE_ID_MAX + 1), &found, why));
    assert_status(KS_NOT_FOUND,
                  store_tenant_find_alias(txn, span_of(text, STORE_NAME_MAX + 1), &found, why));
    assert_ok(store_tenant_find_ca(txn, span_of(text, STORE_NAME_MAX + 1), spaces, 2, &count, why));
    assert_int_equal(count, 0);
    assert_status(KS_NOT_FOUND, store_device_get(txn, space, span_of(text, 0), &device, why));
    assert_status(KS_NOT_FOUND,
                  store_device_get(txn, space, span_of(text, STORE_ID_MAX + 1), &device, why));
    assert_status(KS_NOT_FOUND, store_credential_get(txn, space, span_of(text, STORE_TYPE_MAX + 1),
                                                     SPAN("a"), &credential, why));
    assert_status(KS_NOT_FOUND,
                  store_credential_get(txn, space, SPAN("psk\0x"), SPAN("a"), &credential, why));
    assert_status(KS_NOT_FOUND,
                  store_credential_get(txn, space, SPAN("psk"), span_of(text, STORE_NAME_MAX + 1),
                                       &credential, why));
    assert_ok(store_is_gateway(txn, space, span_of(text, STORE_ID_MAX + 1), &is, why));
    assert_false(is);
    commit();
}

static void credentials_are_counted_once_and_replaced(void **state)
{
    struct store_credential credential;
    struct store_device device;
    struct store_txn *r;
    struct store_stat stat;
    uint32_t space;

    (void)state;
    begin();
    space = insert_tenant("T1");
    insert_device(space, "D1");
    assert_ok(store_credential_get(txn, space, SPAN("psk"), SPAN("D1"), &credential, why));
    credential.document = SPAN("{\"new\":1}");
    assert_ok(store_credential_put(txn, space, &credential, why));
    insert_device(space, "D2");
    assert_ok(store_credential_delete(txn, space, SPAN("psk"), SPAN("D2"), why));
    assert_status(KS_NOT_FOUND, store_credential_delete(txn, space, SPAN("psk"), SPAN("D2"), why));
    device = device_of("D2");
    assert_ok(store_device_replace(txn, space, &device, why));
    commit();
    r = reader();
    assert_ok(store_stat(r, &stat, why));
    assert_int_equal(stat.devices, 2);
    assert_int_equal(stat.credentials, 1);
    assert_ok(store_credential_get(r, space, SPAN("psk"), SPAN("D1"), &credential, why));
    assert_span(credential.document, "{\"new\":1}");
    store_reader_close(r);
}

static void what_waits_to_be_swept_is_not_counted(void **state)
{
    struct store_txn *r;
    struct store_stat stat;
    uint32_t space;

    (void)state;
    begin();
    space = insert_tenant("T1");
    insert_device(space, "D1");
    assert_ok(store_tenant_delete(txn, space, why));
    commit();
    r = reader();
    assert_ok(store_stat(r, &stat, why));
    assert_int_equal(stat.tenants, 0);
    assert_int_equal(stat.devices, 0);
    assert_int_equal(stat.credentials, 0);
    assert_int_equal(stat.purging, 1);
    store_reader_close(r);
    purge_all();
}

int store_conformance_run(const struct store_engine *engine)
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
        CONFORMS(tenant_ids_are_walked_and_counted_without_their_records),
        CONFORMS(device_ids_are_walked_in_their_key_space),
        CONFORMS(gateways_and_members_are_walked_in_order),
        CONFORMS(walks_end_at_names_beyond_the_bounds),
        CONFORMS(a_deleted_tenant_is_gone_at_once_and_swept_behind),
        CONFORMS(emptying_a_tenant_gives_it_a_new_key_space),
        CONFORMS(an_aborted_transaction_leaves_nothing),
        CONFORMS(outbox_numbers_never_go_back),
        CONFORMS(events_and_notifications_queue_apart_and_are_counted),
        CONFORMS(a_parked_event_stays_with_its_device_and_can_be_queued_again),
        CONFORMS(parked_events_go_with_their_device),
        CONFORMS(a_reader_keeps_its_snapshot_and_its_spans),
        CONFORMS(what_was_found_may_be_put_again),
        CONFORMS(only_committed_changes_of_tenants_move_the_generation),
        CONFORMS(what_was_committed_is_there_after_reopening),
        CONFORMS(tenants_may_share_a_subject),
        CONFORMS(an_alias_can_be_given_on),
        CONFORMS(a_walk_stays_in_its_key_space),
        CONFORMS(the_longest_ids_and_names_are_kept),
        CONFORMS(names_beyond_the_bounds_are_not_found),
        CONFORMS(credentials_are_counted_once_and_replaced),
        CONFORMS(what_waits_to_be_swept_is_not_counted),
    };

    tested = engine;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
