#include "support/test.h"

#include <crypt.h>
#include <stdio.h>
#include <string.h>

#include "service/credentials_get.h"
#include "support/documents.h"
#include "support/office.h"

static struct office office;

/* With tenant T1 and its devices d and o. */
static int open_office(void **state)
{
    (void)state;
    office_open(&office);
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    ask(&office, DEVICE(CREATE, "T1") = "o");
    return office.response.status == 201 ? 0 : -1;
}

static int close_office(void **state)
{
    (void)state;
    office_close(&office);
    return 0;
}

#define SET(type, id, secrets)                                                                     \
    "{\"type\":\"" type "\",\"auth-id\":\"" id "\",\"secrets\":[" secrets "]}"
#define PASSWORD(secrets) "[" SET("hashed-password", "sensor", secrets) "]"
#define PSK(id)           SET("psk", id, "{\"key\":\"AA==\"}")
#define PSK_SHOWN(id)     SET("psk", id, "{\"id\":\"#\"}")

static void put(const char *device, const char *body, int status)
{
    ask(&office, CREDENTIALS(UPDATE, "T1") = device, .body = body);
    if (office.response.status != status) {
        fail_msg("%s: %d %.*s", body, office.response.status,
                 SPAN_ARG(buf_span(&office.response.body)));
    }
}

static void assert_shown(const char *device, const char *expected)
{
    ask(&office, CREDENTIALS(READ, "T1") = device);
    assert_response(&office, 200, expected);
    assert_true(office.response.has_etag);
}

/* What an adapter is answered; empty: nothing. */
static const char *answer_of(const char *type, const char *auth_id)
{
    static char text[1024];
    struct provisioning_plan plan;
    struct answer answer;
    const struct credentials_query ask = {.tenant_id = SPAN("T1"),
                                          .type = span_cstr(type),
                                          .auth_id = span_cstr(auth_id),
                                          .context = SPAN("{}")};

    answer_init(&answer);
    registry_renew(&office.registry);
    assert_ok(credentials_get(&office.registry.reader, &ask, REGISTRY_NOW, &answer, &plan));
    if (answer.status != 200) {
        buf_clear(&answer.body);
    }
    (void)snprintf(text, sizeof(text), "%.*s", SPAN_ARG(buf_span(&answer.body)));
    answer_done(&answer);
    return text;
}

static void read_version(char out[UUID_TEXT_LEN + 1])
{
    ask(&office, CREDENTIALS(READ, "T1") = "d");
    (void)snprintf(out, UUID_TEXT_LEN + 1, "%s", office_etag(&office));
}

/* ---- sets ---- */

static void a_new_device_has_an_empty_set_with_a_version_of_its_own(void **state)
{
    char version[UUID_TEXT_LEN + 1];

    (void)state;
    assert_shown("d", "[]");
    read_version(version);
    ask(&office, DEVICE(READ, "T1") = "d");
    assert_string_not_equal(office_etag(&office), version);
}

static void a_set_is_replaced_as_a_whole_and_keeps_its_order(void **state)
{
    (void)state;
    put("d", "[" PSK("b") "," PSK("a") "," SET("my-own", "b", "{\"x\":1}") "]", 204);
    assert_shown("d", "[" PSK_SHOWN("b") "," PSK_SHOWN("a") "," SET("my-own", "b",
                                                                    "{\"x\":1,\"id\":\"#\"}") "]");
    put("d", "[" PSK("c") "," PSK("b") "]", 204);
    assert_shown("d", "[" PSK_SHOWN("c") "," PSK_SHOWN("b") "]");
    assert_string_equal(answer_of("psk", "a"), "");
    assert_string_equal(answer_of("psk", "c"),
                        "{\"device-id\":\"d\",\"type\":\"psk\",\"auth-id\":\"c\","
                        "\"secrets\":[{\"key\":\"AA==\"}]}");
    put("d", "[]", 204);
    assert_shown("d", "[]");
    assert_string_equal(answer_of("psk", "c"), "");
}

