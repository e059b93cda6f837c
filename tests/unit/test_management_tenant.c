#include "support/test.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "support/documents.h"
#include "support/office.h"

static struct office office;

static int open_office(void **state)
{
    (void)state;
    office_open(&office);
    return 0;
}

static int close_office(void **state)
{
    (void)state;
    office_close(&office);
    return 0;
}

static void a_tenant_is_made_shown_replaced_and_deleted(void **state)
{
    char made[UUID_TEXT_LEN + 1];
    char replaced[UUID_TEXT_LEN + 1];

    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .body = "{\"enabled\":true,\"ext\":{\"a\":1}}");
    assert_response(&office, 201, "{\"id\":\"T1\"}");
    assert_string_equal(office.response.location, "/v1/tenants/T1");
    (void)snprintf(made, sizeof(made), "%s", office_etag(&office));

    ask(&office, TENANT(READ) = "T1");
    assert_response(&office, 200, "{\"enabled\":true,\"ext\":{\"a\":1}}");
    assert_string_equal(office_etag(&office), made);

    ask(&office, TENANT(UPDATE) = "T1", .body = "{\"enabled\":false}");
    assert_response(&office, 204, "");
    assert_string_equal(office.response.location, "");
    (void)snprintf(replaced, sizeof(replaced), "%s", office_etag(&office));
    assert_string_not_equal(made, replaced);
    ask(&office, TENANT(READ) = "T1");
    assert_response(&office, 200, "{\"enabled\":false}");
    assert_string_equal(office_etag(&office), replaced);

    ask(&office, TENANT(DELETE) = "T1");
    assert_response(&office, 204, "");
    assert_false(office.response.has_etag);
    ask(&office, TENANT(READ) = "T1");
    assert_error(&office, 404, "unknown-tenant");
    ask(&office, TENANT(DELETE) = "T1");
    assert_error(&office, 404, "unknown-tenant");
    ask(&office, TENANT(UPDATE) = "T1", .body = "{}");
    assert_error(&office, 404, "unknown-tenant");
}

static void an_id_that_is_not_given_is_drawn(void **state)
{
    char id[UUID_TEXT_LEN + 1];
    char location[64];

    (void)state;
    ask(&office, TENANT(CREATE) = NULL);
    assert_response(&office, 201, "{\"id\":\"#\"}");
    (void)snprintf(id, sizeof(id), "%.*s", UUID_TEXT_LEN, office.response.body.ptr + 7);
    (void)snprintf(location, sizeof(location), "/v1/tenants/%s", id);
    assert_string_equal(office.response.location, location);
    ask(&office, TENANT(READ) = id);
    assert_response(&office, 200, "{}");
    ask(&office, DEVICE(CREATE, id) = NULL);
    assert_response(&office, 201, "{\"id\":\"#\"}");
    assert_memory_equal(office.response.location, "/v1/devices/", 12);
    assert_int_equal(strlen(office.response.location), 12 + 36 + 1 + 36);
}

static void names_of_tenants_are_unique(void **state)
{
    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .body = "{\"alias\":\"one\"}");
    assert_int_equal(office.response.status, 201);
    ask(&office, TENANT(CREATE) = "T1");
    assert_error(&office, 409, "id-taken");
    ask(&office, TENANT(CREATE) = "T2", .body = "{\"alias\":\"one\"}");
    assert_error(&office, 409, "alias-taken");
    ask(&office, TENANT(CREATE) = "one", .body = "{\"alias\":\"two\"}");
    assert_int_equal(office.response.status, 201); /* another's alias as an id is fine */
    ask(&office, TENANT(UPDATE) = "one", .body = "{\"alias\":\"one\"}");
    assert_error(&office, 409, "alias-taken");
    ask(&office, TENANT(UPDATE) = "one", .body = "{\"alias\":\"one\"}", .if_match = "stale");
    assert_error(&office, 412, "version-mismatch"); /* looked at before the alias */
    ask(&office, TENANT(READ) = "one");
    assert_response(&office, 200, "{\"alias\":\"two\"}");
    ask(&office, TENANT(UPDATE) = "T1", .body = "{\"alias\":\"one\",\"enabled\":true}");
    assert_int_equal(office.response.status, 204);
    ask(&office, TENANT(UPDATE) = "T1", .body = "{}");
    ask(&office, TENANT(UPDATE) = "one", .body = "{\"alias\":\"one\"}");
    assert_int_equal(office.response.status, 204);
    ask(&office, TENANT(READ) = "two");
    assert_error(&office, 404, "unknown-tenant"); /* by id only */
}

