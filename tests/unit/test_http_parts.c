/* The pure parts of the HTTP side: paths, routes, origins. */
#include "support/test.h"

#include <string.h>

#include "http/cors.h"
#include "http/path.h"
#include "http/route.h"

static void paths_are_decoded_by_segment(void **state)
{
    static const struct {
        const char *target;
        enum path_verdict verdict;
        size_t count;
        const char *last;
    } cases[] = {
        {"/v1/tenants", PATH_OK, 2, "tenants"},
        {"/v1//tenants///", PATH_OK, 2, "tenants"},
        {"/v1/./tenants/../devices", PATH_OK, 2, "devices"},
        {"/v1/%2e%2E/x", PATH_OK, 1, "x"},
        {"/a/b%2Fc", PATH_OK, 2, "b/c"},
        {"/a/b+c?x=/y/z", PATH_OK, 2, "b+c"},
        {"http://host:1/v1/x", PATH_UNKNOWN, 0, NULL}, /* http/head.c has taken the path out */
        {"/", PATH_OK, 0, NULL},
        {"/../..", PATH_OK, 0, NULL},
        {"/a%zz", PATH_MALFORMED, 0, NULL},
        {"/a%2", PATH_MALFORMED, 0, NULL},
        {"/a%00b", PATH_MALFORMED, 0, NULL},
        {"/a%0Ab", PATH_MALFORMED, 0, NULL},
        {"v1/tenants", PATH_UNKNOWN, 0, NULL},
        {"*", PATH_UNKNOWN, 0, NULL},
        {"/1/2/3/4/5/6/7/8/9", PATH_UNKNOWN, 0, NULL},
    };
    char target[5000];
    struct path path;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum path_verdict verdict = path_parse(span_cstr(cases[i].target), &path);

        if (verdict != cases[i].verdict) {
            fail_msg("%s: %d", cases[i].target, verdict);
        }
        if (verdict == PATH_OK) {
            assert_int_equal(path.count, cases[i].count);
            if (cases[i].last != NULL) {
                assert_span(path.segment[path.count - 1], cases[i].last);
            }
        }
    }
    memset(target, 'a', sizeof(target));
    target[0] = '/';
    assert_int_equal(path_parse(span_of(target, 4095), &path), PATH_OK);
    assert_int_equal(path_parse(span_of(target, 4096), &path), PATH_TOO_LONG);
}

static void a_query_follows_the_first_question_mark(void **state)
{
    (void)state;
    assert_span(path_query(SPAN("/v1/tenants")), "");
    assert_span(path_query(SPAN("")), "");
    assert_span(path_query(SPAN("/v1/tenants?")), "");
    assert_span(path_query(SPAN("/v1/tenants?a=%20?b&c")), "a=%20?b&c");
    assert_span(path_query(SPAN("http://host/x?y=1")), "y=1");
}

