#include "support/test.h"

#include <jansson.h>
#include <string.h>

#include "http/openapi.h"
#include "http/route.h"
#include "service/credential_members.h"
#include "service/device_members.h"
#include "service/tenant_members.h"

static json_t *document;

static int make_document(void **state)
{
    struct buf text = {0};
    json_error_t error;

    (void)state;
    openapi_add(&text);
    document = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL) {
        print_error("%s at %d of %.*s\n", error.text, error.position, 200,
                    text.ptr + (error.position > 100 ? error.position - 100 : 0));
    }
    buf_done(&text);
    return document == NULL ? -1 : 0;
}

static int drop_document(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

/* What a reference such as #/components/schemas/Tenant names. */
static const json_t *resolve(const char *reference)
{
    const json_t *found = document;
    const char *at = reference + 1;

    assert_int_equal(reference[0], '#');
    while (*at == '/') {
        size_t len = strcspn(at + 1, "/");

        found = json_object_getn(found, at + 1, len);
        at += 1 + len;
    }
    if (found == NULL) {
        fail_msg("%s is not there", reference);
    }
    return found;
}

static const json_t *schema_of(const char *name)
{
    char reference[128];

    (void)snprintf(reference, sizeof(reference), "#/components/schemas/%s", name);
    return resolve(reference);
}

static void check_references(json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;

    json_object_foreach (value, name, member) {
        if (strcmp(name, "$ref") == 0) {
            (void)resolve(json_string_value(member));
        }
        check_references(member);
    }
    json_array_foreach (value, i, member) {
        check_references(member);
    }
}

static void all_references_lead_somewhere(void **state)
{
    (void)state;
    check_references(document);
}

static void every_route_is_described(void **state)
{
    static const char *const methods[] = {
        [HTTP_GET] = "get", [HTTP_POST] = "post", [HTTP_PUT] = "put", [HTTP_DELETE] = "delete"};
    static const char *const ids[] = {"", "/{tenantId}", "/{tenantId}/{deviceId}"};
    json_t *paths = json_object_get(document, "paths");
    struct route_row row;
    size_t count = 0;
    size_t expected = 0;
    size_t described = 0;
    const char *name;
    json_t *path;

    (void)state;
    for (; route_at(count, &row); count++) {
        char text[64];
        const json_t *operation;

        if (row.describes) { /* this document itself */
            continue;
        }
        expected++;
        (void)snprintf(text, sizeof(text), "/v1/%s%s", row.collection, ids[row.ids]);
        operation = json_object_get(json_object_get(paths, text), methods[row.method]);
        assert_non_null(json_object_get(operation, "responses"));
        assert_true(json_string_length(json_object_get(operation, "summary")) > 0);
    }
    json_object_foreach (paths, name, path) {
        described += json_object_size(path) - 1; /* beside its parameters */
    }
    assert_int_equal(described, expected);
}

/* Each member of the table is in the schema, and nothing else. */
static void check_table(const struct member_table *table)
{
    const json_t *schema = schema_of(table->about->name);
    const json_t *properties = json_object_get(schema, "properties");
    const struct member_rule *rule;
    size_t next = 0;
    size_t count = 0;

    while ((rule = member_next(table, &next)) != NULL) {
        const json_t *property = json_object_get(properties, rule->name);
        const json_t *write_only = json_object_get(property, "writeOnly");

        assert_int_equal(property == NULL, rule->kind == MEMBER_UNSUPPORTED);
        assert_int_equal(json_is_true(write_only), (rule->flags & MEMBER_NEVER_SHOWN) != 0);
        count += property != NULL;
    }
    assert_int_equal(json_object_size(properties), count);
    assert_int_equal(json_is_false(json_object_get(schema, "additionalProperties")),
                     !table->about->open);
}

static void every_member_is_described(void **state)
{
    (void)state;
    check_table(&tenant_table);
    check_table(&adapter_table);
    check_table(&ca_table);
    check_table(&device_table);
    check_table(&device_status_table);
    for (size_t i = 0; i < CREDENTIAL_KINDS; i++) {
        check_table(credential_kinds[i].credential);
        check_table(credential_kinds[i].secret);
    }
}

static void assert_json(const json_t *value, const char *expected)
{
    json_t *parsed = json_loads(expected, JSON_DECODE_ANY, NULL);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    if (!json_equal(value, parsed)) {
        fail_msg("%s and not %s", text, expected);
    }
    free(text);
    json_decref(parsed);
}

static json_t *property_of(const char *schema, const char *name)
{
    json_t *property =
        json_deep_copy(json_object_get(json_object_get(schema_of(schema), "properties"), name));

    assert_true(json_string_length(json_object_get(property, "description")) > 0);
    (void)json_object_del(property, "description");
    (void)json_object_del(property, "example");
    return property;
}

static void each_kind_has_its_schema(void **state)
{
    static const char *const cases[][3] = {
        {"Tenant", "enabled", "{\"type\":\"boolean\",\"default\":true}"},
        {"Tenant", "alias",
         "{\"type\":\"string\",\"maxLength\":2048,\"pattern\":\"^[a-z0-9-]+$\"}"},
        {"Tenant", "minimum-message-size",
         "{\"type\":\"integer\",\"format\":\"int32\",\"minimum\":0,\"maximum\":2147483647,"
         "\"default\":0}"},
        {"ResourceLimits", "max-ttl",
         "{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":-1,\"default\":-1}"},
        {"Tenant", "ext", "{\"type\":\"object\",\"additionalProperties\":true,\"default\":{}}"},
        {"Tenant", "tracing", "{\"allOf\":[{\"$ref\":\"#/components/schemas/Tracing\"}]}"},
        {"Tenant", "trusted-ca",
         "{\"type\":\"array\",\"minItems\":0,\"maxItems\":64,\"default\":[],"
         "\"items\":{\"allOf\":[{\"$ref\":\"#/components/schemas/TrustedCA\"}]}}"},
        {"Tracing", "sampling-mode",
         "{\"type\":\"string\",\"enum\":[\"default\",\"all\",\"none\",null],\"nullable\":true}"},
        {"Tracing", "sampling-mode-per-auth-id",
         "{\"type\":\"object\",\"default\":{},\"additionalProperties\":{\"type\":\"string\","
         "\"enum\":[\"default\",\"all\",\"none\"],\"nullable\":true}}"},
        {"TrustedCA", "not-before", "{\"type\":\"string\",\"format\":\"date-time\"}"},
        {"TrustedCA", "cert", "{\"type\":\"string\",\"format\":\"byte\",\"writeOnly\":true}"},
        {"Device", "via",
         "{\"type\":\"array\",\"minItems\":0,\"maxItems\":256,\"default\":[],"
         "\"items\":{\"type\":\"string\",\"maxLength\":200}}"},
        {"Device", "status",
         "{\"allOf\":[{\"$ref\":\"#/components/schemas/DeviceStatus\"}],\"readOnly\":true}"},
        {"PskSecret", "key",
         "{\"type\":\"string\",\"format\":\"byte\",\"minLength\":2,\"writeOnly\":true}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *property = property_of(cases[i][0], cases[i][1]);

        assert_json(property, cases[i][2]);
        json_decref(property);
    }
    assert_json(json_object_get(schema_of("Adapter"), "required"), "[\"type\"]");
    assert_json(json_object_get(schema_of("DeviceItem"), "required"), "[\"id\"]");
    assert_null(json_object_get(schema_of("Device"), "required"));
}

/* So that a console can tell which of them a credential is. */
static void kinds_of_credentials_exclude_each_other(void **state)
{
    const json_t *kinds =
        json_object_get(json_object_get(schema_of("Credentials"), "items"), "oneOf");

    (void)state;
    assert_int_equal(json_array_size(kinds), CREDENTIAL_KINDS);
    for (size_t i = 0; i < CREDENTIAL_KINDS; i++) {
        const json_t *type = json_object_get(
            json_object_get(schema_of(credential_kinds[i].credential->about->name), "properties"),
            "type");
        const json_t *words = json_object_get(type, "enum");

        if (credential_kinds[i].type == NULL) {
            words = json_object_get(json_object_get(type, "not"), "enum");
            assert_int_equal(json_array_size(words), CREDENTIAL_KINDS - 1);
        } else {
            assert_int_equal(json_array_size(words), 1);
            assert_string_equal(json_string_value(json_array_get(words, 0)),
                                credential_kinds[i].type);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_references_lead_somewhere),
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(every_member_is_described),
        cmocka_unit_test(each_kind_has_its_schema),
        cmocka_unit_test(kinds_of_credentials_exclude_each_other),
    };

    return cmocka_run_group_tests(tests, make_document, drop_document);
}