#define WITH_CA(members) "{\"trusted-ca\":[{\"cert\":\"@CERT@\"}]" members "}"
#define GROUP(name)      ",\"trust-anchor-group\":\"" name "\""

static void a_ca_is_trusted_by_one_tenant_or_one_group(void **state)
{
    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .body = WITH_CA(""));
    assert_int_equal(office.response.status, 201);
    ask(&office, TENANT(CREATE) = "T2", .body = WITH_CA(""));
    assert_error(&office, 409, "ca-taken");
    ask(&office, TENANT(CREATE) = "T2", .body = WITH_CA(GROUP("G")));
    assert_error(&office, 409, "ca-taken");
    ask(&office, TENANT(CREATE) = "T1", .body = WITH_CA(GROUP("G")));
    assert_error(&office, 409, "ca-taken"); /* looked at before the id */
    ask(&office, TENANT(UPDATE) = "T1", .body = WITH_CA(GROUP("G")));
    assert_int_equal(office.response.status, 204);
    ask(&office, TENANT(CREATE) = "T2", .body = WITH_CA(GROUP("H")));
    assert_error(&office, 409, "ca-taken");
    ask(&office, TENANT(CREATE) = "T2", .body = WITH_CA(""));
    assert_error(&office, 409, "ca-taken");
    ask(&office, TENANT(CREATE) = "T2", .body = WITH_CA(GROUP("G")));
    assert_int_equal(office.response.status, 201);
    ask(&office, TENANT(CREATE) = "T3", .body = WITH_CA(GROUP("G")));
    assert_int_equal(office.response.status, 201);
    /* none may leave the group with it */
    ask(&office, TENANT(UPDATE) = "T3", .body = WITH_CA(GROUP("")), .if_match = "stale");
    assert_error(&office, 409, "ca-taken"); /* looked at before the version */
    ask(&office, TENANT(UPDATE) = "T1", .body = WITH_CA(GROUP("H")));
    assert_error(&office, 409, "ca-taken");
    ask(&office, TENANT(UPDATE) = "T2", .body = WITH_CA(GROUP("G") ",\"enabled\":false"));
    assert_int_equal(office.response.status, 204);
}

static void a_ca_is_free_again_when_nobody_trusts_it(void **state)
{
    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .body = WITH_CA(""));
    ask(&office, TENANT(UPDATE) = "T1", .body = "{}");
    ask(&office, TENANT(CREATE) = "T2", .body = WITH_CA(""));
    assert_int_equal(office.response.status, 201);
    ask(&office, TENANT(DELETE) = "T2");
    ask(&office, TENANT(UPDATE) = "T1", .body = WITH_CA(""));
    assert_int_equal(office.response.status, 204);
}

static void a_tenant_may_trust_several_cas_of_one_name(void **state)
{
    static const char two[] = "{\"trusted-ca\":[{\"id\":\"a\",\"cert\":\"@CERT@\"},"
                              "{\"id\":\"b\",\"cert\":\"@CERT@\"}]}";

    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .body = two);
    assert_int_equal(office.response.status, 201);
    ask(&office, TENANT(UPDATE) = "T1", .body = two);
    assert_int_equal(office.response.status, 204);
    ask(&office, TENANT(UPDATE) = "T1", .body = WITH_CA(""));
    assert_int_equal(office.response.status, 204);
    ask(&office, TENANT(CREATE) = "T2", .body = WITH_CA(""));
    assert_error(&office, 409, "ca-taken");
}

static const char *id_of_first_ca(void)
{
    static char id[UUID_TEXT_LEN + 1];
    json_t *tenant;
    json_t *cas;

    ask(&office, TENANT(READ) = "T1");
    tenant = json_loadb(office.response.body.ptr, office.response.body.len, 0, NULL);
    cas = json_object_get(tenant, "trusted-ca");
    (void)snprintf(id, sizeof(id), "%s",
                   json_string_value(json_object_get(json_array_get(cas, 0), "id")));
    json_decref(tenant);
    return id;
}

