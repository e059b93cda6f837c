/* Events as messages: whole, whatever the tenant's defaults are; and what is kept of a tenant. */
#include "support/test.h"

#include <stdio.h>

#include "amqp/codec.h"
#include "amqp/event_extras.h"
#include "amqp/event_message.h"
#include "support/registry.h"

static const struct uuid instance = {{1, 2, 3}};

static struct buf message;
static struct buf text;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    buf_init(&message, EVENT_MESSAGE_MAX);
    buf_init(&text, 0);
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_done(&message);
    buf_done(&text);
    arena_done(&arena);
    return 0;
}

static struct event_extras extras_of(struct span defaults)
{
    const struct event_details details = {.defaults = defaults, .ttl_s = 7};
    struct event_extras extras;

    event_extras_encode(&details, &arena, &extras);
    return extras;
}

/* ---- what is in a message ---- */

enum { SECTIONS = 4 };

/* How often the name stands among the application properties. Fails unless the message is whole:
 * four sections, and nothing behind them. */
static unsigned count_named(const char *name)
{
    struct codec_reader r = codec_reader_of(buf_span(&message));
    struct codec_reader inside = {.failed = false};
    uint64_t descriptor = 0;
    uint32_t count = 0;
    unsigned found = 0;

    assert_false(message.overflow);
    for (int i = 0; i < SECTIONS - 1; i++) {
        assert_true(codec_skip(&r, NULL));
    }
    assert_true(codec_read_descriptor(&r, &descriptor));
    assert_int_equal(descriptor, 0x74);
    assert_true(codec_read_map(&r, &inside, &count));
    assert_int_equal(codec_left(&r), 0);
    for (uint32_t i = 0; i < count; i += 2) {
        struct span key;

        assert_true(codec_read_string(&inside, &key));
        assert_true(codec_skip(&inside, NULL));
        found += span_eq(key, span_cstr(name));
    }
    assert_int_equal(codec_left(&inside), 0);
    return found;
}

static struct store_outbox_entry event_of(const char *gateway)
{
    return (struct store_outbox_entry){.kind = STORE_OUTBOX_EVENT,
                                       .space = 1,
                                       .tenant_id = SPAN("T1"),
                                       .device_id = SPAN("d"),
                                       .gateway_id = span_cstr(gateway)};
}

static void encode(struct span defaults, const char *gateway)
{
    const struct event_extras extras = extras_of(defaults);
    const struct store_outbox_entry entry = event_of(gateway);

    event_message_encode(&entry, 1, &instance, &extras, &message);
}

static void the_longest_ids_fit_beside_the_longest_defaults(void **state)
{
    char id[STORE_ID_MAX + 1];
    struct store_outbox_entry entry = {.kind = STORE_OUTBOX_EVENT, .space = 1};
    struct event_extras extras;

    (void)state;
    memset(id, 'x', STORE_ID_MAX);
    id[STORE_ID_MAX] = '\0';
    entry.tenant_id = span_cstr(id);
    entry.device_id = span_cstr(id);
    entry.gateway_id = span_cstr(id);
    buf_add_cstr(&text, "{\"content-encoding\":\"gzip\",\"a\":\"");
    for (int i = 0; i < EVENT_DEFAULTS_MAX - 8; i++) {
        buf_add_char(&text, 'y');
    }
    buf_add_cstr(&text, "\"}");
    extras = extras_of(buf_span(&text));
    assert_int_equal(extras.properties.len, EVENT_DEFAULTS_MAX);
    event_message_encode(&entry, UINT64_MAX, &instance, &extras, &message);
    assert_int_equal(count_named("a"), 1);
    assert_int_equal(count_named("JMS_AMQP_CONTENT_ENCODING"), 1);
    assert_true(message.len < EVENT_MESSAGE_MAX / 2);
}

/* {"a":[[],[],...],"z":"x"}: three bytes of JSON are nine on the wire. */
static void lists(int count)
{
    buf_clear(&text);
    buf_add_cstr(&text, "{\"a\":[");
    for (int i = 0; i < count; i++) {
        buf_add_cstr(&text, i == 0 ? "[]" : ",[]");
    }
    buf_add_cstr(&text, "],\"z\":\"x\"}");
    encode(buf_span(&text), "");
}

static void defaults_that_take_too_much_room_are_left_out(void **state)
{
    /* name 3, list 9, 9 for each; "z" and "x" 3 each */
    static const int fit = (EVENT_DEFAULTS_MAX - 3 - 9 - 6) / 9;

    (void)state;
    lists(fit);
    assert_int_equal(count_named("a"), 1);
    assert_int_equal(count_named("z"), 1);
    for (int i = 1; i < 50000; i = i * 3) {
        lists(fit + i);
        assert_int_equal(count_named("a"), 0);
        assert_int_equal(count_named("z"), 0);
        assert_int_equal(count_named("device_id"), 1);
        assert_int_equal(count_named("qos"), 1);
    }
}

static void what_is_nested_too_deep_leaves_nothing(void **state)
{
    (void)state;
    encode(SPAN("{\"a\":1,\"b\":[[[[[[[[]]]]]]]],\"c\":null}"), "");
    assert_int_equal(count_named("a"), 1);
    assert_int_equal(count_named("c"), 0);
    encode(SPAN("{\"a\":1,\"b\":[[[[[[[[[]]]]]]]]]}"), "");
    assert_int_equal(count_named("a"), 0);
}

