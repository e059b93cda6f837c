/* The bytes of the store: what docs/records.md shows is what is written; what is damaged is
 * refused.
 */
#include "support/test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "store/key.h"
#include "store/kv.h"
#include "store/record.h"
#include "support/array_kv.h"

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

/* ---- the examples of the manual ---- */

/* docs/records.md, found by the place of this file. */
static void read_manual(struct buf *out)
{
    static const char here[] = "tests/unit/test_record.c";
    char path[512];
    FILE *file;
    size_t n;

    (void)snprintf(path, sizeof(path), "%.*sdocs/records.md",
                   (int)(strlen(__FILE__) - (sizeof(here) - 1)), __FILE__);
    file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("cannot open %s", path);
        return;
    }
    buf_init(out, 0);
    while ((n = fread(buf_reserve(out, 4096), 1, 4096, file)) > 0) {
        buf_commit(out, n);
    }
    (void)fclose(file);
    buf_add_char(out, '\0');
}

static void add_hex(struct buf *out, const char *line, const char *end)
{
    while (end - line >= 2 && isxdigit((unsigned char)line[0]) &&
           isxdigit((unsigned char)line[1])) {
        const char digits[] = {line[0], line[1], '\0'};

        buf_add_char(out, (char)strtol(digits, NULL, 16));
        line += 2 + strspn(line + 2, " ");
    }
}

struct example {
    struct buf key;
    struct buf value;
};

/* Takes the example in front of *text apart: a line that begins with "key", one that begins with
 * "value", lines that go on. False at the end of the block. */
static bool next_example(const char **text, struct example *out)
{
    const char *line = *text;
    struct buf *part = NULL;

    buf_init(&out->key, 0);
    buf_init(&out->value, 0);
    while (strncmp(line, "```", 3) != 0 && !(strncmp(line, "key", 3) == 0 && part != NULL)) {
        const char *end = line + strcspn(line, "#\n");

        if (strncmp(line, "key", 3) == 0) {
            part = &out->key;
            line += 3;
        } else if (strncmp(line, "value", 5) == 0) {
            part = &out->value;
            line += 5;
        }
        line += strspn(line, " ");
        assert_non_null(part);
        add_hex(part, line, end);
        line = end + strcspn(end, "\n") + 1;
    }
    *text = line;
    return part != NULL;
}

static void done_example(struct example *example)
{
    buf_done(&example->key);
    buf_done(&example->value);
}

static const char *block_of(const char *manual, const char *name)
{
    char start[64];
    const char *at;

    (void)snprintf(start, sizeof(start), "```hex %s\n", name);
    at = manual == NULL ? NULL : strstr(manual, start);
    if (at == NULL) {
        fail_msg("the manual has no example of %s", name);
        return "";
    }
    return at + strlen(start);
}

static void print_bytes(const char *what, struct span bytes)
{
    print_error("%s", what);
    for (size_t i = 0; i < bytes.len; i++) {
        print_error(" %02x", (unsigned char)bytes.ptr[i]);
    }
    print_error("\n");
}

static void assert_bytes(const char *what, struct span actual, const struct buf *expected)
{
    if (!span_eq(actual, buf_span(expected))) {
        print_bytes("expected", buf_span(expected));
        print_bytes("actual  ", actual);
        fail_msg("%s differs from the manual", what);
    }
}

/* ---- a store with one of everything ---- */

#define ANSWER "{\"secrets\":[{\"key\":\"AA==\"},{\"key\":\"BB==\"}]}"

static const struct uuid version = {.bytes = {0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x46, 0x78, 0x87,
                                              0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0}};

static struct store_tenant tenant_example(void)
{
    struct store_ca ca = {.subject_dn = SPAN("CN=ca"),
                          .public_key = SPAN("\x30\x59\x30\x13"),
                          .not_before_ms = 1000,
                          .not_after_ms = 2000,
                          .flags = STORE_CA_AUTO_PROVISIONING,
                          .device_id_template = SPAN("{{subject-cn}}"),
                          .auth_id_template = SPAN("{{subject-o}}")};
    const struct store_segment segment = {
        .from_ms = 1000, .until_ms = 2000, .offset = 15, .len = 2, .enabled = true};

