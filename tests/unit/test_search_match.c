#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "service/search_match.h"

static struct arena arena;
static struct search_query query;
static struct search_matcher matcher;

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

/* A query without percent escapes. */
static void read_query(const char *parameters)
{
    struct ks_failure why = {0};

    if (search_query_read(span_cstr(parameters), true, &arena, &query, &why) != KS_OK) {
        fail_msg("%s: %s", parameters, why.text);
    }
    search_matcher_init(&matcher, &query);
}

static struct search_record record_of(const char *document)
{
    return (struct search_record){.id = SPAN("dev-1"),
                                  .document = span_cstr(document),
                                  .status = SPAN("{\"created\":\"2026-11-27T10:00:00Z\"}")};
}

static bool matches(const char *parameters, const char *document)
{
    const struct search_record record = record_of(document);
    bool matched;

    read_query(parameters);
    matched = search_matches(&matcher, &record);
    search_matcher_done(&matcher);
    return matched;
}

static struct buf row_of(const char *parameters, const char *document, const char *id)
{
    struct search_record record = record_of(document);
    struct buf row;

    record.id = span_cstr(id);
    buf_init(&row, 0);
    read_query(parameters);
    search_add_row(&matcher, &record, &row);
    search_matcher_done(&matcher);
    return row;
}

