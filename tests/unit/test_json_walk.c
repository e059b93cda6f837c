#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_walk.h"

/* What a walk over the value finds: `key=value` or `value`, each behind a blank. */
static const char *walk(struct span value)
{
    static char seen[512];
    struct json_walk walk;
    struct span key = span_of(NULL, 0);
    struct span found;
    size_t len = 0;

    seen[0] = '\0';
    if (!json_walk_begin(&walk, value)) {
        return "none";
    }
    while (json_walk_next(&walk, &key, &found)) {
        len += (size_t)snprintf(seen + len, sizeof(seen) - len,
                                walk.object ? " %.*s=%.*s" : "%.*s %.*s",
                                walk.object ? (int)key.len : 0, key.ptr, SPAN_ARG(found));
    }
    return seen;
}

static void values_are_stepped_through(void **state)
{
    static const struct {
        const char *text;
        const char *found;
    } cases[] = {
        {"{}", ""},
        {"[]", ""},
        {"{\"a\":1}", " a=1"},
        {"{\"a\":{\"b\":[1,{}]},\"c\":\"}\\\"]\",\"d\":null}",
         " a={\"b\":[1,{}]} c=\"}\\\"]\" d=null"},
        {"[1,\"a,b\",[2,3],{\"x\":\"]\"},true,-1.5e3]",
         " 1 \"a,b\" [2,3] {\"x\":\"]\"} true -1.5e3"},
        {" {}", "none"}, /* a value begins with its first character */
        {"{ \"a\" : 1 ,\n\t\"b\" :[ 2 , 3 ] }", " a=1 b=[ 2 , 3 ]"},
        {"{\"a\\\"b\":1}", " a\\\"b=1"},
        {"{\"\":\"\"}", " =\"\""},
        {"5", "none"},
        {"\"a\"", "none"},
        {"", "none"},
        /* no JSON: what can be told from it, and an end */
        {"{", ""},
        {"[", ""},
        {"[1", " 1"},
        {"[1,", " 1"},
        {"[\"a", ""},
        {"[\"a\\", ""},
        {"[[1,2]", " [1,2]"},
        {"[[1,2", ""},
        {"[{\"a\":\"]\"", ""},
        {"{\"a\"", ""},
        {"{\"a\":", ""},
        {"{\"a\" 1}", ""},
        {"{a:1}", ""},
        {"{1:2}", ""},
        {"{\"a\":1 \"b\":2}", " a=1 b=2"},
        {"[:]", " :"},
        {"{\"a\":,}", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].text);
        char *exact = malloc(len + 1); /* so that a sanitizer sees a read beyond the end */

        assert_non_null(exact);
        memcpy(exact, cases[i].text, len);
        exact = realloc(exact, len > 0 ? len : 1);
        assert_non_null(exact);
        if (strcmp(walk(span_of(exact, len)), cases[i].found) != 0) {
            fail_msg("%s: %s", cases[i].text, walk(span_of(exact, len)));
        }
        free(exact);
    }
}

static void a_text_cut_anywhere_ends_the_walk(void **state)
{
    static const char text[] = "{\"a\":{\"b\\\\\":[1,{}]},\"c\":\"\\u00e4\\\"\",\"d\":[[],[null]]}";

    (void)state;
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        char *exact = malloc(len > 0 ? len : 1);

        assert_non_null(exact);
        memcpy(exact, text, len);
        (void)walk(span_of(exact, len));
        free(exact);
    }
}

static void kinds_are_told_by_the_first_byte(void **state)
{
    static const struct {
        const char *text;
        enum json_kind kind;
    } cases[] = {
        {"{}", JSON_KIND_OBJECT}, {"[]", JSON_KIND_ARRAY},    {"\"\"", JSON_KIND_STRING},
        {"0", JSON_KIND_NUMBER},  {"-1.5", JSON_KIND_NUMBER}, {"true", JSON_KIND_TRUE},
        {"null", JSON_KIND_NULL}, {"false", JSON_KIND_FALSE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(json_walk_kind(span_cstr(cases[i].text)), cases[i].kind);
    }
}

static void strings_are_unescaped(void **state)
{
    static const struct {
        const char *value;
        const char *text; /* NULL: refused */
    } cases[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\xc3\xa4\"", "\xc3\xa4"},
        {"\"a\\\"b\\\\c\\/d\"", "a\"b\\c/d"},
        {"\"\\b\\f\\n\\r\\t\"", "\b\f\n\r\t"},
        {"\"\\u0041\\u00e4\\u20AC\"", "A\xc3\xa4\xe2\x82\xac"},
        {"\"\\ud83d\\uDE00!\"", "\xf0\x9f\x98\x80!"},
        {"\"\\x\"", NULL},
        {"\"\\u12\"", NULL},
        {"\"\\u12g4\"", NULL},
        {"\"\\ud83d\"", NULL},
        {"\"\\ud83dx\"", NULL},
        {"\"\\ud83d\\u0041\"", NULL},
        {"\"a\\\"", NULL},
        {"\"", NULL},
        {"5", NULL},
        {"abc", NULL},
    };
    struct buf scratch;
    struct span text;

    (void)state;
    buf_init(&scratch, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool ok = json_walk_string(span_cstr(cases[i].value), &scratch, &text);

        if (ok != (cases[i].text != NULL)) {
            fail_msg("%s: %d", cases[i].value, ok);
        }
        if (ok) {
            assert_span(text, cases[i].text);
        }
    }
    assert_true(json_walk_key(SPAN("a\\\"b"), &scratch, &text));
    assert_span(text, "a\"b");
    assert_true(json_walk_key(SPAN(""), &scratch, &text));
    assert_span(text, "");
    buf_done(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_stepped_through),
        cmocka_unit_test(a_text_cut_anywhere_ends_the_walk),
        cmocka_unit_test(kinds_are_told_by_the_first_byte),
        cmocka_unit_test(strings_are_unescaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