    memset(ca.key_hash, 0xcc, sizeof(ca.key_hash));
    return (struct store_tenant){
        .flags = STORE_TENANT_ENABLED,
        .id = SPAN("T1"),
        .alias = SPAN("plant"),
        .trust_anchor_group = SPAN("tg"),
        .version = version,
        .created_ms = 1000,
        .updated_ms = 2000,
        .max_devices = 10,
        .max_credentials_per_device = -1,
        .cas = store_cas_encode(&arena, &ca, 1),
        .document = SPAN("{}"),
        .answer = {.text = SPAN("{\"trusted-ca\":[{}]}"),
                   .segments = store_segments_encode(&arena, &segment, 1)},
    };
}

static struct store_device device_example(void)
{
    const struct span via[] = {SPAN("G1")};
    const struct span groups[] = {SPAN("red"), SPAN("blue")};
    const struct store_credential_ref ref = {.type = SPAN("psk"), .auth_id = SPAN("little")};

    return (struct store_device){
        .flags = STORE_DEVICE_ENABLED | STORE_DEVICE_AUTO_PROVISIONED,
        .id = SPAN("D1"),
        .version = version,
        .credentials_version = version,
        .created_ms = 1000,
        .updated_ms = 0,
        .event_seq = 1,
        .via = store_strings_encode(&arena, via, 1),
        .via_groups = store_strings_encode(&arena, groups, 2),
        .member_of = store_strings_encode(&arena, groups, 1),
        .credentials = store_credential_refs_encode(&arena, &ref, 1),
        .document = SPAN("{}"),
        .answer = SPAN("{\"device-id\":\"D1\"}"),
    };
}

static struct store_credential credential_example(void)
{
    const struct store_segment segments[] = {
        {.from_ms = CLOCK_MIN, .until_ms = CLOCK_MAX, .offset = 12, .len = 14, .enabled = true},
        {.from_ms = 1000, .until_ms = 2000, .offset = 27, .len = 14, .enabled = false},
    };

    return (struct store_credential){
        .flags = STORE_CREDENTIAL_ENABLED | STORE_CREDENTIAL_HAS_EXT,
        .type = SPAN("psk"),
        .auth_id = SPAN("little"),
        .device_id = SPAN("D1"),
        .ext = SPAN("{\"a\":1}"),
        .document = SPAN("{}"),
        .answer = {.text = SPAN(ANSWER), .segments = store_segments_encode(&arena, segments, 2)},
    };
}

static struct store_outbox_entry event_example(void)
{
    return (struct store_outbox_entry){.kind = STORE_OUTBOX_EVENT,
                                       .space = 2,
                                       .created_ms = 1000,
                                       .tenant_id = SPAN("T1"),
                                       .device_id = SPAN("D1"),
                                       .gateway_id = SPAN("G1")};
}

static struct store_outbox_entry notification_example(void)
{
    return (struct store_outbox_entry){.kind = STORE_OUTBOX_TENANT_CHANGE,
                                       .space = 2,
                                       .created_ms = 1000,
                                       .tenant_id = SPAN("T1"),
                                       .body = SPAN("{}")};
}

/* A tenant whose devices were deleted once: what is left of them waits in key space 1. */
static void fill(struct store *store)
{
    struct store_tenant tenant = tenant_example();
    struct store_device device = device_example();
    struct store_credential credential = credential_example();
    struct store_outbox_entry event = event_example();
    struct store_outbox_entry notification = notification_example();
    struct store_txn *txn = NULL;
    uint32_t space = 0;
    uint64_t seq = 0;
    bool parked = false;

    assert_ok(store_write_begin(store, &txn, why));
    assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    assert_int_equal(space, 1);
    assert_ok(store_device_delete_all(txn, &space, why));
    assert_int_equal(space, 2);
    assert_ok(store_outbox_append(txn, &event, &seq, why));
    assert_ok(store_outbox_append(txn, &notification, &seq, why));
    assert_ok(store_device_insert(txn, space, &device, why));
    assert_ok(store_credential_put(txn, space, &credential, why));
    assert_ok(store_outbox_park(txn, 1, &parked, why));
    assert_true(parked);
    assert_ok(store_outbox_append(txn, &event, &seq, why));
    assert_ok(store_write_commit(txn, why));
}