static void each_update_makes_a_version_and_leaves_the_device_alone(void **state)
{
    char old[UUID_TEXT_LEN + 1];
    char device[UUID_TEXT_LEN + 1];

    (void)state;
    read_version(old);
    ask(&office, DEVICE(READ, "T1") = "d");
    (void)snprintf(device, sizeof(device), "%s", office_etag(&office));
    put("d", "[" PSK("a") "]", 204);
    assert_string_not_equal(office_etag(&office), old);
    ask(&office, CREDENTIALS(UPDATE, "T1") = "d", .body = "[]", .if_match = old);
    assert_error(&office, 412, "version-mismatch");
    read_version(old);
    ask(&office, CREDENTIALS(UPDATE, "T1") = "d", .body = "[]", .if_match = old);
    assert_int_equal(office.response.status, 204);
    ask(&office, DEVICE(READ, "T1") = "d");
    assert_string_equal(office_etag(&office), device);
    assert_response(&office, 200, "{\"status\":{\"created\":\"@\"}}");
}

static void type_and_auth_id_belong_to_one_device(void **state)
{
    (void)state;
    put("d", "[" PSK("a") "]", 204);
    put("o", "[" PSK("b") "]", 204);
    put("o", "[" PSK("b") "," PSK("a") "]", 409);
    assert_error(&office, 409, "auth-id-taken");
    assert_shown("o", "[" PSK_SHOWN("b") "]");
    put("o", "[" SET("my-own", "a", "{}") "]", 204); /* another type */
    ask(&office, TENANT(CREATE) = "T2");
    ask(&office, DEVICE(CREATE, "T2") = "d");
    ask(&office, CREDENTIALS(UPDATE, "T2") = "d", .body = "[" PSK("a") "]"); /* another tenant */
    assert_int_equal(office.response.status, 204);
    put("d", "[]", 204);
    put("o", "[" PSK("a") "]", 204); /* free again */
    ask(&office, DEVICE(DELETE, "T1") = "o");
    put("d", "[" PSK("a") "]", 204);
}

static void what_is_refused_changes_nothing(void **state)
{
    static const char *const wrong[] = {
        "{}",
        "[1]",
        "",
        "[" PSK("a") "," PSK("a") "]",
        "[" PSK("a") "," PSK("taken") "]",
        "[" SET("psk", "a", "{\"id\":\"unknown\"}") "]",
        "[" SET("psk", "b",
                "{\"key\":\"AA==\",\"not-before\":\"2026-01-02T00:00:00Z\","
                "\"not-after\":\"2026-01-01T00:00:00Z\"}") "]",
        "[" SET("hashed-password", "p", "{\"pwd-plain\":\"x\"},{\"pwd-hash\":\"h\"}") "]"};
    char version[UUID_TEXT_LEN + 1];
    char again[UUID_TEXT_LEN + 1];

    (void)state;
    put("o", "[" PSK("taken") "]", 204);
    put("d", "[" PSK("a") "]", 204);
    read_version(version);
    for (size_t i = 0; i < DOCUMENTS_COUNT(wrong); i++) {
        ask(&office, CREDENTIALS(UPDATE, "T1") = "d", .body = wrong[i]);
        assert_true(office.response.status == 400 || office.response.status == 409);
        assert_false(office.response.has_etag);
    }
    assert_shown("d", "[" PSK_SHOWN("a") "]");
    read_version(again);
    assert_string_equal(again, version);
}

static void what_is_missing_is_told(void **state)
{
    (void)state;
    ask(&office, CREDENTIALS(READ, "T2") = "d");
    assert_error(&office, 404, "unknown-tenant");
    ask(&office, CREDENTIALS(READ, "T1") = "x");
    assert_error(&office, 404, "unknown-device");
    put("x", "[" PSK("a") "]", 404);
    assert_error(&office, 404, "unknown-device");
    ask(&office, CREDENTIALS(UPDATE, "T1") = "x", .body = "[]", .if_match = "stale");
    assert_error(&office, 404, "unknown-device");
    put("d", "", 400);
    assert_error(&office, 400, "bad-request");
}

