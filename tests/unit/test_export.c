#include "support/test.h"

#include <jansson.h>
#include <stdio.h>

#include "service/export.h"
#include "support/office.h"

enum { LINES_MAX = 16, FAIL_AT = 2 };

static struct office office;

/* What came, and what the taker does meanwhile. */
struct lines {
    size_t count;
    json_t *line[LINES_MAX];
    char last[1024];
    bool busy;    /* a tenant and a device are written between the lines */
    bool refuses; /* the line of that number */
};

static enum ks_status take(struct span text, void *arg, struct ks_failure *why)
{
    struct lines *lines = arg;

    if (lines->refuses && lines->count == FAIL_AT) {
        return ks_fail(why, KS_IO, NULL, "no room");
    }
    assert_true(lines->count < LINES_MAX);
    assert_true(text.len < sizeof(lines->last));
    assert_null(memchr(text.ptr, '\n', text.len));
    (void)snprintf(lines->last, sizeof(lines->last), "%.*s", SPAN_ARG(text));
    lines->line[lines->count] = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(lines->line[lines->count]);
    if (lines->busy && lines->count == 0) {
        office_ask(&office, &(struct office_request){TENANT(CREATE) = "late"});
        assert_int_equal(office.response.status, 201);
        office_ask(&office, &(struct office_request){DEVICE(CREATE, "T1") = "late"});
        assert_int_equal(office.response.status, 201);
    }
    lines->count++;
    return KS_OK;
}

static enum ks_status export_to(struct lines *lines)
{
    registry_renew(&office.registry);
    return export_lines(office.registry.reader.txn, take, lines, NULL);
}

static void forget(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        json_decref(lines->line[i]);
    }
    *lines = (struct lines){.count = 0};
}

static void assert_line(const struct lines *lines, size_t at, const char *tenant,
                        const char *device)
{
    const json_t *id = json_object_get(lines->line[at], "device");

    assert_true(at < lines->count);
    assert_string_equal(json_string_value(json_object_get(lines->line[at], "tenant")), tenant);
    if (device == NULL) {
        assert_null(id);
    } else {
        assert_string_equal(json_string_value(id), device);
    }
}

static void assert_header(const struct lines *lines, int tenants, int devices, int credentials)
{
    const json_t *header = lines->line[0];

    assert_int_equal(json_integer_value(json_object_get(header, "koseki-export")), EXPORT_FORMAT);
    assert_int_equal(json_integer_value(json_object_get(header, "tenants")), tenants);
    assert_int_equal(json_integer_value(json_object_get(header, "devices")), devices);
    assert_int_equal(json_integer_value(json_object_get(header, "credentials")), credentials);
}

static void make_tenant(const char *id)
{
    office_ask(&office, &(struct office_request){TENANT(CREATE) = id});
    assert_int_equal(office.response.status, 201);
}

static void make_device(const char *tenant, const char *id)
{
    office_ask(&office, &(struct office_request){DEVICE(CREATE, tenant) = id});
    assert_int_equal(office.response.status, 201);
}

static int set_up(void **state)
{
    (void)state;
    office_open(&office);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    office_close(&office);
    return 0;
}

static void tenants_come_by_id_and_behind_each_its_devices(void **state)
{
    struct lines lines = {.count = 0};

    (void)state;
    assert_int_equal(export_to(&lines), KS_OK);
    assert_int_equal(lines.count, 1);
    assert_header(&lines, 0, 0, 0);
    forget(&lines);
    make_tenant("b");
    make_tenant("a");
    make_tenant("gone");
    make_device("gone", "d");
    make_device("b", "2");
    make_device("b", "10");
    make_device("a", "z");
    office_ask(&office, &(struct office_request){TENANT(DELETE) = "gone"});
    assert_int_equal(export_to(&lines), KS_OK);
    assert_header(&lines, 2, 3, 0);
    assert_int_equal(lines.count, 6);
    assert_line(&lines, 1, "a", NULL);
    assert_line(&lines, 2, "a", "z");
    assert_line(&lines, 3, "b", NULL);
    assert_line(&lines, 4, "b", "10");
    assert_line(&lines, 5, "b", "2");
    forget(&lines);
}

static void what_is_written_meanwhile_is_not_in_it(void **state)
{
    struct lines lines = {.busy = true};

    (void)state;
    make_tenant("T1");
    make_device("T1", "d");
    assert_int_equal(export_to(&lines), KS_OK);
    assert_header(&lines, 1, 1, 0);
    assert_int_equal(lines.count, 3);
    assert_line(&lines, 2, "T1", "d");
    forget(&lines);
    assert_int_equal(export_to(&lines), KS_OK);
    assert_header(&lines, 2, 2, 0);
    assert_int_equal(lines.count, 5);
    forget(&lines);
}

static void a_line_that_is_not_taken_ends_it(void **state)
{
    struct lines lines = {.refuses = true};

    (void)state;
    make_tenant("T1");
    make_device("T1", "a");
    make_device("T1", "b");
    assert_int_equal(export_to(&lines), KS_IO);
    assert_int_equal(lines.count, FAIL_AT);
    forget(&lines);
}

