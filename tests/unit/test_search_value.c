#include "support/test.h"

#include <string.h>

#include "service/search_value.h"

static void numbers_are_equal_by_value(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool equal;
    } cases[] = {
        {"1", "1.0", true},
        {"100", "1e2", true},
        {"0", "-0.0", true},
        {"-5", "-5.0", true},
        {"1", "1.5", false},
        {"9007199254740993", "9007199254740992", false}, /* one double for both */
        {"9007199254740993", "9007199254740992.0", false},
        {"9007199254740992", "9007199254740992.0", true},
        {"9223372036854775807", "9223372036854775806", false},
        {"9223372036854775807", "9223372036854775808.0", false},
        {"-9223372036854775808", "-9223372036854775808.0", true},
        {"0.1", "0.10000000000000001", true},
    };
    struct search_number a;
    struct search_number b;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(search_number_read(span_cstr(cases[i].a), &a));
        assert_true(search_number_read(span_cstr(cases[i].b), &b));
        if (search_number_eq(&a, &b) != cases[i].equal) {
            fail_msg("%s, %s", cases[i].a, cases[i].b);
        }
    }
    assert_false(search_number_read(SPAN(""), &a));
    assert_false(search_number_read(SPAN("-"), &a));
    assert_false(search_number_read(SPAN("1x"), &a));
    assert_false(search_number_read(SPAN("true"), &a));
}

static void values_are_equal_deeply(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool equal;
    } cases[] = {
        {"null", "null", true},
        {"true", "false", false},
        {"1", "\"1\"", false},
        {"\"a\"", "\"a\"", true},
        {"\"a\"", "\"b\"", false},
        {"\"\\u0041\"", "\"A\"", true},
        {"[]", "[]", true},
        {"[]", "{}", false},
        {"[1,2]", "[1,2.0]", true},
        {"[1,2]", "[2,1]", false},
        {"[1]", "[1,2]", false},
        {"{}", "{}", true},
        {"{\"a\":1,\"b\":[{}]}", "{\"b\":[{}],\"a\":1}", true},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
        {"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false},
        {"{\"a\":{\"b\":1}}", "{\"a\":{\"b\":2}}", false},
        {"", "", false},
        {"[", "[", true}, /* no JSON, and no harm */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (search_value_eq(span_cstr(cases[i].a), span_cstr(cases[i].b)) != cases[i].equal ||
            search_value_eq(span_cstr(cases[i].b), span_cstr(cases[i].a)) != cases[i].equal) {
            fail_msg("%s, %s", cases[i].a, cases[i].b);
        }
    }
}

/* Each comes before all below it. */
static void kinds_and_values_have_one_order(void **state)
{
    static const char *const ordered[] = {
        "null",
        "-1e300",
        "-9223372036854775808",
        "-2",
        "-1.5",
        "0",
        "0.001",
        "1",
        "2",
        "10",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775806",
        "9223372036854775807",
        "1e19",
        "\"\"",
        "\"\\u0001\"",
        "\"A\"",
        "\"a\"",
        "\"a\\u0001\"",
        "\"aa\"",
        "\"b\"",
        "\"\xc3\xa4\"",
        "{}",
        "{\"a\":1}",
        "{\"a\":1,\"b\":1}",
        "{\"a\":2}",
        "{\"b\":0}",
        "{\"a\":\"\"}", /* the member's kind counts before its name */
        "[]",
        "[1]",
        "[1,2]",
        "[2]",
        "[\"a\"]",
        "[\"b\",1]",
        "[[]]",
        "false",
        "true",
    };
    enum { COUNT = sizeof(ordered) / sizeof(ordered[0]) };
    struct buf keys[COUNT];

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        buf_init(&keys[i], 0);
        search_value_key(span_cstr(ordered[i]), &keys[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = i + 1; k < COUNT; k++) {
            size_t shorter = keys[i].len < keys[k].len ? keys[i].len : keys[k].len;

            if (memcmp(keys[i].ptr, keys[k].ptr, shorter) >= 0) { /* nor is one the other's begin */
                fail_msg("%s, %s", ordered[i], ordered[k]);
            }
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        buf_done(&keys[i]);
    }
}

static void equal_values_have_equal_keys(void **state)
{
    static const char *const pairs[][2] = {
        {"1", "1.0"}, {"0", "-0.0"}, {"\"A\"", "\"\\u0041\""}, {"[1]", "[1e0]"}, {"", "null"},
    };
    struct buf a;
    struct buf b;

    (void)state;
    buf_init(&a, 0);
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        buf_clear(&a);
        buf_clear(&b);
        search_value_key(span_cstr(pairs[i][0]), &a);
        search_value_key(span_cstr(pairs[i][1]), &b);
        assert_true(span_eq(buf_span(&a), buf_span(&b)));
    }
    buf_done(&a);
    buf_done(&b);
}