static void a_gateway_stands_there_once(void **state)
{
    static const char *const spelled[] = {"{\"gateway_id\":\"g\",\"a\":1}",
                                          "{\"a\":1,\"gateway\\u005fid\":\"g\"}"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        encode(span_cstr(spelled[i]), "gw");
        assert_int_equal(count_named("gateway_id"), 1);
        assert_int_equal(count_named("a"), 1);
        encode(span_cstr(spelled[i]), "");
        assert_int_equal(count_named("gateway_id"), 1);
    }
    encode(SPAN("{\"a\":1}"), "");
    assert_int_equal(count_named("gateway_id"), 0);
}

static void only_an_encoding_that_a_symbol_holds_is_told(void **state)
{
    static const struct {
        const char *defaults;
        const char *encoding;
    } cases[] = {
        {"{\"content-encoding\":\"gzip\"}", "gzip"},
        {"{\"content-encoding\":\"\\u0067zip, br~\"}", "gzip, br~"},
        {"{\"content-encoding\":\"g\xC3\xA9\"}", ""},
        {"{\"content-encoding\":\"g\\u00e9\"}", ""},
        {"{\"content-encoding\":\"g\\n\"}", ""},
        {"{\"content-encoding\":\"g\x7F\"}", ""},
        {"{\"content-encoding\":\"\"}", ""},
        {"{\"content-encoding\":7}", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct event_extras extras = extras_of(span_cstr(cases[i].defaults));

        assert_span(extras.content_encoding, cases[i].encoding);
        encode(span_cstr(cases[i].defaults), "");
        assert_int_equal(count_named("JMS_AMQP_CONTENT_ENCODING"), cases[i].encoding[0] != '\0');
        assert_int_equal(count_named("content-encoding"), 0);
    }
}

/* ---- what is kept ---- */

static struct registry registry;
static struct event_extras_cache cache;

static int open_registry(void **state)
{
    registry_open(&registry);
    cache = (struct event_extras_cache){.count = 0};
    return set_up(state);
}

static int close_registry(void **state)
{
    registry_close(&registry);
    return tear_down(state);
}

/* A tenant with these defaults, new or replaced; its key space. */
static uint32_t put(const char *id, const char *defaults)
{
    struct store_tenant tenant = {.id = span_cstr(id), .version = uuid_random()};
    struct store_txn *txn = NULL;
    uint32_t space = 0;

    buf_clear(&text);
    buf_printf(&text, "{\"defaults\":%s}", defaults);
    tenant.document = buf_span(&text);
    assert_ok(store_write_begin(registry.store, &txn, why));
    if (store_tenant_find(txn, tenant.id, &space, NULL) == KS_OK) {
        tenant.space = space;
        assert_ok(store_tenant_replace(txn, &tenant, why));
    } else {
        assert_ok(store_tenant_insert(txn, &tenant, &space, why));
    }
    assert_ok(store_write_commit(txn, why));
    registry_renew(&registry);
    return space;
}

static struct event_extras get(uint32_t space)
{
    struct event_extras extras;

    assert_ok(event_extras_get(&cache, &arena, registry.reader.txn, space, &extras, why));
    return extras;
}

static void a_change_of_the_tenant_is_seen(void **state)
{
    uint32_t space = put("T1", "{\"ttl\":5,\"a\":1}");

    (void)state;
    assert_int_equal(get(space).ttl_s, 5);
    assert_int_equal(get(space).count, 2);
    assert_int_equal(cache.count, 1);
    assert_int_equal(put("T1", "{\"ttl\":6}"), space);
    assert_int_equal(get(space).ttl_s, 6);
    assert_int_equal(get(space).count, 0);
}

static void a_new_tenant_of_the_same_name_adds_nothing(void **state)
{
    uint32_t space = put("T1", "{\"a\":1}");
    uint32_t other;

    (void)state;
    assert_int_equal(get(space).count, 2);
    registry_delete_tenant(&registry, "T1");
    other = put("T1", "{\"b\":1,\"c\":2}");
    assert_int_not_equal(other, space);
    assert_int_equal(get(space).count, 0);
    assert_int_equal(get(other).count, 4);
}

static void more_tenants_than_are_kept(void **state)
{
    enum { TENANTS = 3 * EVENT_EXTRAS_KEPT };
    uint32_t spaces[TENANTS];
    char id[16];
    char defaults[32];

    (void)state;
    for (int i = 0; i < TENANTS; i++) {
        (void)snprintf(id, sizeof(id), "t%d", i);
        (void)snprintf(defaults, sizeof(defaults), "{\"ttl\":%d,\"a\":\"%d\"}", i + 1, i);
        spaces[i] = put(id, defaults);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < TENANTS; i++) {
            const struct event_extras extras = get(spaces[i]);

            assert_int_equal(extras.ttl_s, i + 1);
            assert_int_equal(extras.count, 2);
            assert_true(cache.count > 0 && cache.count <= EVENT_EXTRAS_KEPT);
        }
    }
}

int main(void)
{
#define CASE(f)          cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define REGISTRY_CASE(f) cmocka_unit_test_setup_teardown(f, open_registry, close_registry)
    const struct CMUnitTest tests[] = {
        CASE(the_longest_ids_fit_beside_the_longest_defaults),
        CASE(defaults_that_take_too_much_room_are_left_out),
        CASE(what_is_nested_too_deep_leaves_nothing),
        CASE(a_gateway_stands_there_once),
        CASE(only_an_encoding_that_a_symbol_holds_is_told),
        REGISTRY_CASE(a_change_of_the_tenant_is_seen),
        REGISTRY_CASE(a_new_tenant_of_the_same_name_adds_nothing),
        REGISTRY_CASE(more_tenants_than_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