static void a_ca_without_an_id_gets_a_new_one_at_each_update(void **state)
{
    char first[UUID_TEXT_LEN + 1];
    struct uuid id;

    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .body = WITH_CA(""));
    (void)snprintf(first, sizeof(first), "%s", id_of_first_ca());
    assert_true(uuid_parse(span_cstr(first), &id));
    ask(&office, TENANT(UPDATE) = "T1", .body = WITH_CA(""));
    assert_string_not_equal(id_of_first_ca(), first);
    ask(&office, TENANT(UPDATE) = "T1",
        .body = "{\"trusted-ca\":[{\"id\":\"mine\",\"cert\":\"@CERT@\"}]}");
    assert_string_equal(id_of_first_ca(), "mine");
}

static void what_is_refused_changes_nothing(void **state)
{
    static const char *const wrong[] = {
        "{\"alias\":\"A\"}", "{\"alias\":\"two\"}", WITH_CA(""), "{\"nope\":1}", "[]", ""};
    char version[UUID_TEXT_LEN + 1];

    (void)state;
    ask(&office, TENANT(CREATE) = "T2",
        .body = "{\"alias\":\"two\",\"trusted-ca\":[{\"cert\":\"@CERT@\"}]}");
    ask(&office, TENANT(CREATE) = "T1", .body = "{\"ext\":{\"kept\":true}}");
    (void)snprintf(version, sizeof(version), "%s", office_etag(&office));
    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        ask(&office, TENANT(UPDATE) = "T1", .body = wrong[i]);
        assert_true(office.response.status == 400 || office.response.status == 409);
        assert_false(office.response.has_etag);
    }
    ask(&office, TENANT(READ) = "T1");
    assert_response(&office, 200, "{\"ext\":{\"kept\":true}}");
    assert_string_equal(office_etag(&office), version);
}

static void a_version_is_matched_bare_or_quoted(void **state)
{
    static const struct {
        const char *format;
        int status;
    } cases[] = {{"%s", 204},   {"\"%s\"", 204}, {"W/\"%s\"", 412},   {"*", 412},
                 {"\"%s", 412}, {"x%s", 412},    {"\"\"%s\"\"", 412}, {"", 204}};

    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .if_match = "ignored");
    assert_int_equal(office.response.status, 201);
    for (size_t i = 0; i < DOCUMENTS_COUNT(cases); i++) {
        char version[64];

        ask(&office, TENANT(READ) = "T1");
        (void)snprintf(version, sizeof(version), "%s", cases[i].format);
        if (strstr(cases[i].format, "%s") != NULL) {
            size_t at = (size_t)(strstr(cases[i].format, "%s") - cases[i].format);

            (void)snprintf(version, sizeof(version), "%.*s%s%s", (int)at, cases[i].format,
                           office_etag(&office), cases[i].format + at + 2);
        }
        ask(&office, TENANT(UPDATE) = "T1", .body = "{}", .if_match = version);
        if (office.response.status != cases[i].status) {
            fail_msg("If-Match %s: %d", version, office.response.status);
        }
    }
    ask(&office, TENANT(DELETE) = "T1", .if_match = "x");
    assert_error(&office, 412, "version-mismatch");
    ask(&office, TENANT(DELETE) = "T2", .if_match = "x");
    assert_error(&office, 404, "unknown-tenant");
    ask(&office, TENANT(READ) = "T1", .if_match = "x");
    assert_int_equal(office.response.status, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tenant_is_made_shown_replaced_and_deleted, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(an_id_that_is_not_given_is_drawn, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(names_of_tenants_are_unique, open_office, close_office),
        cmocka_unit_test_setup_teardown(a_ca_is_trusted_by_one_tenant_or_one_group, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(a_ca_is_free_again_when_nobody_trusts_it, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(a_tenant_may_trust_several_cas_of_one_name, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(a_ca_without_an_id_gets_a_new_one_at_each_update,
                                        open_office, close_office),
        cmocka_unit_test_setup_teardown(what_is_refused_changes_nothing, open_office, close_office),
        cmocka_unit_test_setup_teardown(a_version_is_matched_bare_or_quoted, open_office,
                                        close_office),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