static void a_field_is_compared_with_a_value(void **state)
{
    static const char document[] =
        "{\"enabled\":true,\"via\":[\"gw-1\",\"gw-2\"],\"ext\":{\"s\":\"abc\",\"n\":5,\"r\":1.5,"
        "\"f\":false,\"z\":null,\"e\":\"\",\"o\":{\"k\":1,\"l\":[2]},\"nums\":[1,2.0,[3]],"
        "\"objs\":[{\"k\":\"a\"},{\"k\":\"b\",\"m\":{\"d\":7}},\"k\",[{\"k\":\"hidden\"}]],"
        "\"a/b\":\"slash\",\"m~n\":\"tilde\",\"x.y\":\"dot\",\"q\\\"q\":\"quote\","
        "\"t\":\"say \\\"hi\\\"\\u000Aagain\",\"\":\"empty\",\"0\":\"zero\",\"u\":\"\xc3\xa4*\"}}";
    static const struct {
        const char *filter;
        bool matches;
    } cases[] = {
        {"\"field\":\"/enabled\",\"value\":true", true},
        {"\"field\":\"/enabled\",\"value\":false", false},
        {"\"field\":\"/enabled\",\"value\":1", false},
        {"\"field\":\"/enabled\",\"value\":\"true\"", false},
        {"\"field\":\"/ext/f\",\"value\":false", true},
        {"\"field\":\"/ext/none\",\"value\":false", false},
        /* strings */
        {"\"field\":\"/ext/s\",\"value\":\"abc\"", true},
        {"\"field\":\"/ext/s\",\"value\":\"ABC\"", false},
        {"\"field\":\"/ext/s\",\"value\":\"ab*\"", true},
        {"\"field\":\"/ext/s\",\"value\":\"?b?\"", true},
        {"\"field\":\"/ext/s\",\"value\":\"b*\"", false},
        {"\"field\":\"/ext/e\",\"value\":\"\"", true},
        {"\"field\":\"/ext/e\",\"value\":\"*\"", true},
        {"\"field\":\"/ext/n\",\"value\":\"*\"", false},
        {"\"field\":\"/ext/z\",\"value\":\"*\"", false},
        {"\"field\":\"/ext/t\",\"value\":\"say \\\"hi\\\"\\nagain\"", true},
        {"\"field\":\"/ext/t\",\"value\":\"say*\"", false}, /* not over a line feed */
        {"\"field\":\"/ext/t\",\"value\":\"say*\\n*\"", true},
        {"\"field\":\"/ext/u\",\"value\":\"??\"", true},
        {"\"field\":\"/ext/u\",\"value\":\"\xc3\xa4*\"", true},
        /* numbers */
        {"\"field\":\"/ext/n\",\"value\":5", true},
        {"\"field\":\"/ext/n\",\"value\":5.0", true},
        {"\"field\":\"/ext/n\",\"value\":\"5\"", false},
        {"\"field\":\"/ext/r\",\"value\":1.5", true},
        {"\"field\":\"/ext/r\",\"value\":1", false},
        /* arrays: the whole, or an element */
        {"\"field\":\"/via\",\"value\":\"gw-2\"", true},
        {"\"field\":\"/via\",\"value\":\"gw-*\"", true},
        {"\"field\":\"/via\",\"value\":\"gw\"", false},
        {"\"field\":\"/via\",\"value\":[\"gw-1\",\"gw-2\"]", true},
        {"\"field\":\"/via\",\"value\":[\"gw-2\",\"gw-1\"]", false},
        {"\"field\":\"/via\",\"value\":[\"gw-1\"]", false},
        {"\"field\":\"/via/0\",\"value\":\"gw-1\"", true},
        {"\"field\":\"/via/1\",\"value\":\"gw-1\"", false},
        {"\"field\":\"/via/2\",\"value\":\"*\"", false},
        {"\"field\":\"/via/00\",\"value\":\"*\"", false},
        {"\"field\":\"/via/-\",\"value\":\"*\"", false},
        {"\"field\":\"/ext/nums\",\"value\":2", true},
        {"\"field\":\"/ext/nums\",\"value\":3", false}, /* of an array in the array */
        {"\"field\":\"/ext/nums\",\"value\":[3]", true},
        {"\"field\":\"/ext/nums/2\",\"value\":3", true},
        {"\"field\":\"/ext/nums/2/0\",\"value\":3", true},
        /* objects */
        {"\"field\":\"/ext/o\",\"value\":{\"l\":[2],\"k\":1}", true},
        {"\"field\":\"/ext/o\",\"value\":{\"k\":1}", false},
        {"\"field\":\"/ext/o/k\",\"value\":1", true},
        {"\"field\":\"/ext/o/l\",\"value\":2", true},
        {"\"field\":\"/ext/o/k/x\",\"value\":1", false},
        /* through arrays */
        {"\"field\":\"/ext/objs/k\",\"value\":\"a\"", true},
        {"\"field\":\"/ext/objs/k\",\"value\":\"b\"", true},
        {"\"field\":\"/ext/objs/k\",\"value\":\"hidden\"", false},
        {"\"field\":\"/ext/objs/3/k\",\"value\":\"hidden\"", true},
        {"\"field\":\"/ext/objs/1/k\",\"value\":\"b\"", true},
        {"\"field\":\"/ext/objs/0/k\",\"value\":\"b\"", false},
        {"\"field\":\"/ext/objs/m/d\",\"value\":7", true},
        {"\"field\":\"/ext/objs\",\"value\":{\"k\":\"a\"}", true},
        {"\"field\":\"/ext/objs\",\"value\":\"k\"", true},
        /* names */
        {"\"field\":\"/ext/a~1b\",\"value\":\"slash\"", true},
        {"\"field\":\"/ext/m~0n\",\"value\":\"tilde\"", true},
        {"\"field\":\"/ext/x.y\",\"value\":\"dot\"", true},
        {"\"field\":\"/ext/q\\\"q\",\"value\":\"quote\"", true},
        {"\"field\":\"/ext/\",\"value\":\"empty\"", true},
        {"\"field\":\"/ext/0\",\"value\":\"zero\"", true},
        {"\"field\":\"/ext.s\",\"value\":\"abc\"", false},
        {"\"field\":\"/EXT/s\",\"value\":\"abc\"", false},
        {"\"field\":\"\",\"value\":\"*\"", false},
        {"\"field\":\"/\",\"value\":\"*\"", false},
        /* what is not in the document */
        {"\"field\":\"/id\",\"value\":\"dev-1\"", true},
        {"\"field\":\"/id\",\"value\":\"dev-?\"", true},
        {"\"field\":\"/id\",\"value\":\"dev\"", false},
        {"\"field\":\"/id\",\"value\":1", false},
        {"\"field\":\"/id/0\",\"value\":\"dev-1\"", false},
        {"\"field\":\"/status/created\",\"value\":\"2026-*\"", true},
        {"\"field\":\"/status/updated\",\"value\":\"*\"", false},
        /* several values */
        {"\"field\":\"/ext/n\",\"op\":\"in\",\"value\":[1,5]", true},
        {"\"field\":\"/ext/n\",\"op\":\"in\",\"value\":[1,\"5\"]", false},
        {"\"field\":\"/ext/n\",\"op\":\"in\",\"value\":[]", false},
        {"\"field\":\"/ext/s\",\"op\":\"in\",\"value\":[\"x\",\"a*\"]", true},
        {"\"field\":\"/via\",\"op\":\"in\",\"value\":[\"gw-9\",\"gw-2\"]", true},
        {"\"field\":\"/ext/none\",\"op\":\"in\",\"value\":[1]", false},
        {"\"field\":\"/ext/n\",\"op\":\"not_in\",\"value\":[1,5]", false},
        {"\"field\":\"/ext/n\",\"op\":\"not_in\",\"value\":[1,2]", true},
        {"\"field\":\"/ext/n\",\"op\":\"not_in\",\"value\":[]", true},
        {"\"field\":\"/via\",\"op\":\"not_in\",\"value\":[\"gw-2\"]", false},
        {"\"field\":\"/ext/none\",\"op\":\"not_in\",\"value\":[1]", true},
    };
    char parameters[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(parameters, sizeof(parameters), "filterJson={%s}", cases[i].filter);
        if (matches(parameters, document) != cases[i].matches) {
            fail_msg("%s", cases[i].filter);
        }
    }
}

