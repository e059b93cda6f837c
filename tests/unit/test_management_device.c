#include "support/test.h"

#include <stdio.h>

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

static void a_device_is_made_shown_and_deleted(void **state)
{
    char made[UUID_TEXT_LEN + 1];

    (void)state;
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(CREATE, "T1") = "a:b=c", .body = "{\"via\":\"gw\"}");
    assert_response(&office, 201, "{\"id\":\"a:b=c\"}");
    assert_string_equal(office.response.location, "/v1/devices/T1/a:b=c");
    (void)snprintf(made, sizeof(made), "%s", office_etag(&office));
    ask(&office, DEVICE(READ, "T1") = "a:b=c");
    assert_response(&office, 200, "{\"via\":[\"gw\"],\"status\":{\"created\":\"@\"}}");
    assert_string_equal(office_etag(&office), made);
    ask(&office, DEVICE(CREATE, "T1") = "a:b=c");
    assert_error(&office, 409, "id-taken");
    ask(&office, DEVICE(CREATE, "T1") = "empty");
    ask(&office, DEVICE(READ, "T1") = "empty");
    assert_response(&office, 200, "{\"status\":{\"created\":\"@\"}}");
    ask(&office, DEVICE(DELETE, "T1") = "a:b=c", .if_match = "x");
    assert_error(&office, 412, "version-mismatch");
    ask(&office, DEVICE(DELETE, "T1") = "a:b=c", .if_match = made);
    assert_response(&office, 204, "");
    ask(&office, DEVICE(READ, "T1") = "a:b=c");
    assert_error(&office, 404, "unknown-device");
    ask(&office, DEVICE(DELETE, "T1") = "a:b=c", .if_match = made);
    assert_error(&office, 404, "unknown-device");
}

static void an_update_replaces_all_that_was_written(void **state)
{
    char made[UUID_TEXT_LEN + 1];
    char updated[UUID_TEXT_LEN + 1];

    (void)state;
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(UPDATE, "T1") = "d", .body = "{}");
    assert_error(&office, 404, "unknown-device");
    ask(&office, DEVICE(CREATE, "T1") = "d", .body = "{\"via\":\"gw\",\"ext\":{\"a\":1}}");
    (void)snprintf(made, sizeof(made), "%s", office_etag(&office));
    ask(&office, DEVICE(UPDATE, "T1") = "d", .body = "{\"memberOf\":\"g\"}", .if_match = made);
    assert_response(&office, 204, "");
    (void)snprintf(updated, sizeof(updated), "%s", office_etag(&office));
    assert_string_not_equal(made, updated);
    ask(&office, DEVICE(READ, "T1") = "d");
    assert_response(&office, 200,
                    "{\"memberOf\":[\"g\"],\"status\":{\"created\":\"@\",\"updated\":\"@\"}}");
    assert_string_equal(office_etag(&office), updated);

    ask(&office, DEVICE(UPDATE, "T1") = "d", .body = "{}", .if_match = made);
    assert_error(&office, 412, "version-mismatch");
    ask(&office, DEVICE(UPDATE, "T1") = "d", .body = "{\"nope\":1}", .if_match = updated);
    assert_error(&office, 400, "bad-request");
    ask(&office, DEVICE(UPDATE, "T1") = "d");
    assert_error(&office, 400, "bad-request");
    ask(&office, DEVICE(UPDATE, "T1") = "d!", .body = "{}");
    assert_error(&office, 400, "bad-request");
    ask(&office, DEVICE(UPDATE, "T2") = "d", .body = "{}");
    assert_error(&office, 404, "unknown-tenant");
    ask(&office, DEVICE(READ, "T1") = "d");
    assert_string_equal(office_etag(&office), updated); /* none of it changed a thing */

    ask(&office, DEVICE(UPDATE, "T1") = "d", .body = "{}", .if_match = updated);
    assert_int_equal(office.response.status, 204);
    assert_string_not_equal(office_etag(&office), updated); /* new, though little has changed */
}

static void an_update_leaves_the_credentials_alone(void **state)
{
    char version[UUID_TEXT_LEN + 1];

    (void)state;
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    ask(&office, CREDENTIALS(UPDATE, "T1") = "d",
        .body = "[{\"type\":\"psk\",\"auth-id\":\"a\",\"secrets\":[{\"key\":\"AA==\"}]}]");
    (void)snprintf(version, sizeof(version), "%s", office_etag(&office));
    ask(&office, DEVICE(UPDATE, "T1") = "d", .body = "{\"enabled\":false}");
    assert_int_equal(office.response.status, 204);
    ask(&office, CREDENTIALS(READ, "T1") = "d");
    assert_response(&office, 200,
                    "[{\"type\":\"psk\",\"auth-id\":\"a\",\"secrets\":[{\"id\":\"#\"}]}]");
    assert_string_equal(office_etag(&office), version);
}