static void a_limit_counts_credentials_and_comes_before_the_device(void **state)
{
    (void)state;
    office.registry.service.max_credentials_per_device = 1;
    put("d", "[" PSK("a") "," PSK("b") "]", 403);
    assert_error(&office, 403, "credentials-limit");
    put("x", "[" PSK("a") "," PSK("b") "]", 403);
    put("d", "[" SET("psk", "a", "{\"key\":\"AA==\"},{\"key\":\"AA==\"}") "]", 204);
    ask(&office, TENANT(UPDATE) = "T1",
        .body = "{\"registration-limits\":{\"max-credentials-per-device\":2}}");
    put("d", "[" PSK("a") "," PSK("b") "]", 204);
    ask(&office, TENANT(UPDATE) = "T1",
        .body = "{\"registration-limits\":{\"max-credentials-per-device\":0}}");
    put("d", "[" PSK("a") "]", 403);
    put("d", "[]", 204);
}

/* ---- passwords ---- */

/* The hash that adapters get for the first secret. */
static bool verifies(const char *plain)
{
    const char *answer = answer_of("hashed-password", "sensor");
    const char *at = strstr(answer, "\"pwd-hash\":\"");
    struct crypt_data data = {.initialized = 0};
    char hash[61];
    const char *made;

    assert_non_null(at);
    assert_non_null(strstr(answer, "\"hash-function\":\"bcrypt\""));
    (void)snprintf(hash, sizeof(hash), "%.60s", at + 12);
    assert_memory_equal(hash, "$2a$04$", 7);
    made = crypt_rn(plain, hash, &data, (int)sizeof(data));
    return made != NULL && strcmp(made, hash) == 0;
}

static void passwords_are_hashed_and_never_shown(void **state)
{
    (void)state;
    put("d", PASSWORD("{\"pwd-plain\":\"p\\u00e4ss\",\"comment\":\"c\"},{\"pwd-plain\":\"two\"}"),
        204);
    assert_shown("d", PASSWORD("{\"comment\":\"c\",\"id\":\"#\"},{\"id\":\"#\"}"));
    assert_true(verifies("p\xc3\xa4ss"));
    assert_false(verifies("two"));
    assert_null(strstr(answer_of("hashed-password", "sensor"), "\"id\""));
    assert_null(strstr(answer_of("hashed-password", "sensor"), "pwd-plain"));
}

static void a_shown_set_can_be_put_back(void **state)
{
    char shown[512];

    (void)state;
    put("d", "[" SET("hashed-password", "sensor", "{\"pwd-plain\":\"one\"}") "," PSK("a") "]", 204);
    ask(&office, CREDENTIALS(READ, "T1") = "d");
    (void)snprintf(shown, sizeof(shown), "%.*s", SPAN_ARG(buf_span(&office.response.body)));
    put("d", shown, 204);
    assert_true(verifies("one"));
    assert_non_null(strstr(answer_of("psk", "a"), "\"key\":\"AA==\""));
    ask(&office, CREDENTIALS(READ, "T1") = "d");
    assert_span(buf_span(&office.response.body), shown);
}

