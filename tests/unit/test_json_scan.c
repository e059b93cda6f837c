#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "base/json_scan.h"

static enum ks_status scan(const char *text, struct json_members *members)
{
    struct ks_failure why;

    return json_scan_object(span_cstr(text), members, &why);
}

static void json_is_taken_and_what_only_looks_like_it_is_not(void **state)
{
    static const char *const good[] = {
        "{}",
        " { } ",
        "{\"a\":1}",
        "{\"a\":-0.5e+10}",
        "{\"a\":[1,[],{}]}",
        "{\"\":null}",
        "{\"a\":\"\\u00e9\\ud83d\\ude00\"}",
        "{\"a\":true,\"b\":false}",
        "{\"a\":\"\xC3\xA9\"}",
        "{\"a\":0}",
        "{\"a\":1E5}",
        "\t\r\n{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
    };
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "null",
        "1",
        "\"a\"",
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":tru}",
        "{\"a\":nulL}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xC0\x80\"}",
        "{\"a\":\"\xED\xA0\x80\"}",
        "{\"a\":\"\xF4\x90\x80\x80\"}",
        "{} x",
        "{}{}",
        "{\"a\":1 2}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
        "{\"b\":{\"a\":1,\"a\":2}}",
        "{/**/}",
        "{\"a\":NaN}",
        "{\"a\":\"",
    };
    struct json_members members;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (scan(good[i], &members) != KS_OK) {
            fail_msg("refused: %s", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (scan(bad[i], &members) != KS_INVALID) {
            fail_msg("taken: %s", bad[i]);
        }
    }
}

static void every_cut_of_a_text_is_refused(void **state)
{
    static const char text[] = "{\"a\":[1,{\"b\":\"\\u00e9\xC3\xA9\"}],\"c\":-1.5e3,\"d\":null}";
    struct json_members members;

    (void)state;
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        assert_int_equal(json_scan_object(span_of(text, n), &members, NULL), KS_INVALID);
    }
    assert_ok(json_scan_object(SPAN(text), &members, why));
    assert_int_equal(members.count, 3);
}

static void depth_and_members_are_bounded(void **state)
{
    char text[4096];
    struct json_members members;
    size_t n;

    (void)state;
    for (int depth = JSON_SCAN_DEPTH - 1; depth <= JSON_SCAN_DEPTH; depth++) {
        n = (size_t)snprintf(text, sizeof(text), "{\"a\":");
        memset(text + n, '[', (size_t)depth);
        memset(text + n + depth, ']', (size_t)depth);
        text[n + 2 * (size_t)depth] = '}';
        assert_int_equal(json_scan_object(span_of(text, n + 2 * (size_t)depth + 1), &members, NULL),
                         depth < JSON_SCAN_DEPTH ? KS_OK : KS_INVALID);
    }
    for (int count = JSON_SCAN_MEMBERS; count <= JSON_SCAN_MEMBERS + 1; count++) {
        n = 0;
        for (int i = 0; i < count; i++) {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%c\"k%d\":%d", i == 0 ? '{' : ',', i,
                                  i);
        }
        text[n++] = '}';
        assert_int_equal(json_scan_object(span_of(text, n), &members, NULL),
                         count <= JSON_SCAN_MEMBERS ? KS_OK : KS_INVALID);
    }
}

static void members_are_found_by_their_unescaped_key(void **state)
{
    struct json_members members;
    const struct json_member *member;
    char room[64];
    struct span text;

    (void)state;
    assert_int_equal(scan("{\"a\\u0062\":\"x\\n\\ud83d\\ude00\",\"n\":1}", &members), KS_OK);
    member = json_members_find(&members, SPAN("ab"));
    assert_non_null(member);
    assert_int_equal(member->kind, JSON_KIND_STRING);
    json_scan_string(member->value, room, &text);
    assert_span(text, "x\n\xF0\x9F\x98\x80");
    member = json_members_find(&members, SPAN("n"));
    assert_int_equal(member->kind, JSON_KIND_NUMBER);
    assert_span(member->value, "1");
    assert_null(json_members_find(&members, SPAN("a")));
    assert_null(json_members_find(&members, SPAN("abc")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_taken_and_what_only_looks_like_it_is_not),
        cmocka_unit_test(every_cut_of_a_text_is_refused),
        cmocka_unit_test(depth_and_members_are_bounded),
        cmocka_unit_test(members_are_found_by_their_unescaped_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