static void all_devices_of_a_tenant_go_at_once(void **state)
{
    char version[UUID_TEXT_LEN + 1];

    (void)state;
    ask(&office, TENANT(CREATE) = "T1", .body = "{\"alias\":\"one\"}");
    (void)snprintf(version, sizeof(version), "%s", office_etag(&office));
    ask(&office, DEVICE(CREATE, "T1") = "a", .body = "{\"via\":\"b\"}");
    ask(&office, DEVICE(CREATE, "T1") = "b");
    ask(&office, CREDENTIALS(UPDATE, "T1") = "b",
        .body = "[{\"type\":\"psk\",\"auth-id\":\"x\",\"secrets\":[{\"key\":\"AA==\"}]}]");
    ask(&office, TENANT(CREATE) = "T2");
    ask(&office, DEVICE(CREATE, "T2") = "a");
    ask(&office, .op = MANAGEMENT_DEVICE_DELETE_ALL, .tenant = "T1", .if_match = "ignored");
    assert_response(&office, 204, "");
    assert_false(office.response.has_etag);
    ask(&office, DEVICE(READ, "T1") = "a");
    assert_error(&office, 404, "unknown-device");
    ask(&office, CREDENTIALS(READ, "T1") = "b");
    assert_error(&office, 404, "unknown-device");
    ask(&office, DEVICE(READ, "T2") = "a");
    assert_int_equal(office.response.status, 200);
    ask(&office, TENANT(READ) = "T1");
    assert_response(&office, 200, "{\"alias\":\"one\"}");
    assert_string_equal(office_etag(&office), version);

    ask(&office, DEVICE(CREATE, "T1") = "b"); /* its names are free again */
    ask(&office, CREDENTIALS(UPDATE, "T1") = "b",
        .body = "[{\"type\":\"psk\",\"auth-id\":\"x\",\"secrets\":[{\"key\":\"AA==\"}]}]");
    assert_int_equal(office.response.status, 204);
    ask(&office, .op = MANAGEMENT_DEVICE_DELETE_ALL, .tenant = "T1");
    assert_int_equal(office.response.status, 204);
    ask(&office, .op = MANAGEMENT_DEVICE_DELETE_ALL, .tenant = "T1");
    assert_int_equal(office.response.status, 204); /* none left */
    ask(&office, .op = MANAGEMENT_DEVICE_DELETE_ALL, .tenant = "none");
    assert_int_equal(office.response.status, 204);
    ask(&office, .op = MANAGEMENT_DEVICE_DELETE_ALL, .tenant = "a b");
    assert_error(&office, 400, "bad-request");
}

static void devices_need_their_tenant_but_to_be_deleted(void **state)
{
    (void)state;
    ask(&office, DEVICE(CREATE, "T1") = "d");
    assert_error(&office, 404, "unknown-tenant");
    ask(&office, DEVICE(READ, "T1") = "d");
    assert_error(&office, 404, "unknown-tenant");
    ask(&office, DEVICE(DELETE, "T1") = "d");
    assert_response(&office, 204, "");
}

static void a_tenant_takes_its_devices_along(void **state)
{
    (void)state;
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    ask(&office, .op = MANAGEMENT_CREDENTIALS_UPDATE, .tenant = "T1", .device = "d",
        .body = "[{\"type\":\"psk\",\"auth-id\":\"a\",\"secrets\":[{\"key\":\"AA==\"}]}]");
    assert_int_equal(office.response.status, 204);
    ask(&office, TENANT(DELETE) = "T1");
    assert_int_equal(office.response.status, 204);
    ask(&office, DEVICE(DELETE, "T1") = "d");
    assert_int_equal(office.response.status, 204);
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(READ, "T1") = "d");
    assert_error(&office, 404, "unknown-device");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    ask(&office, .op = MANAGEMENT_CREDENTIALS_READ, .tenant = "T1", .device = "d");
    assert_response(&office, 200, "[]");
}

