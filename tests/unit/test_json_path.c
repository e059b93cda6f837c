#include "support/test.h"

#include <string.h>

#include "base/buf.h"
#include "service/json_path.h"
#include "service/json_text.h"

/* `^` marks the byte that is asked for, and is not part of the text. */
static void a_byte_has_the_path_of_its_member(void **state)
{
    static const char *const cases[][2] = {
        {"^{}", ""},
        {"{^\"a\":1}", ""},
        {"{\"a\"^:1}", "a"},
        {"{\"a\":1^}", "a"},
        {"{\"a\":1,\"b\":^2}", "b"},
        {"{\"a\":{\"b\":[1,{\"c\":2^}]}}", "a.b[1].c"},
        {"{\"a\":{\"b\":1},\"c\":^2}", "c"},
        {"[{\"a\":1},[2,3^]]", "[1][1]"},
        {"[{\"a\":[],\"b\":{}},{\"b\"^:1}]", "[1].b"},
        {"{\"a\":\"x^", "a"},
        {"{\"a\":\"{[,\\\"b\\\":\",\"c\":^1}", "c"},
        {"{\"a\\\"b\":^1}", "a\\\"b"},
        {"{ \"a\" : { \"b\" ^: 1", "a.b"},
        {"]}^", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *mark = strchr(cases[i][0], '^');
        struct buf text = {0};
        struct buf path = {0};

        buf_add(&text, cases[i][0], (size_t)(mark - cases[i][0]));
        buf_add_cstr(&text, mark + 1);
        json_path_add(&path, buf_span(&text), (size_t)(mark - cases[i][0]));
        if (!span_eq(buf_span(&path), span_cstr(cases[i][1]))) {
            fail_msg("%s: %.*s", cases[i][0], SPAN_ARG(buf_span(&path)));
        }
        buf_done(&text);
        buf_done(&path);
    }
}

static void nesting_and_names_are_bounded(void **state)
{
    struct buf text = {0};
    struct buf path = {0};

    (void)state;
    for (int i = 0; i < 10 * JSON_TEXT_DEPTH; i++) {
        buf_add_char(&text, '[');
    }
    json_path_add(&path, buf_span(&text), text.len);
    assert_true(path.len <= 3 * (JSON_TEXT_DEPTH + 1));
    buf_clear(&text);
    buf_clear(&path);
    buf_add_cstr(&text, "{\"");
    for (int i = 0; i < 1000; i++) {
        buf_add_char(&text, 'a');
    }
    buf_add_char(&text, '"');
    json_path_add(&path, buf_span(&text), text.len);
    assert_int_equal(path.len, 64);
    buf_done(&text);
    buf_done(&path);
}

static void check_fault(const char *text, const char *expected)
{
    struct ks_failure why = {0};
    json_t *parsed = NULL;

    assert_int_equal(json_text_parse(span_cstr(text), &parsed, &why), KS_INVALID);
    assert_string_equal(why.text, expected);
    assert_string_equal(why.reason, "bad-json");
}

static void faults_tell_where_they_are(void **state)
{
    (void)state;
    check_fault("{\"a\":{\"b\":1,\n\"b\":2}}",
                "JSON line 2, column 3, at a.b: the name occurs twice");
    check_fault("[{\"ext\":{\"n\":[0,18446744073709551616]}}]",
                "JSON line 1, column 36, at [0].ext.n[1]: the number is too large");
    check_fault("{\"a\":\"x\\u0000\"}", "JSON line 1, column 14, at a: \\u0000 is not allowed");
    /* what is no JSON is not read for names */
    check_fault("{\"secret\" \"x\"}",
                "JSON line 1, column 13: not well-formed, or neither an object nor an array");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_has_the_path_of_its_member),
        cmocka_unit_test(nesting_and_names_are_bounded),
        cmocka_unit_test(faults_tell_where_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
