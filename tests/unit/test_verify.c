/* What verification finds, and that damage on disk is an error and no crash. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "store/key.h"
#include "store/kv.h"
#include "store/store.h"
#include "support/array_kv.h"

static struct kv *kv;
static struct store *store;
static struct arena arena;
static uint32_t space;
static char long_id[STORE_ID_MAX];

static void insert_device(struct store_txn *txn, struct span id, const struct span *via,
                          size_t via_count)
{
    const struct store_credential_ref ref = {.type = SPAN("psk"), .auth_id = id};
    const struct span groups[] = {SPAN("red")};
    const struct store_device device = {
        .id = id,
        .via = store_strings_encode(&arena, via, via_count),
        .member_of = store_strings_encode(&arena, groups, 1),
        .credentials = store_credential_refs_encode(&arena, &ref, 1),
        .document = SPAN("{}"),
        .answer = SPAN("{}"),
        .event_seq = 1,
    };
    const struct store_credential credential = {.type = ref.type,
                                                .auth_id = ref.auth_id,
                                                .device_id = id,
                                                .document = SPAN("{}"),
                                                .answer = {.text = SPAN("{}")}};

    assert_ok(store_device_insert(txn, space, &device, why));
    assert_ok(store_credential_put(txn, space, &credential, why));
}

/* A tenant with alias and CA, devices with gateways and groups, a key space to be swept, an event.
 */
static int set_up(void **state)
{
    const struct store_ca ca = {.subject_dn = SPAN("CN=ca"), .public_key = SPAN("key")};
    const struct span via[] = {SPAN("G1"), SPAN("G1"), SPAN("G2"), SPAN("")};
    struct store_tenant tenant = {.id = SPAN("T1"),
                                  .alias = SPAN("plant"),
                                  .document = SPAN("{}"),
                                  .answer = {.text = SPAN("{}")}};
    struct store_outbox_entry event = {
        .kind = STORE_OUTBOX_EVENT, .tenant_id = SPAN("T1"), .device_id = SPAN("D1")};
    struct store_txn *txn = NULL;
    uint64_t seq;

    (void)state;
    arena_init(&arena);
    memset(long_id, 'x', sizeof(long_id));
    kv = array_kv_open(NULL);
    assert_ok(store_open(&store, kv, why));
    assert_ok(store_write_begin(store, &txn, why));
    tenant.cas = store_cas_encode(&arena, &ca, 1);
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    insert_device(txn, SPAN("old"), via, 1);
    assert_ok(store_device_delete_all(txn, &space, why));
    event.space = space;
    assert_ok(store_outbox_append(txn, &event, &seq, why));
    insert_device(txn, SPAN("D1"), via, 4);
    insert_device(txn, SPAN("D2"), via, 1);
    insert_device(txn, span_of(long_id, sizeof(long_id)), via, 0);
    assert_ok(store_write_commit(txn, why));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store);
    arena_done(&arena);
    return 0;
}

struct findings {
    unsigned count;
    char text[2048];
};

static void keep_finding(const char *text, void *arg)
{
    struct findings *findings = arg;

    size_t len = strlen(findings->text);

    findings->count++;
    (void)snprintf(findings->text + len, sizeof(findings->text) - len, "%s\n", text);
}

static enum ks_status verify(struct findings *findings)
{
    struct store_txn *txn = NULL;
    uint64_t count;
    enum ks_status st;

    *findings = (struct findings){0};
    assert_ok(store_reader_open(store, &txn, why));
    assert_ok(store_reader_renew(txn, why));
    st = store_verify(txn, keep_finding, findings, NULL);
    assert_int_equal(st == KS_OK, findings->count == 0);
    if (findings->count > 0) {
        assert_int_equal(st, KS_CORRUPT);
    }
    assert_ok(store_txn_error(txn, why)); /* the transaction stays usable */
    assert_ok(store_device_count(txn, UINT32_MAX, &count, why));
    store_reader_close(txn);
    return st;
}

/* ---- changes behind the store's back ---- */

static void put_raw(enum kv_table table, struct span key, struct span value)
{
    struct kv_txn *txn = NULL;
    char *room = NULL;

    assert_ok(kv->engine->write_begin(kv, &txn, why));
    assert_ok(kv->engine->put(txn, table, key, value.len, &room, why));
    if (value.len > 0) {
        memcpy(room, value.ptr, value.len);
    }
    assert_ok(kv->engine->commit(txn, why));
}

static void delete_raw(enum kv_table table, struct span key)
{
    struct kv_txn *txn = NULL;

    assert_ok(kv->engine->write_begin(kv, &txn, why));
    assert_ok(kv->engine->del(txn, table, key, why));
    assert_ok(kv->engine->commit(txn, why));
}