static void check_table(struct kv *kv, struct kv_txn *txn, enum kv_table table, const char *name,
                        const char *block)
{
    struct key from;
    struct span key;
    struct span value;

    key_begin(&from);
    while (kv->engine->seek(txn, table, key_span(&from), &key, &value, NULL) == KS_OK) {
        struct example example;

        if (!next_example(&block, &example)) {
            print_bytes("key  ", key);
            print_bytes("value", value);
            fail_msg("the manual does not show this entry of %s", name);
        }
        assert_bytes(name, key, &example.key);
        if (!span_eq(key, SPAN("instance"))) { /* random */
            assert_bytes(name, value, &example.value);
        }
        assert_int_equal(value.len, example.value.len);
        done_example(&example);
        key_step(&from, key);
    }
    assert_memory_equal(block, "```", 3); /* all that it shows was there */
}

static void a_store_holds_what_the_manual_shows(void **state)
{
    static const char *const names[KV_TABLES] = {
        [KV_META] = "meta",           [KV_TENANT] = "tenant",
        [KV_TENANT_ID] = "tenant_id", [KV_TENANT_ALIAS] = "tenant_alias",
        [KV_TENANT_CA] = "tenant_ca", [KV_TENANT_STAT] = "tenant_stat",
        [KV_DEVICE] = "device",       [KV_AUTH] = "auth",
        [KV_GATEWAY] = "gateway",     [KV_GROUP] = "group",
        [KV_OUTBOX] = "outbox",       [KV_NOTIFICATION] = "notification",
        [KV_PARKED] = "parked",       [KV_PURGE] = "purge",
    };
    struct buf manual = {0};
    struct kv *kv = array_kv_open(NULL);
    struct kv_txn *txn = NULL;
    struct store *store = NULL;

    (void)state;
    read_manual(&manual);
    assert_ok(store_open(&store, kv, why));
    fill(store);
    assert_ok(kv->engine->read_begin(kv, &txn, why));
    for (int i = 0; i < KV_TABLES; i++) {
        check_table(kv, txn, (enum kv_table)i, names[i], block_of(manual.ptr, names[i]));
    }
    kv->engine->read_end(txn);
    store_close(store);
    buf_done(&manual);
}

static void names_become_keys_as_the_manual_shows(void **state)
{
    char longest_raw[KEY_NAME_RAW_MAX];
    char shortest_hashed[KEY_NAME_RAW_MAX + 1];
    struct buf manual = {0};
    struct example example;
    struct key key;
    const char *block;

    (void)state;
    memset(longest_raw, 'a', sizeof(longest_raw));
    memset(shortest_hashed, 'a', sizeof(shortest_hashed));
    read_manual(&manual);
    block = block_of(manual.ptr, "K");
    assert_true(next_example(&block, &example));
    key_begin(&key);
    key_add_name(&key, SPAN("little"));
    assert_bytes("K(little)", key_span(&key), &example.key);
    done_example(&example);
    assert_true(next_example(&block, &example));
    key_begin(&key);
    key_add_name(&key, span_of(shortest_hashed, sizeof(shortest_hashed)));
    assert_bytes("K(a…)", key_span(&key), &example.key);
    done_example(&example);
    key_begin(&key);
    key_add_name(&key, span_of(longest_raw, sizeof(longest_raw)));
    assert_int_equal(key.len, 1 + KEY_NAME_RAW_MAX);
    buf_done(&manual);
}

/* ---- encoding and decoding ---- */