static void a_password_is_changed_by_its_id(void **state)
{
    char body[512];
    char id[UUID_TEXT_LEN + 1];

    (void)state;
    put("d", PASSWORD("{\"pwd-plain\":\"one\"}"), 204);
    ask(&office, CREDENTIALS(READ, "T1") = "d");
    (void)snprintf(body, sizeof(body), "%.*s", SPAN_ARG(buf_span(&office.response.body)));
    (void)snprintf(id, sizeof(id), "%.36s", strstr(body, "\"id\":\"") + 6);
    (void)snprintf(body, sizeof(body), PASSWORD("{\"id\":\"%s\",\"pwd-plain\":\"two\"}"), id);
    put("d", body, 204);
    assert_true(verifies("two"));
    (void)snprintf(body, sizeof(body), PASSWORD("{\"id\":\"%s\",\"enabled\":false}"), id);
    put("d", body, 204);
    assert_string_equal(answer_of("hashed-password", "sensor"), "");
    (void)snprintf(body, sizeof(body), PASSWORD("{\"id\":\"%s\"}"), id);
    put("d", body, 204);
    assert_true(verifies("two"));
    put("d", PASSWORD("{\"id\":\"other\"}"), 400);
    put("o", "[" SET("psk", "x", "{\"id\":\"other\"}") "]", 400);
}

static void a_certificate_makes_a_credential_for_its_subject(void **state)
{
    (void)state;
    put("d", "[{\"type\":\"x509-cert\",\"cert\":\"@CERT@\",\"enabled\":true}]", 204);
    assert_shown("d", "[{\"type\":\"x509-cert\",\"enabled\":true,\"auth-id\":\"CN=Leaf,O=Test\","
                      "\"secrets\":[{\"not-before\":\"@\",\"not-after\":\"@\",\"id\":\"#\"}]}]");
    assert_string_equal(
        answer_of("x509-cert", "CN=Leaf,O=Test"),
        "{\"device-id\":\"d\",\"type\":\"x509-cert\",\"auth-id\":\"CN=Leaf,O=Test\","
        "\"enabled\":true,\"secrets\":[{\"not-before\":\"2026-11-24T10:00:00Z\","
        "\"not-after\":\"2026-11-25T10:00:00Z\"}]}");
}

static void a_full_set_goes_through(void **state)
{
    static char body[64 << 10];
    static char expected[64 << 10];
    size_t len = 0;
    size_t shown = 0;

    (void)state;
    for (int i = 0; i < STORE_LIST_MAX; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "%d", i);
        len += (size_t)snprintf(body + len, sizeof(body) - len, "%s" PSK("%s"), i == 0 ? "[" : ",",
                                id);
        shown += (size_t)snprintf(expected + shown, sizeof(expected) - shown, "%s" PSK_SHOWN("%s"),
                                  i == 0 ? "[" : ",", id);
    }
    (void)snprintf(body + len, sizeof(body) - len, "]");
    (void)snprintf(expected + shown, sizeof(expected) - shown, "]");
    put("d", body, 204);
    assert_shown("d", expected);
    ask(&office, DEVICE(DELETE, "T1") = "d");
    assert_int_equal(office.response.status, 204);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_device_has_an_empty_set_with_a_version_of_its_own,
                                        open_office, close_office),
        cmocka_unit_test_setup_teardown(a_set_is_replaced_as_a_whole_and_keeps_its_order,
                                        open_office, close_office),
        cmocka_unit_test_setup_teardown(each_update_makes_a_version_and_leaves_the_device_alone,
                                        open_office, close_office),
        cmocka_unit_test_setup_teardown(type_and_auth_id_belong_to_one_device, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(what_is_refused_changes_nothing, open_office, close_office),
        cmocka_unit_test_setup_teardown(what_is_missing_is_told, open_office, close_office),
        cmocka_unit_test_setup_teardown(a_limit_counts_credentials_and_comes_before_the_device,
                                        open_office, close_office),
        cmocka_unit_test_setup_teardown(passwords_are_hashed_and_never_shown, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(a_shown_set_can_be_put_back, open_office, close_office),
        cmocka_unit_test_setup_teardown(a_password_is_changed_by_its_id, open_office, close_office),
        cmocka_unit_test_setup_teardown(a_certificate_makes_a_credential_for_its_subject,
                                        open_office, close_office),
        cmocka_unit_test_setup_teardown(a_full_set_goes_through, open_office, close_office),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