static void all_filters_must_match(void **state)
{
    static const char both[] = "filterJson={\"field\":\"/a\",\"value\":1}&"
                               "filterJson={\"field\":\"/b\",\"value\":2}";

    (void)state;
    assert_true(matches("", "{}"));
    assert_true(matches(both, "{\"a\":1,\"b\":2}"));
    assert_false(matches(both, "{\"a\":1}"));
    assert_false(matches(both, "{\"b\":2}"));
    assert_false(matches(both, "")); /* no document at all */
}

/* In [{"0":…}] the number 0 leads to the object, and in it to its member. */
static void numbers_are_places_and_names(void **state)
{
    static const char document[] = "{\"l\":[{\"0\":[{\"0\":[{\"0\":\"x\"},7]}]},{\"0\":\"y\"}]}";
    static const struct {
        const char *field;
        const char *value;
        bool matches;
    } cases[] = {
        {"/l/0", "\"y\"", true},
        {"/l/0/0/0", "\"x\"", true}, /* by names only */
        {"/l/0/0/0/0", "\"x\"", true},
        {"/l/0/0/0/0/0/0", "\"x\"", true}, /* by places and names */
        {"/l/0/0/0/0/0/0/0", "\"x\"", false},
        {"/l/0/0", "\"x\"", false},
        {"/l/0/0/1", "7", true},
        {"/l/0/0/0/0/1", "7", true},
        {"/l/0/0/0/0/0/1", "7", false},
        {"/l/1/0", "\"y\"", true},
        {"/l/1", "\"y\"", false},
    };
    char parameters[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(parameters, sizeof(parameters), "filterJson={\"field\":\"%s\",\"value\":%s}",
                       cases[i].field, cases[i].value);
        if (matches(parameters, document) != cases[i].matches) {
            fail_msg("%s", parameters);
        }
    }
}

/* Followed one by one, the ways to the innermost value are 2^31: the test would not end. */
static void ways_that_meet_are_followed_once(void **state)
{
    enum { ARRAYS = 31, TOKENS = 48 };
    char document[1024] = "{\"l\":";
    char field[256] = "/l";
    char parameters[512];
    struct buf row;

    (void)state;
    for (size_t i = 0; i < ARRAYS; i++) {
        memcpy(document + strlen(document), "[{\"0\":", sizeof("[{\"0\":"));
    }
    document[strlen(document)] = '1';
    for (size_t i = 0; i < ARRAYS; i++) {
        memcpy(document + strlen(document), "}]", sizeof("}]"));
    }
    document[strlen(document)] = '}';
    for (size_t i = 0; i < TOKENS; i++) {
        memcpy(field + strlen(field), "/0", sizeof("/0"));
    }
    (void)snprintf(parameters, sizeof(parameters), "filterJson={\"field\":\"%s\",\"value\":1}",
                   field);
    assert_true(matches(parameters, document));
    (void)snprintf(parameters, sizeof(parameters), "filterJson={\"field\":\"%s\",\"value\":2}",
                   field);
    assert_false(matches(parameters, document));
    (void)snprintf(parameters, sizeof(parameters),
                   "sortJson={\"field\":\"%s\",\"direction\":\"asc\"}", field);
    row = row_of(parameters, document, "x");
    assert_true(row.len > 0);
    buf_done(&row);
}

/* ---- order ---- */

#define SORT(field, direction) "sortJson={\"field\":\"" field "\",\"direction\":\"" direction "\"}"

/* Each comes before all below it. */
static void assert_ordered(const char *parameters, const char *const (*records)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count; k++) {
            struct buf a = row_of(parameters, records[i][1], records[i][0]);
            struct buf b = row_of(parameters, records[k][1], records[k][0]);

            if (span_cmp(buf_span(&a), buf_span(&b)) >= 0) {
                fail_msg("%s: %s, %s", parameters, records[i][1], records[k][1]);
            }
            buf_done(&a);
            buf_done(&b);
        }
    }
}