static void records_read_as_they_were_written(void **state)
{
    struct store_tenant tenant = tenant_example();
    struct store_device device = device_example();
    struct store_credential credential = credential_example();
    struct store_tenant found_tenant;
    struct store_device found_device;
    struct store_credential found;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    record_encode_tenant(&tenant, &bytes);
    assert_true(record_decode_tenant(buf_span(&bytes), 9, &found_tenant));
    assert_int_equal(found_tenant.space, 9);
    assert_span(found_tenant.id, "T1");
    assert_span(found_tenant.alias, "plant");
    assert_span(found_tenant.trust_anchor_group, "tg");
    assert_true(uuid_eq(&found_tenant.version, &version));
    assert_int_equal(found_tenant.max_devices, 10);
    assert_int_equal(found_tenant.max_credentials_per_device, -1);
    assert_true(span_eq(found_tenant.cas, tenant.cas));

    buf_clear(&bytes);
    record_encode_device(&device, &bytes);
    assert_true(record_decode_device(buf_span(&bytes), SPAN("D1"), &found_device));
    assert_int_equal(found_device.flags, device.flags);
    assert_int_equal(found_device.created_ms, 1000);
    assert_int_equal(found_device.updated_ms, 0);
    assert_int_equal(found_device.event_seq, 1);
    assert_true(span_eq(found_device.via_groups, device.via_groups));
    assert_span(found_device.answer, "{\"device-id\":\"D1\"}");

    buf_clear(&bytes);
    record_encode_credential(&credential, &bytes);
    assert_true(record_decode_credential(buf_span(&bytes), SPAN("psk"), &found));
    assert_span(found.auth_id, "little");
    assert_span(found.ext, "{\"a\":1}");
    assert_int_equal(store_segment_count(&found.answer), 2);
    assert_true(store_segment_at(&found.answer, 0).from_ms == CLOCK_MIN);
    assert_int_equal(store_segment_at(&found.answer, 1).offset, 27);
    assert_false(store_segment_at(&found.answer, 1).enabled);
    buf_done(&bytes);
}

enum record { TENANT, DEVICE, CREDENTIAL, RECORDS };

static void encode(enum record record, struct buf *out)
{
    struct store_tenant tenant = tenant_example();
    struct store_device device = device_example();
    struct store_credential credential = credential_example();

    buf_init(out, 0);
    switch (record) {
    case TENANT:
        record_encode_tenant(&tenant, out);
        break;
    case DEVICE:
        record_encode_device(&device, out);
        break;
    case CREDENTIAL:
        record_encode_credential(&credential, out);
        break;
    case RECORDS:
        break;
    }
}

static bool decode(enum record record, struct span bytes)
{
    struct store_tenant tenant;
    struct store_device device;
    struct store_credential credential;

    switch (record) {
    case TENANT:
        return record_decode_tenant(bytes, 1, &tenant);
    case DEVICE:
        return record_decode_device(bytes, SPAN("D1"), &device);
    case CREDENTIAL:
        return record_decode_credential(bytes, SPAN("psk"), &credential);
    case RECORDS:
        break;
    }
    return false;
}

/* Reads a copy of exactly this size, so that a sanitizer sees a byte too far. */
static bool decode_exact(enum record record, struct span bytes)
{
    char *copy = malloc(bytes.len + 1);
    bool ok;

    assert_non_null(copy);
    memcpy(copy + 1, bytes.ptr, bytes.len);
    ok = decode(record, span_of(copy + 1, bytes.len));
    free(copy);
    return ok;
}

static void a_record_of_any_other_length_is_refused(void **state)
{
    (void)state;
    for (int r = 0; r < RECORDS; r++) {
        struct buf bytes;

        encode((enum record)r, &bytes);
        assert_true(decode_exact((enum record)r, buf_span(&bytes)));
        for (size_t len = 0; len < bytes.len; len++) {
            assert_false(decode_exact((enum record)r, span_of(bytes.ptr, len)));
        }
        buf_add_char(&bytes, 'x');
        assert_false(decode_exact((enum record)r, buf_span(&bytes)));
        buf_done(&bytes);
    }
}

static void another_format_or_render_version_is_refused(void **state)
{
    (void)state;
    for (int r = 0; r < RECORDS; r++) {
        struct buf bytes;

        encode((enum record)r, &bytes);
        for (size_t i = 0; i < 2; i++) {
            bytes.ptr[i]++;
            assert_false(decode_exact((enum record)r, buf_span(&bytes)));
            bytes.ptr[i]--;
        }
        buf_done(&bytes);
    }
}

