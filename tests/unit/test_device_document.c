#include "support/test.h"

#include <string.h>

#include "base/buf.h"
#include "service/device_document.h"
#include "support/documents.h"

/* ---- reading ---- */

static void every_member_is_taken_and_put_in_normal_form(void **state)
{
    static const struct documents_case cases[] = {
        {"", "{}"},
        {"{}", "{}"},
        {" {\"enabled\" : true} ", "{\"enabled\":true}"},
        {"{\"enabled\":\" False \"}", "{\"enabled\":false}"},
        {"{\"enabled\":0}", "{\"enabled\":false}"},
        {"{\"enabled\":-3}", "{\"enabled\":true}"},
        {"{\"enabled\":null}", "{}"},
        {"{\"enabled\":\" \"}", "{}"},
        {"{\"via\":[\"a\",\"b\",\"a\"]}", "{\"via\":[\"a\",\"b\",\"a\"]}"},
        {"{\"via\":\"gw\",\"viaGroups\":5}", "{\"via\":[\"gw\"],\"viaGroups\":[\"5\"]}"},
        {"{\"via\":\"\"}", "{\"via\":[\"\"]}"},
        {"{\"via\":[1,true,2.50]}", "{\"via\":[\"1\",\"true\",\"2.5\"]}"},
        {"{\"via\":[],\"viaGroups\":null}", "{}"},
        {"{\"memberOf\":[\"g\"]}", "{\"memberOf\":[\"g\"]}"},
        {"{\"memberOf\":null}", "{}"},
        {"{\"via\":[],\"viaGroups\":null,\"memberOf\":[\"g\"]}", "{\"memberOf\":[\"g\"]}"},
        {"{\"memberOf\":[],\"via\":\"gw\"}", "{\"via\":[\"gw\"]}"},
        {"{\"authorities\":[\"x\",\"y\",\"x\"]}", "{\"authorities\":[\"x\",\"y\"]}"},
        {"{\"authorities\":[]}", "{}"},
        {"{\"defaults\":{\"ttl\":10,\"n\":null},\"ext\":{}}",
         "{\"defaults\":{\"ttl\":10,\"n\":null}}"},
        {"{\"ext\":{\"\":1,\"$a\":[1.10,1e2,1e-7,-0.5,9223372036854775807],\"b.c\":\"\\u00e4/\"}}",
         "{\"ext\":{\"\":1,\"$a\":[1.1,100.0,1e-07,-0.5,9223372036854775807],\"b.c\":\"\xc3\xa4/"
         "\"}}"},
        {"{\"downstream-message-mapper\":\"d\",\"upstream-message-mapper\":7}",
         "{\"downstream-message-mapper\":\"d\",\"upstream-message-mapper\":\"7\"}"},
        {"{\"command-endpoint\":{}}", "{\"command-endpoint\":{}}"},
        {"{\"command-endpoint\":{\"uri\":\"http://x/"
         "{{deviceId}}\",\"headers\":{\"a\":1,\"b\":null},"
         "\"payload-properties\":{\"c\":true,\"d\":1e3}}}",
         "{\"command-endpoint\":{\"uri\":\"http://x/{{deviceId}}\",\"headers\":{\"a\":\"1\",\"b\":"
         "null},\"payload-properties\":{\"c\":\"true\",\"d\":\"1000.0\"}}}"},
        {"{\"command-endpoint\":{\"uri\":null,\"headers\":{},\"payload-properties\":null}}",
         "{\"command-endpoint\":{}}"},
        {"{\"status\":5}", "{}"},
        {"{\"status\":{\"created\":\"x\",\"auto-provisioned\":true}}", "{}"},
        {"{\"status\":null}", "{}"},
    };

    (void)state;
    documents_accepted(device_document_read, cases, DOCUMENTS_COUNT(cases));
}