static void device_limits_hold_for_tenant_and_service(void **state)
{
    (void)state;
    office.registry.service.max_devices_per_tenant = 1;
    ask(&office, TENANT(CREATE) = "T1");
    ask(&office, DEVICE(CREATE, "T1") = "a");
    assert_int_equal(office.response.status, 201);
    ask(&office, DEVICE(CREATE, "T1") = "a");
    assert_error(&office, 403, "device-limit"); /* looked at before the id */
    ask(&office, TENANT(UPDATE) = "T1", .body = "{\"registration-limits\":{\"max-devices\":2}}");
    ask(&office, DEVICE(CREATE, "T1") = "b");
    assert_int_equal(office.response.status, 201); /* the tenant's own limit wins */
    ask(&office, DEVICE(CREATE, "T1") = "c");
    assert_error(&office, 403, "device-limit");
    ask(&office, DEVICE(DELETE, "T1") = "a");
    ask(&office, DEVICE(CREATE, "T1") = "c");
    assert_int_equal(office.response.status, 201);
    ask(&office, TENANT(UPDATE) = "T1", .body = "{\"registration-limits\":{\"max-devices\":0}}");
    ask(&office, DEVICE(READ, "T1") = "c");
    assert_int_equal(office.response.status, 200); /* what is there stays */
    office.registry.service.max_devices_per_tenant = 0;
    ask(&office, DEVICE(CREATE, "T1") = "d");
    assert_error(&office, 403, "device-limit");
    ask(&office, TENANT(UPDATE) = "T1", .body = "{}");
    ask(&office, DEVICE(CREATE, "T1") = "d");
    assert_int_equal(office.response.status, 201);
}

/* Writes a provisioned device as provisioning does; its event stands in the outbox if `queued`. */
static void put_provisioned(const char *id, bool queued, uint32_t more_flags)
{
    struct store_txn *txn = NULL;
    struct store_device device = {.id = span_cstr(id),
                                  .flags = STORE_DEVICE_ENABLED | STORE_DEVICE_AUTO_PROVISIONED |
                                           more_flags,
                                  .version = uuid_random(),
                                  .credentials_version = uuid_random(),
                                  .created_ms = REGISTRY_NOW,
                                  .updated_ms = REGISTRY_NOW + REGISTRY_DAY,
                                  .document = SPAN("{\"enabled\":true}"),
                                  .answer = SPAN("{}")};
    struct store_outbox_entry event = {.kind = STORE_OUTBOX_EVENT, .tenant_id = SPAN("T1")};
    uint32_t space;

    assert_ok(store_write_begin(office.registry.store, &txn, why));
    assert_ok(store_tenant_find(txn, SPAN("T1"), &space, why));
    event.space = space;
    event.device_id = device.id;
    assert_ok(store_outbox_append(txn, &event, &device.event_seq, why));
    if (!queued) {
        assert_ok(store_outbox_delete(txn, STORE_EVENTS, device.event_seq, why));
    }
    device.event_seq = more_flags != 0 ? 0 : device.event_seq;
    assert_ok(store_device_insert(txn, space, &device, why));
    assert_ok(store_write_commit(txn, why));
}

static void the_status_tells_how_a_device_came(void **state)
{
    static const char waiting[] =
        "{\"enabled\":true,\"status\":{\"created\":\"@\",\"updated\":\"@\","
        "\"auto-provisioned\":true}}";
    static const char sent[] =
        "{\"enabled\":true,\"status\":{\"created\":\"@\",\"updated\":\"@\","
        "\"auto-provisioned\":true,\"auto-provisioning-notification-sent\":true}}";

    (void)state;
    ask(&office, TENANT(CREATE) = "T1");
    put_provisioned("waiting", true, 0);
    put_provisioned("sent", false, 0);
    put_provisioned("imported", false, STORE_DEVICE_NOTIFIED);
    ask(&office, DEVICE(READ, "T1") = "waiting");
    assert_response(&office, 200, waiting);
    ask(&office, DEVICE(READ, "T1") = "sent");
    assert_response(&office, 200, sent);
    ask(&office, DEVICE(READ, "T1") = "imported");
    assert_response(&office, 200, sent);
    ask(&office, .op = MANAGEMENT_CREDENTIALS_UPDATE, .tenant = "T1", .device = "sent",
        .body = "[]");
    assert_int_equal(office.response.status, 204);
    ask(&office, DEVICE(READ, "T1") = "sent");
    assert_response(&office, 200, sent); /* an update loses none of it */
    for (size_t i = 0; i < 3; i++) {
        static const char *const ids[] = {"waiting", "sent", "imported"};

        ask(&office, DEVICE(UPDATE, "T1") = ids[i], .body = "{\"enabled\":true}");
        assert_int_equal(office.response.status, 204);
        ask(&office, DEVICE(READ, "T1") = ids[i]);
        assert_response(&office, 200, i == 0 ? waiting : sent);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_device_is_made_shown_and_deleted, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(an_update_replaces_all_that_was_written, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(an_update_leaves_the_credentials_alone, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(all_devices_of_a_tenant_go_at_once, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(devices_need_their_tenant_but_to_be_deleted, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(a_tenant_takes_its_devices_along, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(device_limits_hold_for_tenant_and_service, open_office,
                                        close_office),
        cmocka_unit_test_setup_teardown(the_status_tells_how_a_device_came, open_office,
                                        close_office),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