/* A copy of an entry: the `index`th of the table. False: there are not so many. */
static bool entry_at(enum kv_table table, size_t index, struct buf *key, struct buf *value)
{
    struct kv_txn *txn = NULL;
    struct key from;
    struct span found_key;
    struct span found_value;
    enum ks_status st = KS_OK;

    buf_clear(key);
    buf_clear(value);
    key_begin(&from);
    assert_ok(kv->engine->read_begin(kv, &txn, why));
    for (size_t i = 0; st == KS_OK && i <= index; i++) {
        st = kv->engine->seek(txn, table, key_span(&from), &found_key, &found_value, NULL);
        if (st == KS_OK) {
            key_step(&from, found_key);
        }
    }
    if (st == KS_OK) {
        buf_add_span(key, found_key);
        buf_add_span(value, found_value);
    }
    kv->engine->read_end(txn);
    return st == KS_OK;
}

static void a_whole_store_has_no_findings(void **state)
{
    struct findings findings;

    (void)state;
    assert_int_equal(verify(&findings), KS_OK);
}

/* Every entry but the purge list's is named by another: without it something is inconsistent. */
static void any_missing_entry_is_found(void **state)
{
    struct buf key;
    struct buf value;
    struct findings findings;

    (void)state;
    buf_init(&key, 0);
    buf_init(&value, 0);
    for (int t = KV_TENANT; t < KV_TABLES; t++) {
        if (t == KV_OUTBOX) {
            continue; /* an event that was sent is gone */
        }
        for (size_t i = 0; entry_at((enum kv_table)t, i, &key, &value); i++) {
            bool live = value.len == 0 || t != KV_TENANT_STAT || value.ptr[0] != 0;
            bool swept = t >= KV_TENANT_STAT && t < KV_OUTBOX && key.ptr[3] == 1;

            delete_raw((enum kv_table)t, buf_span(&key));
            if (swept) {
                assert_int_equal(verify(&findings), KS_OK); /* already given up */
            } else if (live && verify(&findings) != KS_CORRUPT) {
                fail_msg("entry %zu of table %d is not missed", i, t);
            }
            put_raw((enum kv_table)t, buf_span(&key), buf_span(&value));
        }
    }
    assert_int_equal(verify(&findings), KS_OK);
    buf_done(&key);
    buf_done(&value);
}

static void any_cut_value_is_found(void **state)
{
    struct buf key;
    struct buf value;
    struct findings findings;

    (void)state;
    buf_init(&key, 0);
    buf_init(&value, 0);
    for (int t = KV_TENANT; t < KV_OUTBOX; t++) {
        for (size_t i = 0; entry_at((enum kv_table)t, i, &key, &value); i++) {
            if (value.len == 0 || (t >= KV_DEVICE && key.ptr[3] == 1)) {
                continue;
            }
            put_raw((enum kv_table)t, buf_span(&key), span_of(value.ptr, value.len - 1));
            if (verify(&findings) != KS_CORRUPT) {
                fail_msg("a cut entry %zu of table %d is not found", i, t);
            }
            put_raw((enum kv_table)t, buf_span(&key), buf_span(&value));
        }
    }
    buf_done(&key);
    buf_done(&value);
}

/* Outbox entries of tenant T1 in key space 2: the event of device D1, a change of the tenant. */
#define HEAD(kind)   "\x01\x01" kind "\0\x02\0\0\0\0\0\0\0\0\0\0\0"
#define EVENT        HEAD("\x01") "\x02\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0T1D1"
#define OTHER_EVENT  HEAD("\x01") "\x02\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0T1D9"
#define NOTIFICATION HEAD("\x02") "\x02\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0T1{}"