static void what_breaks_a_rule_is_refused_by_its_name(void **state)
{
    static const struct documents_case cases[] = {
        {"{\"mapper\":\"m\"}", "there is no member \"mapper\""},
        {"{\"id\":\"x\"}", "there is no member \"id\""},
        {"{\"enabled\":\"yes\"}", "enabled: must be true or false"},
        {"{\"enabled\":1.0}", "enabled: must be true or false"},
        {"{\"enabled\":{}}", "enabled: must be true or false"},
        {"{\"enabled\":true,\"enabled\":false}", "the name occurs twice"},
        {"{\"ext\":{\"a\":{\"b\":1,\"b\":2}}}", "the name occurs twice"},
        {"{\"via\":{}}", "via: must be an array"},
        {"{\"via\":[null]}", "via[0]: must not be null"},
        {"{\"via\":[\"a\",[]]}", "via[1]: must be a text"},
        {"{\"viaGroups\":[{}]}", "viaGroups[0]: must be a text"},
        {"{\"memberOf\":[null]}", "memberOf[0]: must not be null"},
        {"{\"memberOf\":[\"g\"],\"via\":[]}", "via: memberOf excludes via and viaGroups"},
        {"{\"memberOf\":\"g\",\"viaGroups\":null}", "viaGroups: memberOf excludes"},
        {"{\"via\":\"gw\",\"memberOf\":[]}", "memberOf: memberOf excludes"},
        {"{\"viaGroups\":[\"g\"],\"memberOf\":[\"h\"]}", "memberOf: memberOf excludes"},
        {"{\"authorities\":\"x\"}", "authorities: must be an array"},
        {"{\"authorities\":[{}]}", "authorities[0]: must be a text"},
        {"{\"authorities\":[null]}", "authorities[0]: must not be null"},
        {"{\"defaults\":[]}", "defaults: must be an object"},
        {"{\"ext\":\"\"}", "ext: must be an object"},
        {"{\"ext\":true}", "ext: must be an object"},
        {"{\"downstream-message-mapper\":{}}", "downstream-message-mapper: must be a text"},
        {"{\"upstream-message-mapper\":[]}", "upstream-message-mapper: must be a text"},
        {"{\"command-endpoint\":null}", "command-endpoint: must not be null"},
        {"{\"command-endpoint\":\"\"}", "command-endpoint: must be an object"},
        {"{\"command-endpoint\":{\"url\":\"x\"}}", "command-endpoint: there is no member \"url\""},
        {"{\"command-endpoint\":{\"uri\":[]}}", "command-endpoint.uri: must be a text"},
        {"{\"command-endpoint\":{\"headers\":[]}}", "command-endpoint.headers: must be an object"},
        {"{\"command-endpoint\":{\"headers\":{\"a\":{}}}}",
         "command-endpoint.headers.a: must be a text"},
        {"{\"command-endpoint\":{\"payload-properties\":{\"a\":[]}}}",
         "command-endpoint.payload-properties.a: must be a text"},
        {"[]", "must be an object"},
        {"null", "JSON line 1, column"},
        {"\"x\"", "JSON line 1, column"},
        {"5", "JSON line 1, column"},
        {" ", "the text ends too early"},
        {"{", "the text ends too early"},
        {"{} {}", "something follows"},
        {"{} // end", "something follows"},
        {"{'a':1}", "not well-formed"},
        {"{\"ext\":{\"a\":01}}", "not well-formed"},
        {"{\"ext\":{\"a\":NaN}}", "not well-formed"},
        {"{\"ext\":{\"a\":1,}}", "not well-formed"},
        {"{\"ext\":{\"a\":9223372036854775808}}", "the number is too large"},
        {"{\"ext\":{\"a\":1e999}}", "the number is too large"},
        {"{\"ext\":{\"a\":\"\\u0000\"}}", "\\u0000"},
        {"{\"ext\":{\"a\xff\":1}}", "not UTF-8"},
        {"{\"ext\":{\"a\":\"\xc0\x80\"}}", "not UTF-8"},
        {"{\"ext\":{\"a\":\"\xed\xa0\x80\"}}", "not UTF-8"},
    };

    (void)state;
    documents_refused(device_document_read, cases, DOCUMENTS_COUNT(cases));
}

static void refusals_do_not_quote_the_text(void **state)
{
    struct ks_failure why = {0};
    json_t *document = NULL;

    (void)state;
    assert_int_equal(device_document_read(SPAN("{\"x\": secret}"), &document, &why), KS_INVALID);
    assert_null(strstr(why.text, "secret"));
    assert_string_equal(why.reason, "bad-json");
}

static struct span nested(struct buf *out, size_t depth)
{
    buf_clear(out);
    buf_add_cstr(out, "{\"ext\":{\"quoted\":\"[[[[\\\"{\",\"a\":");
    for (size_t i = 2; i < depth; i++) {
        buf_add_char(out, '[');
    }
    for (size_t i = 2; i < depth; i++) {
        buf_add_char(out, ']');
    }
    buf_add_cstr(out, "}}");
    return buf_span(out);
}

static void nesting_is_bounded(void **state)
{
    struct buf text = {0};
    json_t *document = NULL;
    struct ks_failure cause = {0};

    (void)state;
    assert_ok(device_document_read(nested(&text, 64), &document, why));
    json_decref(document);
    assert_int_equal(device_document_read(nested(&text, 65), &document, &cause), KS_INVALID);
    assert_string_equal(cause.text, "the JSON text is nested deeper than 64 levels");
    assert_int_equal(device_document_read(nested(&text, 500000), &document, &cause), KS_INVALID);
    buf_done(&text);
}

/* {"via":["aaa…"]} with `count` names of `len` bytes. */
static struct span names_of(struct buf *out, size_t count, size_t len)
{
    buf_clear(out);
    buf_add_cstr(out, "{\"via\":[");
    for (size_t i = 0; i < count; i++) {
        buf_add_cstr(out, i == 0 ? "\"" : ",\"");
        for (size_t k = 0; k < len; k++) {
            buf_add_char(out, 'a');
        }
        buf_add_char(out, '"');
    }
    buf_add_cstr(out, "]}");
    return buf_span(out);
}