/* The example's second segment is disabled: 8 zero bytes before the text. */
static void a_segment_that_is_neither_enabled_nor_disabled_is_refused(void **state)
{
    struct store_credential credential = credential_example();
    struct buf bytes;
    size_t flag;

    (void)state;
    encode(CREDENTIAL, &bytes);
    flag = bytes.len - credential.answer.text.len - 8;
    for (size_t i = 0; i < 8; i++) {
        bytes.ptr[flag + i] = i == 0 ? 2 : 1;
        assert_false(decode_exact(CREDENTIAL, buf_span(&bytes)));
        bytes.ptr[flag + i] = 0;
    }
    bytes.ptr[flag] = 1;
    assert_true(decode_exact(CREDENTIAL, buf_span(&bytes)));
    buf_done(&bytes);
}

/* No sanitizer may see anything, whatever the decoder says. */
static void no_damaged_byte_leads_astray(void **state)
{
    (void)state;
    for (int r = 0; r < RECORDS; r++) {
        struct buf bytes;

        encode((enum record)r, &bytes);
        for (size_t i = 0; i < bytes.len; i++) {
            for (int bit = 0; bit < 8; bit++) {
                bytes.ptr[i] = (char)(bytes.ptr[i] ^ (1 << bit));
                (void)decode_exact((enum record)r, buf_span(&bytes));
                bytes.ptr[i] = (char)(bytes.ptr[i] ^ (1 << bit));
            }
        }
        buf_done(&bytes);
    }
}

static bool credential_with(const struct store_segment *segments, size_t count)
{
    struct store_credential credential = credential_example();
    struct buf bytes;
    bool ok;

    buf_init(&bytes, 0);
    credential.answer.segments = store_segments_encode(&arena, segments, count);
    record_encode_credential(&credential, &bytes);
    ok = decode_exact(CREDENTIAL, buf_span(&bytes));
    buf_done(&bytes);
    return ok;
}

static void segments_must_fit_their_text(void **state)
{
    static const struct {
        struct store_segment segment[2];
        size_t count;
        bool ok;
    } cases[] = {
        {{{.offset = 12, .len = 14}, {.offset = 27, .len = 14}}, 2, true},
        {{{.offset = 12, .len = 14}}, 1, true},
        {{{.offset = 0, .len = sizeof(ANSWER) - 1}}, 1, true},
        {{{.offset = 0, .len = sizeof(ANSWER)}}, 1, false},
        {{{.offset = sizeof(ANSWER), .len = 0}}, 1, false},
        {{{.offset = UINT32_MAX, .len = UINT32_MAX}}, 1, false},
        {{{.offset = 12, .len = 14}, {.offset = 26, .len = 15}}, 2, false}, /* no comma between */
        {{{.offset = 12, .len = 14}, {.offset = 28, .len = 13}}, 2, false}, /* more than that */
        {{{.offset = 27, .len = 14}, {.offset = 12, .len = 14}}, 2, false}, /* back to front */
        {{{.offset = 12, .len = 13}, {.offset = 26, .len = 15}}, 2, false}, /* '}' between */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (credential_with(cases[i].segment, cases[i].count) != cases[i].ok) {
            fail_msg("case %zu", i);
        }
    }
}

/* Bounds that the users of a record rely on. */
static void what_is_beyond_the_bounds_is_refused(void **state)
{
    static const char text[STORE_NAME_MAX + 1] = {'x'};
    struct span strings[STORE_LIST_MAX + 1];
    struct store_credential_ref refs[STORE_LIST_MAX + 1];
    struct store_device device = device_example();
    struct store_device found;
    struct buf bytes;

    (void)state;
    buf_init(&bytes, 0);
    for (size_t i = 0; i <= STORE_LIST_MAX; i++) {
        strings[i] = span_of(text, STORE_ID_MAX);
        refs[i] = (struct store_credential_ref){.type = span_of(text, STORE_TYPE_MAX),
                                                .auth_id = span_of(text, STORE_NAME_MAX)};
    }
#define DEVICE_IS_READ(expected)                                                                   \
    do {                                                                                           \
        buf_clear(&bytes);                                                                         \
        record_encode_device(&device, &bytes);                                                     \
        assert_int_equal(record_decode_device(buf_span(&bytes), device.id, &found), expected);     \
    } while (0)
    device.via = store_strings_encode(&arena, strings, STORE_LIST_MAX);
    device.credentials = store_credential_refs_encode(&arena, refs, STORE_LIST_MAX);
    device.id = span_of(text, STORE_ID_MAX);
    DEVICE_IS_READ(true);
    device.via = store_strings_encode(&arena, strings, STORE_LIST_MAX + 1);
    DEVICE_IS_READ(false);
    strings[0].len++;
    device.via = store_strings_encode(&arena, strings, 1);
    DEVICE_IS_READ(false);
    device.via = span_of(NULL, 0);
    device.credentials = store_credential_refs_encode(&arena, refs, STORE_LIST_MAX + 1);
    DEVICE_IS_READ(false);
    device.credentials = span_of(NULL, 0);
    DEVICE_IS_READ(true);
    device.id.len++;
    DEVICE_IS_READ(false);
    device.id.len = 0;
    DEVICE_IS_READ(false);
    buf_done(&bytes);
}