/* A device as provisioning writes it. */
static void put(struct store_device *device, bool queued)
{
    struct store_outbox_entry event = {.kind = STORE_OUTBOX_EVENT, .tenant_id = SPAN("T1")};
    struct store_txn *txn = NULL;
    uint32_t space;

    device->version = (struct uuid){.bytes = {1}};
    device->credentials_version = (struct uuid){.bytes = {2}};
    device->created_ms = REGISTRY_NOW + 7;
    device->answer = SPAN("{}");
    assert_ok(store_write_begin(office.registry.store, &txn, why));
    assert_ok(store_tenant_find(txn, SPAN("T1"), &space, why));
    if ((device->flags & STORE_DEVICE_NOTIFIED) == 0) {
        event.space = space;
        event.device_id = device->id;
        assert_ok(store_outbox_append(txn, &event, &device->event_seq, why));
    }
    if (!queued && device->event_seq != 0) {
        assert_ok(store_outbox_delete(txn, STORE_EVENTS, device->event_seq, why));
    }
    assert_ok(store_device_insert(txn, space, device, why));
    assert_ok(store_write_commit(txn, why));
}

static void whether_the_event_has_left_is_told_as_it_is_shown(void **state)
{
    static const bool sent[] = {true, true, false}; /* in the order of their ids */
    struct store_device imported = {.id = SPAN("1-imported"),
                                    .document = SPAN("{}"),
                                    .flags = STORE_DEVICE_AUTO_PROVISIONED | STORE_DEVICE_NOTIFIED};
    struct store_device left = {
        .id = SPAN("2-left"), .document = SPAN("{}"), .flags = STORE_DEVICE_AUTO_PROVISIONED};
    struct store_device waiting = {
        .id = SPAN("3-waiting"), .document = SPAN("{}"), .flags = STORE_DEVICE_AUTO_PROVISIONED};
    struct lines lines = {.count = 0};

    (void)state;
    make_tenant("T1");
    put(&waiting, true);
    put(&left, false);
    put(&imported, false);
    assert_int_equal(export_to(&lines), KS_OK);
    assert_int_equal(lines.count, 5);
    for (size_t i = 0; i < 3; i++) {
        const json_t *line = lines.line[i + 2];

        assert_true(json_is_true(json_object_get(line, "auto-provisioned")));
        assert_int_equal(json_is_true(json_object_get(line, "auto-provisioning-notification-sent")),
                         sent[i]);
    }
    forget(&lines);
}

static void a_line_is_what_the_manual_says_byte_for_byte(void **state)
{
    struct store_device device = {.id = SPAN("d\"\\\xC3\xA9"),
                                  .updated_ms = REGISTRY_NOW + REGISTRY_DAY,
                                  .flags = STORE_DEVICE_NOTIFIED,
                                  .document = SPAN("{\"enabled\":true}")};
    struct lines lines = {.count = 0};

    (void)state;
    make_tenant("T1");
    put(&device, false);
    assert_int_equal(export_to(&lines), KS_OK);
    assert_string_equal(lines.last,
                        "{\"tenant\":\"T1\",\"device\":\"d\\\"\\\\\xC3\xA9\","
                        "\"version\":\"01000000-0000-0000-0000-000000000000\","
                        "\"credentials-version\":\"02000000-0000-0000-0000-000000000000\","
                        "\"created\":1795514400007,\"updated\":1795600800000,"
                        "\"auto-provisioned\":false,"
                        "\"auto-provisioning-notification-sent\":true,"
                        "\"document\":{\"enabled\":true},\"credentials\":[]}");
    forget(&lines);
}

static void credentials_come_whole_and_in_the_operators_order(void **state)
{
    struct lines lines = {.count = 0};
    const json_t *credentials;

    (void)state;
    make_tenant("T1");
    make_device("T1", "d");
    office_ask(&office, &(struct office_request){
                            CREDENTIALS(UPDATE, "T1") = "d",
                            .body = "[{\"type\":\"x\",\"auth-id\":\"2\",\"secrets\":[{}]},"
                                    "{\"type\":\"psk\",\"auth-id\":\"1\",\"ext\":{\"n\":1.50},"
                                    "\"secrets\":[{\"key\":\"AA==\"},{\"key\":\"AQ==\"}]}]"});
    assert_int_equal(office.response.status, 204);
    assert_int_equal(export_to(&lines), KS_OK);
    assert_header(&lines, 1, 1, 2);
    credentials = json_object_get(lines.line[2], "credentials");
    assert_int_equal(json_array_size(credentials), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(credentials, 0), "auth-id")), "2");
    assert_non_null(strstr(lines.last, "\"key\":\"AA==\""));
    assert_non_null(strstr(lines.last, "\"key\":\"AQ==\""));
    forget(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tenants_come_by_id_and_behind_each_its_devices, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_meanwhile_is_not_in_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_line_that_is_not_taken_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whether_the_event_has_left_is_told_as_it_is_shown, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_line_is_what_the_manual_says_byte_for_byte, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(credentials_come_whole_and_in_the_operators_order, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