static void lists_and_their_names_are_bounded(void **state)
{
    struct buf text = {0};
    struct store_device device = {.flags = 0};
    json_t *document = NULL;
    struct arena arena;
    struct ks_failure cause = {0};

    (void)state;
    arena_init(&arena);
    assert_ok(device_document_read(names_of(&text, 256, 200), &document, why));
    assert_ok(device_document_render(&arena, document, SPAN("d"), &device, why));
    json_decref(document);
    assert_int_equal(device_document_read(names_of(&text, 257, 1), &document, &cause), KS_INVALID);
    assert_string_equal(cause.text, "via: must have 0 to 256 elements");
    assert_int_equal(device_document_read(names_of(&text, 1, 201), &document, &cause), KS_INVALID);
    assert_string_equal(cause.text, "via[0]: must not be longer than 200 bytes");
    arena_done(&arena);
    buf_done(&text);
}

/* ---- rendering ---- */

static void check_strings(struct span list, const char *const *expected, size_t count)
{
    struct span entry;
    size_t offset = 0;

    for (size_t i = 0; i < count; i++) {
        assert_true(store_strings_next(list, &offset, &entry));
        assert_span(entry, expected[i]);
    }
    assert_false(store_strings_next(list, &offset, &entry));
}

static void adapters_get_what_concerns_them(void **state)
{
    static const char *const via[] = {"g1", "g2"};
    static const char *const groups[] = {"group"};
    json_t *document = documents_read(
        device_document_read,
        "{\"enabled\":true,\"ext\":{\"x\":1},\"defaults\":{\"ttl\":5},\"via\":[\"g1\",\"g2\"],"
        "\"viaGroups\":[\"group\"],\"authorities\":[\"auto-provisioning-enabled\"],"
        "\"downstream-message-mapper\":\"down\",\"upstream-message-mapper\":\"up\","
        "\"command-endpoint\":{\"uri\":\"u\"}}");
    struct store_device device = {.flags = STORE_DEVICE_AUTO_PROVISIONED, .event_seq = 7};
    struct arena arena;

    (void)state;
    arena_init(&arena);
    assert_ok(device_document_render(&arena, document, SPAN("a:b=c"), &device, why));
    json_decref(document);
    assert_span(device.id, "a:b=c");
    assert_span(device.answer,
                "{\"device-id\":\"a:b=c\",\"via\":[\"g1\",\"g2\"],\"defaults\":{\"ttl\":5},"
                "\"downstream-message-mapper\":\"down\",\"upstream-message-mapper\":\"up\","
                "\"command-endpoint\":{\"uri\":\"u\"}}");
    assert_int_equal(device.flags, STORE_DEVICE_AUTO_PROVISIONED | STORE_DEVICE_ENABLED |
                                       STORE_DEVICE_PROVISIONER);
    assert_int_equal(device.event_seq, 7);
    check_strings(device.via, via, 2);
    check_strings(device.via_groups, groups, 1);
    check_strings(device.member_of, NULL, 0);
    arena_done(&arena);
}

static void flags_follow_from_the_document(void **state)
{
    static const struct {
        const char *body;
        uint32_t flags;
    } cases[] = {
        {"{}", STORE_DEVICE_ENABLED},
        {"{\"enabled\":true}", STORE_DEVICE_ENABLED},
        {"{\"enabled\":false}", 0},
        {"{\"authorities\":[\"x\",\"auto-provisioning-enabled\"]}",
         STORE_DEVICE_ENABLED | STORE_DEVICE_PROVISIONER},
        {"{\"enabled\":false,\"authorities\":[\"auto-provisioning-enabled\"]}",
         STORE_DEVICE_PROVISIONER},
        {"{\"authorities\":[\"Auto-Provisioning-Enabled\",\"auto-provisioning-enabled \"]}",
         STORE_DEVICE_ENABLED},
        {"{\"ext\":{\"authorities\":[\"auto-provisioning-enabled\"]}}", STORE_DEVICE_ENABLED},
    };
    static const uint32_t before[] = {0, STORE_DEVICE_ENABLED | STORE_DEVICE_PROVISIONER};
    struct arena arena;

    (void)state;
    arena_init(&arena);
    for (size_t i = 0; i < DOCUMENTS_COUNT(cases) * 2; i++) {
        const char *body = cases[i / 2].body;
        json_t *document = documents_read(device_document_read, body);
        struct store_device device = {.flags = before[i % 2]};

        assert_ok(device_document_render(&arena, document, SPAN("d"), &device, why));
        if (device.flags != cases[i / 2].flags) {
            fail_msg("%s: flags %u", body, device.flags);
        }
        assert_span(device.document, body);
        assert_span(device.answer, "{\"device-id\":\"d\"}");
        json_decref(document);
    }
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_taken_and_put_in_normal_form),
        cmocka_unit_test(what_breaks_a_rule_is_refused_by_its_name),
        cmocka_unit_test(refusals_do_not_quote_the_text),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(lists_and_their_names_are_bounded),
        cmocka_unit_test(adapters_get_what_concerns_them),
        cmocka_unit_test(flags_follow_from_the_document),
    };
    int failed;

    documents_begin();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    documents_end();
    return failed;
}
