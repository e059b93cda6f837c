#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "service/reasons.h"
#include "service/search_query.h"

static struct arena arena;
static struct search_query query;
static struct ks_failure why;

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

static enum ks_status read_text(const char *text, bool of_devices)
{
    why = (struct ks_failure){.text = ""};
    return search_query_read(span_cstr(text), of_devices, &arena, &query, &why);
}

static void must_read(const char *text)
{
    if (read_text(text, true) != KS_OK) {
        fail_msg("%s: %s", text, why.text);
    }
}

static void pages_are_read(void **state)
{
    static const struct {
        const char *text;
        uint32_t size;
        uint64_t skip;
    } cases[] = {
        {"", 30, 0},
        {"pageSize=1", 1, 0},
        {"pageSize=200", 200, 0},
        {"PAGESIZE=7&pageoffset=3", 7, 21},
        {"pageOffset=2", 30, 60},
        {"pageSize=%2B2&pageOffset=007", 2, 14},
        {"pageSize=+2", 2, 0}, /* a blank and a number */
        {"pageSize=5;pageOffset=1", 5, 5},
        {"pageSize=5&pageSize=6&pageSize=x", 5, 0}, /* the first counts */
        {"pageOffset=1&PageOffset=9", 30, 30},
        {"page%53ize=8", 8, 0},
        {"pageSize=8#&pageSize=x", 8, 0},
        {"&&;;pageSize=8&", 8, 0},
        {"unknown=1&pageSize=8&other", 8, 0},
        {"pageOffset=2147483647&pageSize=200", 200, UINT64_C(429496729400)},
        {"pageOffset=-0", 30, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        must_read(cases[i].text);
        if (query.page_size != cases[i].size || query.skip != cases[i].skip) {
            fail_msg("%s: %u, %llu", cases[i].text, query.page_size,
                     (unsigned long long)query.skip);
        }
        assert_int_equal(query.filters, 0);
        assert_int_equal(query.orders, 0);
        assert_int_equal(query.gateways, SEARCH_ALL);
    }
}

static void gateways_are_asked_for_by_the_first_word(void **state)
{
    static const struct {
        const char *text;
        enum search_gateways gateways;
    } cases[] = {
        {"isGateway=true", SEARCH_GATEWAYS},
        {"ISGATEWAY=TrUe", SEARCH_GATEWAYS},
        {"isGateway=false", SEARCH_OTHERS},
        {"isGateway=yes", SEARCH_OTHERS},
        {"isGateway=1", SEARCH_OTHERS},
        {"isGateway=true%20", SEARCH_OTHERS},
        {"isGateway=", SEARCH_ALL},
        {"isGateway", SEARCH_ALL},
        {"isGateway=&isGateway=true", SEARCH_ALL},
        {"isGateway=true&isGateway=false", SEARCH_GATEWAYS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        must_read(cases[i].text);
        if (query.gateways != cases[i].gateways) {
            fail_msg("%s: %d", cases[i].text, query.gateways);
        }
    }
    assert_int_equal(read_text("isGateway=true", false), KS_OK); /* tenants are none */
    assert_int_equal(query.gateways, SEARCH_ALL);
}

#define FILTER(text) "filterJson={" text "}"

static void filters_are_read(void **state)
{
    static const struct {
        const char *text;
        const char *field;
        enum search_op op;
        enum json_kind kind;
        const char *operand;
        bool wild;
    } cases[] = {
        {FILTER("\"field\":\"/enabled\",\"value\":true"), "/enabled", SEARCH_EQ, JSON_KIND_TRUE,
         "true", false},
        {FILTER("\"value\":\"x\",\"field\":\"/ext/a\",\"op\":\"eq\""), "/ext/a", SEARCH_EQ,
         JSON_KIND_STRING, "x", false},
        {FILTER("\"field\":\"/id\",\"value\":\"a*\",\"op\":null"), "/id", SEARCH_EQ,
         JSON_KIND_STRING, "a*", true},
        {FILTER("\"field\":\"/id\",\"value\":\"a?\",\"op\":\"%20EQ%20\""), "/id", SEARCH_EQ,
         JSON_KIND_STRING, "a?", true},
        {FILTER("\"field\":\"\",\"value\":5"), "", SEARCH_EQ, JSON_KIND_NUMBER, "5", false},
        {FILTER("\"field\":\"/\",\"value\":1.50"), "/", SEARCH_EQ, JSON_KIND_NUMBER, "1.5", false},
        {FILTER("\"field\":\"/a\",\"value\":[1,null]"), "/a", SEARCH_EQ, JSON_KIND_ARRAY,
         "[1,null]", false},
        {FILTER("\"field\":\"/a\",\"value\":{\"b\":%20{\"$c\":1}}"), "/a", SEARCH_EQ,
         JSON_KIND_OBJECT, "{\"b\":{\"$c\":1}}", false},
        {FILTER("\"field\":\"/a\",\"value\":[\"x*\"],\"op\":\"IN\""), "/a", SEARCH_IN,
         JSON_KIND_STRING, "x*", true},
        {FILTER("\"field\":\"/a\",\"value\":[false,1],\"op\":\"not_in\""), "/a", SEARCH_NOT_IN,
         JSON_KIND_FALSE, "false", false},
        {"FILTERJSON=%7B%22field%22%3A%22%2Fa%22%2C%22value%22%3A%22b+c%2Bd%22%7D", "/a", SEARCH_EQ,
         JSON_KIND_STRING, "b c+d", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct search_filter *filter = &query.filter[0];

        must_read(cases[i].text);
        assert_int_equal(query.filters, 1);
        assert_span(filter->field.text, cases[i].field);
        assert_int_equal(filter->op, cases[i].op);
        assert_true(filter->count > 0);
        assert_int_equal(filter->operand[0].kind, cases[i].kind);
        assert_span(filter->operand[0].text, cases[i].operand);
        assert_int_equal(filter->operand[0].wild, cases[i].wild);
    }
    must_read(FILTER("\"field\":\"/a\",\"value\":[],\"op\":\"in\""));
    assert_int_equal(query.filter[0].count, 0);
}

static void the_last_filter_on_a_field_counts(void **state)
{
    (void)state;
    must_read(FILTER("\"field\":\"/a\",\"value\":1") "&" FILTER(
        "\"field\":\"/b\",\"value\":2") "&" FILTER("\"field\":\"/a\",\"value\":3"));
    assert_int_equal(query.filters, 2);
    assert_span(query.filter[0].field.text, "/a");
    assert_span(query.filter[0].operand->text, "3");
    assert_span(query.filter[1].operand->text, "2");
}

static void pointers_are_unescaped(void **state)
{
    static const char *const tokens[] = {"ext", "a/b", "m~n", "", "0", "x.y", "~1"};
    const struct search_pointer *field = &query.filter[0].field;

    (void)state;
    must_read(FILTER("\"field\":\"/ext/a~1b/m~0n//0/x.y/~01\",\"value\":1"));
    assert_int_equal(field->count, sizeof(tokens) / sizeof(tokens[0]));
    for (size_t i = 0; i < field->count; i++) {
        assert_span(field->token[i], tokens[i]);
    }
    assert_false(search_pointer_is(field, SPAN("ext")));
    must_read(FILTER("\"field\":\"/id\",\"value\":1"));
    assert_true(search_pointer_is(field, SPAN("id")));
    must_read(FILTER("\"field\":\"\",\"value\":1"));
    assert_int_equal(field->count, 0);
    assert_false(search_pointer_is(field, SPAN("")));
}

#define SORT(text) "sortJson={" text "}"

static void orders_are_read(void **state)
{
    static const struct {
        const char *text;
        bool descending;
    } cases[] = {
        {SORT("\"field\":\"/a\""), false},
        {SORT("\"field\":\"/a\",\"direction\":\"asc\""), false},
        {SORT("\"field\":\"/a\",\"direction\":\"Desc\""), true},
        {SORT("\"direction\":\"%20DESC\",\"field\":\"/a\""), true},
        {SORT("\"field\":\"/a\",\"direction\":null"), true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        must_read(cases[i].text);
        assert_int_equal(query.orders, 1);
        assert_span(query.order[0].field.text, "/a");
        assert_int_equal(query.order[0].descending, cases[i].descending);
    }
    must_read(SORT("\"field\":\"/b\"") ";" SORT("\"field\":\"/a\"") ";" SORT("\"field\":\"/b\""));
    assert_int_equal(query.orders, 3);
    assert_span(query.order[0].field.text, "/b");
    assert_span(query.order[1].field.text, "/a");
    must_read(SORT("\"field\":\"\""));
    assert_int_equal(query.orders, 1);
}

/* What is wrong is refused with a text that names the parameter. */
static void what_is_malformed_is_named(void **state)
{
    static const struct {
        const char *text;
        const char *error;
        const char *reason;
    } cases[] = {
        {"pageSize=0", "pageSize: must be 1 to 200", REASON_BAD_REQUEST},
        {"pageSize=201", "pageSize: must be 1 to 200", REASON_BAD_REQUEST},
        {"pageSize=-100", "pageSize: must be 1 to 200", REASON_BAD_REQUEST},
        {"pageSize=", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageSize", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageSize=+", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageSize=x", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageSize=1.0", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageSize=0x10", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageSize=%00", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageSize=%FF", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageSize=99999999999999999999", "pageSize: must be an integer", REASON_BAD_REQUEST},
        {"pageOffset=-1", "pageOffset: must be 0 to 2147483647", REASON_BAD_REQUEST},
        {"pageOffset=2147483648", "pageOffset: must be 0 to 2147483647", REASON_BAD_REQUEST},
        {"pageOffset=", "pageOffset: must be an integer", REASON_BAD_REQUEST},
        {"pageSize=%zz", "pageSize: the value holds a malformed percent escape",
         REASON_BAD_REQUEST},
        {"other=%4", "other: the value holds a malformed percent escape", REASON_BAD_REQUEST},
        {"%=1", "the name of a query parameter holds a malformed percent escape",
         REASON_BAD_REQUEST},
        {"filterJson=", "filterJson[0]: JSON line 1, column 0: the text ends too early",
         REASON_BAD_JSON},
        {"filterJson={", "filterJson[0]: JSON line 1, column 1: the text ends too early",
         REASON_BAD_JSON},
        {"filterJson={}x", "filterJson[0]: JSON line 1, column 3: something follows the JSON value",
         REASON_BAD_JSON},
        {"filterJson=null",
         "filterJson[0]: JSON line 1, column 4: not well-formed, or neither an object nor an array",
         REASON_BAD_JSON},
        {"filterJson=[]", "filterJson[0]: must be a JSON object", REASON_BAD_REQUEST},
        {"filterJson={}", "filterJson[0].field: must be a JSON pointer", REASON_BAD_REQUEST},
        {FILTER("\"field\":null,\"value\":1"), "filterJson[0].field: must be a JSON pointer",
         REASON_BAD_REQUEST},
        {FILTER("\"field\":5,\"value\":1"), "filterJson[0].field: must be a JSON pointer",
         REASON_BAD_REQUEST},
        {FILTER("\"field\":\"ext/a\",\"value\":1"), "filterJson[0].field: must be a JSON pointer",
         REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a~2\",\"value\":1"),
         "filterJson[0].field: a ~ in a JSON pointer must be followed by 0 or 1",
         REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a~\",\"value\":1"),
         "filterJson[0].field: a ~ in a JSON pointer must be followed by 0 or 1",
         REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\""), "filterJson[0].value: is missing", REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\",\"value\":null"), "filterJson[0].value: must not be null",
         REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\",\"value\":{\"$gt\":1}"),
         "filterJson[0].value: is compared as it is: an object with a name that begins with $ is "
         "no "
         "operator here",
         REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\",\"value\":1,\"op\":\"gt\""),
         "filterJson[0].op: must be one of eq, in, not_in", REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\",\"value\":1,\"op\":0"),
         "filterJson[0].op: must be one of eq, in, not_in", REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\",\"value\":1,\"op\":\"in\""),
         "filterJson[0].value: must be an array with the operators in and not_in",
         REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\",\"value\":[1,null],\"op\":\"in\""),
         "filterJson[0].value[1]: must not be null", REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\",\"value\":1,\"Op\":\"eq\""),
         "filterJson[0]: there is no member \"Op\"", REASON_BAD_REQUEST},
        {FILTER("\"field\":\"/a\",\"value\":1,\"value\":2"),
         "filterJson[0]: JSON line 1, column 31, at value: the name occurs twice", REASON_BAD_JSON},
        {FILTER("\"field\":\"/a\",\"value\":9223372036854775808"),
         "filterJson[0]: JSON line 1, column 41, at value: the number is too large",
         REASON_BAD_JSON},
        {FILTER("\"field\":\"/a\",\"value\":\"%FF\""),
         "filterJson[0]: JSON line 1, column 23: not UTF-8", REASON_BAD_JSON},
        {FILTER("\"field\":\"/a\",\"value\":1") "&filterJson=",
         "filterJson[1]: JSON line 1, column 0: the text ends too early", REASON_BAD_JSON},
        {"sortJson=", "sortJson[0]: JSON line 1, column 0: the text ends too early",
         REASON_BAD_JSON},
        {"sortJson=[1]", "sortJson[0]: must be a JSON object", REASON_BAD_REQUEST},
        {"sortJson={}", "sortJson[0].field: must be a JSON pointer", REASON_BAD_REQUEST},
        {SORT("\"field\":\"a\""), "sortJson[0].field: must be a JSON pointer", REASON_BAD_REQUEST},
        {SORT("\"field\":\"/\""), "sortJson[0].field: no part of the field to sort by may be empty",
         REASON_BAD_REQUEST},
        {SORT("\"field\":\"/a//b\""),
         "sortJson[0].field: no part of the field to sort by may be empty", REASON_BAD_REQUEST},
        {SORT("\"field\":\"/a\",\"direction\":\"up\""),
         "sortJson[0].direction: must be one of asc, desc", REASON_BAD_REQUEST},
        {SORT("\"field\":\"/a\",\"direction\":\"\""),
         "sortJson[0].direction: must be one of asc, desc", REASON_BAD_REQUEST},
        {SORT("\"field\":\"/a\",\"value\":1"), "sortJson[0]: there is no member \"value\"",
         REASON_BAD_REQUEST},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (read_text(cases[i].text, true) != KS_INVALID || why.reason == NULL ||
            strcmp(why.reason, cases[i].reason) != 0 ||
            strncmp(why.text, cases[i].error, strlen(cases[i].error)) != 0) {
            fail_msg("%s: %s", cases[i].text, why.text);
        }
        arena_reset(&arena);
    }
}