static void wildcards_stand_for_characters(void **state)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"abc", "ABC", false},
        {"*", "", true},
        {"*", "abc", true},
        {"**", "abc", true},
        {"a*", "a", true},
        {"a*", "abc", true},
        {"a*", "ba", false},
        {"*c", "abc", true},
        {"*c", "abcd", false},
        {"a*c", "ac", true},
        {"a*c", "abbbc", true},
        {"a*c", "abbb", false},
        {"a*a", "a", false},
        {"a*b*c", "a-b-b-c", true},
        {"a*b*c", "a-c-b", false},
        {"*ab*ab*", "ab", false},
        {"*ab*ab*", "xabyabz", true},
        {"*aab", "aaab", true},
        {"*a?b*", "xaab", true},
        {"*a?b*", "ab", false},
        {"?", "a", true},
        {"?", "", false},
        {"?", "ab", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"??", "\xc3\xa4\xe2\x82\xac", true}, /* two characters of several bytes */
        {"?", "\xc3\xa4\xe2\x82\xac", false},
        {"*?", "\xf0\x9f\x98\x80", true},
        {"*?\xc3\xa4", "x\xc3\xa4", true},
        {"*?\xc3\xa4", "\xc3\xa4", false},
        {"a.c", "abc", false},
        {"[a]", "a", false},
        {"\\*", "*", false},
        {"\\*", "\\x", true},
        /* no wildcard stands for a line feed */
        {"a?b", "a\nb", false},
        {"a*b", "a\nb", false},
        {"a*b", "a\rb", true},
        {"a\n*b", "a\nxb", true},
        {"a*\n*b", "ax\nyb", true},
        {"a*\n*b", "ax\ny\nb", false},
        {"*x", "\nx", false},
        {"x*", "x\n", false},
        {"*\n", "a\n", true},
        {"*a*", "b\na", false},
        {"*?a*", "\nba", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (search_glob(span_cstr(cases[i].pattern), span_cstr(cases[i].text)) !=
            cases[i].matches) {
            fail_msg("%s on %s", cases[i].pattern, cases[i].text);
        }
    }
}

/* The plainest form there is, to compare with. */
static bool glob_slowly(const char *pattern, const char *text)
{
    if (*pattern == '\0') {
        return *text == '\0';
    }
    if (*pattern == '*') {
        return glob_slowly(pattern + 1, text) ||
               (*text != '\0' && *text != '\n' && glob_slowly(pattern, text + 1));
    }
    return *text != '\0' && (*pattern == '?' ? *text != '\n' : *pattern == *text) &&
           glob_slowly(pattern + 1, text + 1);
}

static void write_number(unsigned number, const char *digits, char *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = digits[number % strlen(digits)];
        number /= (unsigned)strlen(digits);
    }
    out[len] = '\0';
}

static void every_short_pattern_does_what_the_plainest_form_does(void **state)
{
    char pattern[6];
    char text[6];

    (void)state;
    for (size_t pattern_len = 0; pattern_len <= 5; pattern_len++) {
        for (unsigned p = 0; p < 1U << (2 * pattern_len); p++) {
            write_number(p, "a*?\n", pattern, pattern_len);
            for (unsigned t = 0; t < 81; t++) {
                write_number(t, "ab\n", text, 4);
                if (search_glob(span_cstr(pattern), span_cstr(text)) !=
                    glob_slowly(pattern, text)) {
                    fail_msg("%s on %s", pattern, text);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_equal_by_value),
        cmocka_unit_test(values_are_equal_deeply),
        cmocka_unit_test(kinds_and_values_have_one_order),
        cmocka_unit_test(equal_values_have_equal_keys),
        cmocka_unit_test(wildcards_stand_for_characters),
        cmocka_unit_test(every_short_pattern_does_what_the_plainest_form_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