/* Entries that nothing else names. */
static void any_entry_too_many_is_found(void **state)
{
    const struct {
        enum kv_table table;
        struct span key;
        struct span value;
        const char *finding;
    } cases[] = {
        {KV_TENANT_ID, SPAN("T9"), SPAN("\0\0\0\x09"), "no tenant has"},
        {KV_TENANT_ID, SPAN("T9"), SPAN("\0\0\0\x02"), "another tenant"},
        {KV_TENANT_ID, SPAN("T9"), SPAN("x"), "bytes"},
        {KV_TENANT_ALIAS, SPAN("\0mill"), SPAN("\0\0\0\x02mill"), "has another"},
        {KV_TENANT_ALIAS, SPAN("\0mill"), SPAN("\0\0\0\x02plant"), "where it belongs"},
        {KV_TENANT_CA, SPAN("\0CN=x\0\0\0\0\x02"), SPAN("CN=x"), "no such CA"},
        {KV_TENANT_CA, SPAN("\0CN=x\0\0\0\0\x02"), SPAN("CN=ca"), "where it belongs"},
        {KV_TENANT_CA, SPAN("short"), SPAN(""), "bytes"},
        {KV_TENANT_STAT, SPAN("\0\0\0\x09"), SPAN("012345670123456701234567"), "nobody's"},
        {KV_TENANT_STAT, SPAN("\0\0\0\x02"), SPAN("012345670123456701234567"), "counts"},
        {KV_DEVICE,
         SPAN("\0\0\0\x09"
              "D1"),
         SPAN(""), "nobody's"},
        {KV_DEVICE,
         SPAN("\0\0\0\x02"
              "D9"),
         SPAN(""), "cannot be read"},
        {KV_DEVICE, SPAN("\0\0"), SPAN(""), "key of 2 bytes"},
        {KV_AUTH, SPAN("\0\0\0\x02psk"), SPAN(""), "cannot be read"},
        {KV_AUTH, SPAN("\0\0\0\x09psk\0\0x"), SPAN(""), "nobody's"},
        {KV_GATEWAY, SPAN("\0\0\0\x02G9"), SPAN("\x01\0\0\0"), "not counted as"},
        {KV_GATEWAY, SPAN("\0\0\0\x02G1"), SPAN("\x02\0\0\0"), "not counted as"},
        {KV_GATEWAY, SPAN("\0\0\0\x02G1"), SPAN("\x02\0"), "cannot be read"},
        {KV_GROUP,
         SPAN("\0\0\0\x02"
              "blue\0D1"),
         SPAN(""), "not a member"},
        {KV_GROUP,
         SPAN("\0\0\0\x02"
              "red\0D9"),
         SPAN(""), "not a member"},
        {KV_GROUP,
         SPAN("\0\0\0\x02"
              "red"),
         SPAN(""), "not a member"},
        {KV_OUTBOX, SPAN("\0\0\0\0\0\0\0\x02"), SPAN(""), "never drawn"},
        {KV_OUTBOX, SPAN("short"), SPAN(""), "never drawn"},
        {KV_OUTBOX, SPAN("\0\0\0\0\0\0\0\x01"), SPAN("x"), "cannot be read"},
        {KV_OUTBOX, SPAN("\0\0\0\0\0\0\0\x01"), SPAN(NOTIFICATION), "where it belongs"},
        {KV_NOTIFICATION, SPAN("\0\0\0\0\0\0\0\x02"), SPAN(NOTIFICATION), "never drawn"},
        {KV_NOTIFICATION, SPAN("\0\0\0\0\0\0\0\x01"), SPAN(EVENT), "where it belongs"},
        {KV_PARKED, SPAN("\0\0\0\x09\0\0\0\0\0\0\0\x01"), SPAN(EVENT), "nobody's"},
        {KV_PARKED, SPAN("\0\0\0\x02\0\0\0\0\0\0\0\x01"), SPAN(EVENT), "parked and queued"},
        {KV_PARKED, SPAN("\0\0\0\x02\0\0\0\0\0\0\0\x01"), SPAN(OTHER_EVENT), "not that of device"},
        {KV_PARKED, SPAN("\0\0\0\x02\0\0\0\0\0\0\0\x01"), SPAN(EVENT), "counts 0 parked"},
        {KV_PURGE, SPAN("\0\0\0\x09"), SPAN(""), "never drawn"},
        {KV_PURGE, SPAN("\0\0\0\x02"), SPAN(""), "to be purged"},
        {KV_META, SPAN("next-space"), SPAN("\x02\0\0\0\0\0\0\0"), "never drawn"},
        {KV_META, SPAN("outbox-seq"), SPAN("\0\0\0\0\0\0\0\0"), "never drawn"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct findings findings;

        if (verify(&findings) != KS_OK) {
            fail_msg("before case %zu: %s", i, findings.text);
        }
        put_raw(cases[i].table, cases[i].key, cases[i].value);
        if (verify(&findings) != KS_CORRUPT || strstr(findings.text, cases[i].finding) == NULL) {
            fail_msg("case %zu: %u findings: %s", i, findings.count, findings.text);
        }
        tear_down(NULL);
        set_up(NULL);
    }
}

/* ---- damage ---- */

/* Uses a damaged store in every way; what it answers does not matter. */
static void use_all(void)
{
    struct store_txn *txn = NULL;
    struct store_tenant tenant;
    struct store_device device;
    struct store_credential credential;
    struct store_stat stat;
    struct store_outbox_entry entry;
    const struct store_outbox_entry event = {
        .kind = STORE_OUTBOX_EVENT, .tenant_id = SPAN("T1"), .device_id = SPAN("D1")};
    uint32_t spaces[4];
    uint32_t number;
    uint64_t seq;
    size_t count;
    bool flag;

    for (int step = 0; step < 14; step++) {
        assert_ok(store_write_begin(store, &txn, why));
        switch (step) {
        case 0:
            (void)!store_tenant_find(txn, SPAN("T1"), &number, NULL);
            break;
        case 1:
            (void)!store_tenant_find_alias(txn, SPAN("plant"), &number, NULL);
            break;
        case 2:
            (void)!store_tenant_find_ca(txn, SPAN("CN=ca"), spaces, 4, &count, NULL);
            break;
        case 3:
            (void)!store_tenant_next(txn, SPAN(""), &tenant, NULL);
            break;
        case 4:
            number = space;
            (void)!store_device_delete_all(txn, &number, NULL);
            break;
        case 5:
            (void)!store_tenant_delete(txn, space, NULL);
            break;
        case 6:
            (void)!store_device_next(txn, space, SPAN(""), &device, NULL);
            (void)!store_device_next(txn, space, SPAN("D1"), &device, NULL);
            break;
        case 7:
            (void)!store_device_delete(txn, space, SPAN("D1"), NULL);
            break;
        case 8:
            (void)!store_credential_get(txn, space, SPAN("psk"), SPAN("D1"), &credential, NULL);
            (void)!store_credential_delete(txn, space, SPAN("psk"), SPAN("D1"), NULL);
            break;
        case 9:
            (void)!store_is_gateway(txn, space, SPAN("G1"), &flag, NULL);
            break;
        case 10:
            (void)!store_purge(txn, 100, &count, &flag, NULL);
            break;
        case 11:
            (void)!store_outbox_next(txn, STORE_EVENTS, 0, &seq, &entry, NULL);
            (void)!store_outbox_append(txn, &event, &seq, NULL);
            (void)!store_outbox_park(txn, 1, &flag, NULL);
            (void)!store_outbox_unpark(txn, 10, &count, NULL);
            (void)!store_outbox_drop_oldest(txn, NULL);
            break;
        case 12:
            (void)!store_stat(txn, &stat, NULL);
            break;
        default:
            if (store_device_get(txn, space, SPAN("D1"), &device, NULL) == KS_OK) {
                (void)!store_device_replace(txn, space, &device, NULL);
            }
            break;
        }
        store_write_abort(txn);
    }
}

static void damage_of_any_entry_is_no_crash(void **state)
{
    struct buf key;
    struct buf value;
    struct findings findings;
    char longest[KV_KEY_MAX];

    (void)state;
    memset(longest, 'k', sizeof(longest));
    buf_init(&key, 0);
    buf_init(&value, 0);
    for (int t = 0; t < KV_TABLES; t++) {
        for (size_t i = 0; entry_at((enum kv_table)t, i, &key, &value); i++) {
            struct span whole = buf_span(&value);
            size_t n = key.len < 5 ? key.len : 5;

            /* its value cut in every place, or too long by far */
            for (size_t len = 0; len < whole.len; len += 1 + whole.len / 40) {
                put_raw((enum kv_table)t, buf_span(&key), span_of(whole.ptr, len));
                use_all();
                (void)verify(&findings);
            }
            put_raw((enum kv_table)t, buf_span(&key), whole);
            /* others beside it, with shorter and with the longest keys */
            for (size_t len = 1; len <= n; len++) {
                memcpy(longest, key.ptr, n);
                put_raw((enum kv_table)t, span_of(longest, sizeof(longest)), whole);
                if (len < key.len) {
                    put_raw((enum kv_table)t, span_of(key.ptr, len), whole);
                }
                use_all();
                (void)verify(&findings);
                delete_raw((enum kv_table)t, span_of(longest, sizeof(longest)));
                if (len < key.len) {
                    delete_raw((enum kv_table)t, span_of(key.ptr, len));
                }
            }
        }
    }
    assert_int_equal(verify(&findings), KS_OK);
    buf_done(&key);
    buf_done(&value);
}

int main(void)
{
#define VERIFY_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        VERIFY_TEST(a_whole_store_has_no_findings),   VERIFY_TEST(any_missing_entry_is_found),
        VERIFY_TEST(any_cut_value_is_found),          VERIFY_TEST(any_entry_too_many_is_found),
        VERIFY_TEST(damage_of_any_entry_is_no_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