/* The text so often, its number written for each % in it. */
static const char *repeated(const char *format, size_t times)
{
    static char text[16384];
    size_t len = 0;

    for (size_t i = 0; i < times; i++) {
        for (const char *c = format; *c != '\0'; c++) {
            assert_true(len < sizeof(text) - 16);
            if (*c == '@') {
                len += (size_t)snprintf(text + len, 16, "%zu", i);
            } else {
                text[len++] = *c;
            }
        }
    }
    text[len] = '\0';
    return text;
}

static void the_number_of_parts_is_bounded(void **state)
{
    static const char filter[] = FILTER("\"field\":\"/a@\",\"value\":1") "&";
    static const char same[] = FILTER("\"field\":\"/a\",\"value\":1") "&";
    static const char sort[] = SORT("\"field\":\"/a@\"") "&";
    char text[1024];

    (void)state;
    must_read(repeated(filter, SEARCH_FILTERS_MAX));
    assert_int_equal(query.filters, SEARCH_FILTERS_MAX);
    assert_int_equal(read_text(repeated(filter, SEARCH_FILTERS_MAX + 1), true), KS_INVALID);
    assert_string_equal(why.text, "filterJson: at most 32 filters are taken");
    assert_int_equal(read_text(repeated(same, SEARCH_FILTERS_MAX + 1), true), KS_INVALID);
    must_read(repeated(sort, SEARCH_ORDERS_MAX));
    assert_int_equal(query.orders, SEARCH_ORDERS_MAX);
    assert_int_equal(read_text(repeated(sort, SEARCH_ORDERS_MAX + 1), true), KS_INVALID);
    assert_string_equal(why.text, "sortJson: at most 8 are taken");

    (void)snprintf(text, sizeof(text), SORT("\"field\":\"%s\""),
                   repeated("/a", SEARCH_POINTER_MAX));
    must_read(text);
    (void)snprintf(text, sizeof(text), SORT("\"field\":\"%s\""),
                   repeated("/a", SEARCH_POINTER_MAX + 1));
    assert_int_equal(read_text(text, true), KS_INVALID);
    assert_string_equal(why.text, "sortJson[0].field: must not have more than 64 parts");

    (void)snprintf(text, sizeof(text), FILTER("\"field\":\"/a\",\"op\":\"in\",\"value\":[%s1]"),
                   repeated("1,", SEARCH_VALUES_MAX - 1));
    must_read(text);
    assert_int_equal(query.filter[0].count, SEARCH_VALUES_MAX);
    (void)snprintf(text, sizeof(text), FILTER("\"field\":\"/a\",\"op\":\"in\",\"value\":[%s1]"),
                   repeated("1,", SEARCH_VALUES_MAX));
    assert_int_equal(read_text(text, true), KS_INVALID);
    assert_string_equal(why.text, "filterJson[0].value: more than 256 values in all");

    (void)snprintf(text, sizeof(text), FILTER("\"field\":\"/a\",\"value\":\"*%s*\""),
                   repeated("?", SEARCH_PIECES_MAX));
    must_read(text);
    (void)snprintf(text, sizeof(text), FILTER("\"field\":\"/a\",\"value\":\"*?*%s*\""),
                   repeated("?", SEARCH_PIECES_MAX));
    assert_int_equal(read_text(text, true), KS_INVALID);
    assert_string_equal(why.text, "filterJson[0].value: the parts with ? between two * have more "
                                  "than 256 bytes in all");
    (void)snprintf(text, sizeof(text), FILTER("\"field\":\"/a\",\"value\":\"?%s*?%s\""),
                   repeated("a", SEARCH_PIECES_MAX), repeated("a", SEARCH_PIECES_MAX));
    must_read(text); /* these have their places */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(pages_are_read),
        TEST(gateways_are_asked_for_by_the_first_word),
        TEST(filters_are_read),
        TEST(the_last_filter_on_a_field_counts),
        TEST(pointers_are_unescaped),
        TEST(orders_are_read),
        TEST(what_is_malformed_is_named),
        TEST(the_number_of_parts_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