static bool ca_is_read(const struct store_ca *ca)
{
    struct store_tenant tenant = tenant_example();
    struct store_tenant found;
    struct buf bytes;
    bool ok;

    buf_init(&bytes, 0);
    tenant.cas = store_cas_encode(&arena, ca, 1);
    record_encode_tenant(&tenant, &bytes);
    ok = record_decode_tenant(buf_span(&bytes), 1, &found);
    buf_done(&bytes);
    return ok;
}

static void a_cas_texts_are_bounded(void **state)
{
    static const char text[STORE_NAME_MAX + 1] = {'x'};
    struct store_ca ca = {.public_key = SPAN("key")};
    struct span *const texts[] = {&ca.subject_dn, &ca.device_id_template, &ca.auth_id_template};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        *texts[i] = span_of(text, STORE_NAME_MAX);
        assert_true(ca_is_read(&ca));
        texts[i]->len++;
        assert_false(ca_is_read(&ca));
        texts[i]->len = 1;
    }
}

static void keys_order_as_numbers_and_names_do(void **state)
{
    struct key a;
    struct key b;

    (void)state;
    key_of_device(&a, 255, SPAN("zz"));
    key_of_device(&b, 256, SPAN("a"));
    assert_true(span_cmp(key_span(&a), key_span(&b)) < 0);
    key_of_device(&a, 1, SPAN("a"));
    key_of_device(&b, 1, SPAN("ab"));
    assert_true(span_cmp(key_span(&a), key_span(&b)) < 0);
    key_begin(&a);
    key_add_seq(&a, 255);
    key_begin(&b);
    key_add_seq(&b, 256);
    assert_true(span_cmp(key_span(&a), key_span(&b)) < 0);
    assert_int_equal(key_read_seq(key_span(&b)), 256);
    key_step(&a, key_span(&b));
    assert_true(span_cmp(key_span(&b), key_span(&a)) < 0);
}

/* The longest key of each table fits the engine. */
static void the_longest_keys_fit(void **state)
{
    static const char text[STORE_NAME_MAX] = {'x'};
    struct key key;

    (void)state;
    key_of_auth(&key, UINT32_MAX, span_of(text, STORE_TYPE_MAX), span_of(text, KEY_NAME_RAW_MAX));
    assert_true(key.len <= KV_KEY_MAX);
    key_of_group(&key, UINT32_MAX, span_of(text, STORE_ID_MAX), span_of(text, STORE_ID_MAX));
    assert_true(key.len <= KV_KEY_MAX);
    key_of_tenant_ca(&key, span_of(text, STORE_NAME_MAX), UINT32_MAX);
    assert_true(key.len <= KV_KEY_MAX);
}

int main(void)
{
#define RECORD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RECORD_TEST(a_store_holds_what_the_manual_shows),
        RECORD_TEST(names_become_keys_as_the_manual_shows),
        RECORD_TEST(records_read_as_they_were_written),
        RECORD_TEST(a_record_of_any_other_length_is_refused),
        RECORD_TEST(another_format_or_render_version_is_refused),
        RECORD_TEST(a_segment_that_is_neither_enabled_nor_disabled_is_refused),
        RECORD_TEST(no_damaged_byte_leads_astray),
        RECORD_TEST(segments_must_fit_their_text),
        RECORD_TEST(what_is_beyond_the_bounds_is_refused),
        RECORD_TEST(a_cas_texts_are_bounded),
        RECORD_TEST(keys_order_as_numbers_and_names_do),
        RECORD_TEST(the_longest_keys_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