static void rows_are_ordered_by_fields_then_by_id(void **state)
{
    static const char *const by_id[][2] = {{"", "{}"}, {"A", "{}"}, {"a", "{}"}, {"a1", "{}"}};
    static const char *const ascending[][2] = {
        {"x", "{}"},
        {"y", "{\"a\":null}"}, /* as a missing one: the id tells */
        {"z", "{}"},
        {"x", "{\"a\":-1}"},
        {"x", "{\"a\":0}"},
        {"y", "{\"a\":0.0}"},
        {"x", "{\"a\":\"\"}"},
        {"z", "{\"a\":\"a\"}"},
        {"x", "{\"a\":\"ab\"}"},
        {"x", "{\"a\":\"b\"}"},
        {"x", "{\"a\":{}}"},
        {"x", "{\"a\":[]}"},
        {"x", "{\"a\":[1]}"},
        {"x", "{\"a\":false}"},
        {"x", "{\"a\":true}"},
    };
    static const char *const descending[][2] = {
        {"x", "{\"a\":true}"},
        {"x", "{\"a\":false}"},
        {"x", "{\"a\":[]}"},
        {"x", "{\"a\":{}}"},
        {"x", "{\"a\":\"b\"}"},
        {"x", "{\"a\":\"ab\"}"},
        {"a", "{\"a\":\"a\"}"},
        {"b", "{\"a\":\"a\"}"}, /* ties by id, upwards */
        {"x", "{\"a\":\"\"}"},
        {"x", "{\"a\":0}"},
        {"x", "{\"a\":-1}"},
        {"x", "{\"a\":null}"},
        {"y", "{}"},
    };
    static const char *const two[][2] = {
        {"x", "{\"a\":1,\"b\":\"z\"}"}, {"x", "{\"a\":1,\"b\":\"a\"}"}, {"x", "{\"a\":1}"},
        {"x", "{\"a\":2,\"b\":\"z\"}"}, {"x", "{\"a\":2,\"b\":\"a\"}"},
    };
    static const char *const ids_down[][2] = {{"b", "{}"}, {"a2", "{}"}, {"a", "{}"}};

    (void)state;
    assert_ordered("", by_id, 4);
    assert_ordered(SORT("/a", "asc"), ascending, 15);
    assert_ordered(SORT("/a", "desc"), descending, 13);
    assert_ordered(SORT("/a", "asc") "&" SORT("/b", "desc"), two, 5);
    assert_ordered(SORT("/id", "desc"), ids_down, 3);
    assert_ordered(SORT("", "desc"), by_id, 4); /* the whole document orders nothing */
}

static void of_several_values_the_first_in_the_order_counts(void **state)
{
    static const char *const up[][2] = {
        {"x", "{\"l\":[{\"k\":9},{\"k\":1}]}"},
        {"x", "{\"l\":[{\"k\":2},{\"k\":3}]}"},
    };
    static const char *const down[][2] = {
        {"x", "{\"l\":[{\"k\":9},{\"k\":1}]}"},
        {"x", "{\"l\":[{\"k\":2},{\"k\":3}]}"},
    };

    (void)state;
    assert_ordered(SORT("/l/k", "asc"), up, 2);
    assert_ordered(SORT("/l/k", "desc"), down, 2);
}

static void what_a_query_looks_at_is_told(void **state)
{
    static const struct {
        const char *parameters;
        bool document;
        bool status;
    } cases[] = {
        {"", false, false},
        {"filterJson={\"field\":\"/id\",\"value\":\"a*\"}&" SORT("/id", "desc"), false, false},
        {"filterJson={\"field\":\"/status/created\",\"value\":\"a*\"}", true, true},
        {"filterJson={\"field\":\"/ext/status\",\"value\":\"a*\"}", true, false},
        {"filterJson={\"field\":\"/id\",\"value\":\"a*\"}&" SORT("/ext/a", "asc"), true, false},
        {SORT("/status/created", "desc"), true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        read_query(cases[i].parameters);
        assert_int_equal(search_needs_document(&query), cases[i].document);
        assert_int_equal(search_needs_status(&query), cases[i].status);
        search_matcher_done(&matcher);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_field_is_compared_with_a_value),
        TEST(numbers_are_places_and_names),
        TEST(ways_that_meet_are_followed_once),
        TEST(all_filters_must_match),
        TEST(rows_are_ordered_by_fields_then_by_id),
        TEST(of_several_values_the_first_in_the_order_counts),
        TEST(what_a_query_looks_at_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