static void routes_name_operations(void **state)
{
    static const struct {
        const char *target;
        enum http_method method;
        enum route_verdict verdict;
        enum management_op op;
        const char *allow;
    } cases[] = {
        {"/v1/tenants", HTTP_POST, ROUTE_OK, MANAGEMENT_TENANT_CREATE, NULL},
        {"/v1/tenants", HTTP_GET, ROUTE_OK, MANAGEMENT_TENANT_SEARCH, NULL},
        {"/v1/devices/T", HTTP_GET, ROUTE_OK, MANAGEMENT_DEVICE_SEARCH, NULL},
        {"/v1/tenants/T", HTTP_POST, ROUTE_OK, MANAGEMENT_TENANT_CREATE, NULL},
        {"/v1/tenants/T", HTTP_GET, ROUTE_OK, MANAGEMENT_TENANT_READ, "POST, GET, PUT, DELETE"},
        {"/v1/tenants/T/", HTTP_PUT, ROUTE_OK, MANAGEMENT_TENANT_UPDATE, NULL},
        {"/v1/devices/T/D", HTTP_PUT, ROUTE_OK, MANAGEMENT_DEVICE_UPDATE, NULL},
        {"/v1/devices/T/D", HTTP_DELETE, ROUTE_OK, MANAGEMENT_DEVICE_DELETE, NULL},
        {"/v1/devices/T", HTTP_DELETE, ROUTE_OK, MANAGEMENT_DEVICE_DELETE_ALL, NULL},
        {"/v1/devices/T", HTTP_PUT, ROUTE_UNKNOWN_METHOD, 0, "POST, GET, DELETE"},
        {"/v1/credentials/T/D", HTTP_PUT, ROUTE_OK, MANAGEMENT_CREDENTIALS_UPDATE, NULL},
        {"/v1/credentials/T/D", HTTP_POST, ROUTE_UNKNOWN_METHOD, 0, "GET, PUT"},
        {"/v1/tenants", HTTP_OTHER, ROUTE_UNKNOWN_METHOD, 0, "POST, GET"},
        {"/v1/tenants/T/x", HTTP_GET, ROUTE_UNKNOWN_PATH, 0, NULL},
        {"/v2/tenants/T", HTTP_GET, ROUTE_UNKNOWN_PATH, 0, NULL},
        {"/v1/Tenants/T", HTTP_GET, ROUTE_UNKNOWN_PATH, 0, NULL},
        {"/v1", HTTP_GET, ROUTE_UNKNOWN_PATH, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct path path;
        struct route route;

        assert_int_equal(path_parse(span_cstr(cases[i].target), &path), PATH_OK);
        if (route_find(&path, cases[i].method, &route) != cases[i].verdict) {
            fail_msg("%s", cases[i].target);
        }
        if (cases[i].verdict == ROUTE_OK) {
            assert_int_equal(route.op, cases[i].op);
        }
        if (cases[i].allow != NULL) {
            assert_string_equal(route.allow, cases[i].allow);
        }
    }
}

static void origins_are_checked_whatever_is_allowed(void **state)
{
    static const struct {
        const char *allowed;
        const char *origin;
        bool fine;
    } cases[] = {
        {"*", "null", true},
        {"*", "http://a", true},
        {"*", "HTTPS://a.b-c:8443/path", true},
        {"*", "ftp://1.2.3.4", true},
        {"*", "http://[::1]:80", true},
        {"*", "http://a:", true},
        {"*", "", false},
        {"*", "*", false},
        {"*", "a", false},
        {"*", "http://", false},
        {"*", "http://:80", false},
        {"*", "file://a", false},
        {"*", "http://u@a", false},
        {"*", "http://a_b", false},
        {"*", "http://a?b", false},
        {"*", "http://a/?b", false},
        {"*", "http://a:x", false},
        {"*", "http://[::1", false},
        {"*", "http://[]", false},
        {"*", "http://\xC3\xA4", false},
        {"*", "http://a,http://b", false},
        {"http://a\\.b|null", "http://a.b", true},
        {"http://a\\.b|null", "null", true},
        {"http://a\\.b|null", "http://axb", false},
        {"http://a\\.b|null", "http://a.b:80", false},
        {"http://a\\.b|null", "http://a.b.c", false},
        {".*", "anything", false},
        {".*", "https://anything", true},
    };
    char long_one[600];
    struct cors *cors = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_ok(cors_open(&cors, cases[i].allowed, why));
        assert_int_equal(cors_allows_all(cors), strcmp(cases[i].allowed, "*") == 0);
        if (cors_allows(cors, cases[i].origin) != cases[i].fine) {
            fail_msg("%s: %s", cases[i].allowed, cases[i].origin);
        }
        cors_close(cors);
    }
    assert_ok(cors_open(&cors, "*", why));
    memset(long_one, 'a', sizeof(long_one));
    memcpy(long_one, "http://", 7);
    long_one[512] = '\0';
    assert_true(cors_allows(cors, long_one));
    long_one[512] = 'a';
    long_one[599] = '\0';
    assert_false(cors_allows(cors, long_one));
    cors_close(cors);
}

static void a_pattern_that_is_none_is_refused(void **state)
{
    static const char *const patterns[] = {"(", "[a", "a{2,1}", "*a"};
    struct cors *cors = NULL;
    char long_one[2000];

    (void)state;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        assert_status(KS_INVALID, cors_open(&cors, patterns[i], why));
    }
    memset(long_one, 'a', sizeof(long_one));
    long_one[1999] = '\0';
    assert_status(KS_INVALID, cors_open(&cors, long_one, why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_decoded_by_segment),
        cmocka_unit_test(a_query_follows_the_first_question_mark),
        cmocka_unit_test(routes_name_operations),
        cmocka_unit_test(origins_are_checked_whatever_is_allowed),
        cmocka_unit_test(a_pattern_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
