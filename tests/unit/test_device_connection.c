#include "support/test.h"

#include <pthread.h>
#include <stdio.h>

#include "service/device_connection.h"

enum { THREADS = 4, TURNS = 2000 };

static struct device_connections *all;
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    all = device_connections_open(8, 4);
    buf_init(&out, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    device_connections_close(all);
    buf_done(&out);
    return 0;
}

static enum ks_status saw(const char *tenant, const char *device, const char *gateway, int64_t now)
{
    return device_connection_set_gateway(all, span_cstr(tenant), span_cstr(device),
                                         span_cstr(gateway), now, NULL);
}

static enum ks_status last(const char *tenant, const char *device, int64_t now)
{
    buf_clear(&out);
    return device_connection_get_gateway(all, span_cstr(tenant), span_cstr(device), now, &out,
                                         NULL);
}

static enum ks_status holds(const char *device, const char *adapter, int64_t lifespan, int64_t now)
{
    return device_connection_set_adapter(all, SPAN("T"), span_cstr(device), span_cstr(adapter),
                                         lifespan, now, NULL);
}

static enum ks_status lets_go(const char *device, const char *adapter)
{
    return device_connection_remove_adapter(all, SPAN("T"), span_cstr(device), span_cstr(adapter),
                                            0, NULL);
}

/* The adapters of the device, behind the gateways g1 and g2. */
static enum ks_status held(const char *device, int64_t now)
{
    const struct span gateways[] = {SPAN("g1"), SPAN("g2")};

    buf_clear(&out);
    return device_connection_get_adapters(all, SPAN("T"), span_cstr(device), gateways, 2, now, &out,
                                          NULL);
}

static void assert_out(const char *expected)
{
    assert_true(span_eq(buf_span(&out), span_cstr(expected)));
}

static void the_last_gateway_is_the_one_told_last(void **state)
{
    (void)state;
    assert_int_equal(last("T", "d", 0), KS_NOT_FOUND);
    assert_int_equal(saw("T", "d", "g1", 1000), KS_OK);
    assert_int_equal(saw("T", "d", "g\"2", 2000), KS_OK);
    assert_int_equal(last("T", "d", 2000), KS_OK);
    assert_out("{\"gateway-id\":\"g\\\"2\",\"last-updated\":\"1970-01-01T00:00:02Z\"}");
    assert_int_equal(last("U", "d", 2000), KS_NOT_FOUND);
    assert_int_equal(last("T", "e", 2000), KS_NOT_FOUND);
}

static void a_week_later_it_is_forgotten(void **state)
{
    (void)state;
    assert_int_equal(saw("T", "d", "g", 0), KS_OK);
    assert_int_equal(last("T", "d", DEVICE_CONNECTION_AGE_MS), KS_OK);
    assert_int_equal(last("T", "d", DEVICE_CONNECTION_AGE_MS + 1), KS_NOT_FOUND);
}

static void a_tenant_has_its_fill_and_others_do_not_notice(void **state)
{
    char device[8];

    (void)state;
    for (int i = 0; i < 4; i++) {
        (void)snprintf(device, sizeof(device), "d%d", i);
        assert_int_equal(saw("T", device, "g", 0), KS_OK);
    }
    assert_int_equal(saw("T", "d4", "g", 0), KS_FORBIDDEN);
    assert_int_equal(saw("T", "d3", "other", 0), KS_OK);
    assert_int_equal(saw("U", "d4", "g", 0), KS_OK);
}

static void beyond_the_total_the_one_told_longest_ago_goes(void **state)
{
    char tenant[8];

    (void)state;
    for (int i = 0; i < 8; i++) {
        (void)snprintf(tenant, sizeof(tenant), "T%d", i);
        assert_int_equal(saw(tenant, "d", "g", i), KS_OK);
    }
    assert_int_equal(saw("T0", "d", "g", 8), KS_OK);
    assert_int_equal(saw("T8", "d", "g", 9), KS_OK);
    assert_int_equal(last("T0", "d", 9), KS_OK);
    assert_int_equal(last("T1", "d", 9), KS_NOT_FOUND);
    assert_int_equal(last("T2", "d", 9), KS_OK);
}

static void adapters_are_chosen_device_first_then_last_gateway_then_all(void **state)
{
    (void)state;
    assert_int_equal(held("d", 0), KS_NOT_FOUND);
    assert_int_equal(holds("g1", "a1", -1, 0), KS_OK);
    assert_int_equal(holds("g2", "a2", -1, 0), KS_OK);
    assert_int_equal(held("d", 0), KS_OK);
    assert_out("{\"adapter-instances\":[{\"adapter-instance-id\":\"a1\",\"device-id\":\"g1\"},"
               "{\"adapter-instance-id\":\"a2\",\"device-id\":\"g2\"}]}");
    assert_int_equal(saw("T", "d", "g2", 0), KS_OK);
    assert_int_equal(held("d", 0), KS_OK);
    assert_out("{\"adapter-instances\":[{\"adapter-instance-id\":\"a2\",\"device-id\":\"g2\"}]}");
    assert_int_equal(saw("T", "d", "stranger", 0), KS_OK); /* not one of the device's: all again */
    assert_int_equal(held("d", 0), KS_OK);
    assert_out("{\"adapter-instances\":[{\"adapter-instance-id\":\"a1\",\"device-id\":\"g1\"},"
               "{\"adapter-instance-id\":\"a2\",\"device-id\":\"g2\"}]}");
    assert_int_equal(holds("d", "own", -1, 0), KS_OK);
    assert_int_equal(held("d", 0), KS_OK);
    assert_out("{\"adapter-instances\":[{\"adapter-instance-id\":\"own\",\"device-id\":\"d\"}]}");
}

static void an_adapter_is_removed_by_itself_only(void **state)
{
    (void)state;
    assert_int_equal(lets_go("d", "a"), KS_NOT_FOUND);
    assert_int_equal(holds("d", "a", -1, 0), KS_OK);
    assert_int_equal(lets_go("d", "b"), KS_NOT_FOUND);
    assert_int_equal(held("d", 0), KS_OK);
    assert_int_equal(lets_go("d", "a"), KS_OK);
    assert_int_equal(held("d", 0), KS_NOT_FOUND);
    assert_int_equal(lets_go("d", "a"), KS_NOT_FOUND);
}

static void an_adapter_is_there_for_its_lifespan(void **state)
{
    (void)state;
    assert_int_equal(holds("d", "a", 10, 0), KS_OK);
    assert_int_equal(held("d", 9999), KS_OK);
    assert_int_equal(held("d", 10000), KS_NOT_FOUND);
    assert_int_equal(holds("d", "a", 0, 0), KS_OK);
    assert_int_equal(held("d", 0), KS_NOT_FOUND);
}

static void a_long_lifespan_ends_too(void **state)
{
    const int64_t two_weeks = 2 * DEVICE_CONNECTION_AGE_MS;

    (void)state;
    assert_int_equal(holds("d", "a", two_weeks / 1000, 0), KS_OK);
    assert_int_equal(saw("T", "d", "g", DEVICE_CONNECTION_AGE_MS), KS_OK); /* the device is known */
    assert_int_equal(held("d", two_weeks - 1), KS_OK);
    assert_int_equal(held("d", two_weeks), KS_NOT_FOUND);
    assert_int_equal(last("T", "d", two_weeks), KS_OK);
    assert_int_equal(holds("d", "a", INT64_MAX, two_weeks), KS_OK);
    assert_int_equal(held("d", two_weeks + 1), KS_OK);
}

static void what_was_known_of_a_forgotten_device_does_not_come_back(void **state)
{
    (void)state;
    assert_int_equal(holds("d", "a", -1, 0), KS_OK);
    assert_int_equal(saw("T", "d", "g", DEVICE_CONNECTION_AGE_MS + 1), KS_OK);
    assert_int_equal(held("d", DEVICE_CONNECTION_AGE_MS + 1), KS_NOT_FOUND);
    assert_int_equal(last("T", "d", DEVICE_CONNECTION_AGE_MS + 1), KS_OK);
}

static void a_gateway_that_is_named_twice_is_told_once(void **state)
{
    const struct span gateways[] = {SPAN("g1"), SPAN("g1"), SPAN("nobody"), SPAN("g1")};

    (void)state;
    assert_int_equal(holds("g1", "a1", -1, 0), KS_OK);
    for (int turn = 0; turn < 2; turn++) {
        buf_clear(&out);
        assert_int_equal(
            device_connection_get_adapters(all, SPAN("T"), SPAN("d"), gateways, 4, 0, &out, NULL),
            KS_OK);
        assert_out(
            "{\"adapter-instances\":[{\"adapter-instance-id\":\"a1\",\"device-id\":\"g1\"}]}");
    }
}

static void an_answer_is_bounded(void **state)
{
    static char names[DEVICE_CONNECTION_GATEWAYS][8];
    static struct span gateways[DEVICE_CONNECTION_GATEWAYS];
    struct device_connections *many =
        device_connections_open(2 * DEVICE_CONNECTION_GATEWAYS, 2 * DEVICE_CONNECTION_GATEWAYS);
    char adapter[DEVICE_CONNECTION_ID_MAX];

    (void)state;
    memset(adapter, 1, sizeof(adapter)); /* six bytes each in JSON */
    for (size_t i = 0; i < DEVICE_CONNECTION_GATEWAYS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "%zu", i);
        gateways[i] = span_cstr(names[i]);
        assert_int_equal(device_connection_set_adapter(many, SPAN("T"), gateways[i],
                                                       span_of(adapter, sizeof(adapter)), -1, 0,
                                                       NULL),
                         KS_OK);
    }
    assert_int_equal(device_connection_get_adapters(many, SPAN("T"), SPAN("d"), gateways,
                                                    DEVICE_CONNECTION_GATEWAYS, 0, &out, NULL),
                     KS_OK);
    assert_true(out.len > DEVICE_CONNECTION_ANSWER_MAX);
    assert_true(out.len < DEVICE_CONNECTION_ANSWER_MAX + 4096);
    assert_memory_equal(out.ptr + out.len - 3, "}]}", 3);
    device_connections_close(many);
}

static void ids_are_bounded(void **state)
{
    char id[DEVICE_CONNECTION_ID_MAX + 2] = "";

    (void)state;
    memset(id, 'x', DEVICE_CONNECTION_ID_MAX + 1);
    assert_int_equal(saw(id, "d", "g", 0), KS_INVALID);
    assert_int_equal(saw("T", id, "g", 0), KS_INVALID);
    assert_int_equal(saw("T", "d", id, 0), KS_INVALID);
    assert_int_equal(saw("", "d", "g", 0), KS_INVALID);
    assert_int_equal(holds("d", "", -1, 0), KS_INVALID);
    id[DEVICE_CONNECTION_ID_MAX] = '\0';
    assert_int_equal(saw(id, id, id, 0), KS_OK);
    assert_int_equal(last(id, id, 0), KS_OK);
}

static void *tell_and_ask(void *arg)
{
    struct buf mine;
    size_t wrong = 0;

    buf_init(&mine, 0);
    for (int i = 0; i < TURNS; i++) {
        struct span adapter = span_cstr(arg);
        char text[8];
        struct span tenant;
        enum ks_status st;

        (void)snprintf(text, sizeof(text), "T%d", i % 7);
        tenant = span_cstr(text);
        wrong += device_connection_set_gateway(all, tenant, SPAN("d"), SPAN("g"), 0, NULL) != KS_OK;
        wrong += device_connection_get_gateway(all, tenant, SPAN("d"), 0, &mine, NULL) != KS_OK;
        wrong +=
            device_connection_set_adapter(all, SPAN("T"), SPAN("d"), adapter, -1, 0, NULL) != KS_OK;
        st = device_connection_remove_adapter(all, SPAN("T"), SPAN("d"), adapter, 0, NULL);
        wrong += st != KS_OK && st != KS_NOT_FOUND; /* another thread's by now */
        buf_clear(&mine);
    }
    buf_done(&mine);
    return wrong == 0 ? arg : NULL;
}

static void many_threads_tell_and_ask(void **state)
{
    static char names[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t thread[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, tell_and_ask, names[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *right = NULL;

        assert_int_equal(pthread_join(thread[i], &right), 0);
        assert_non_null(right);
    }
    assert_int_equal(last("T6", "d", 0), KS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_gateway_is_the_one_told_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_week_later_it_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tenant_has_its_fill_and_others_do_not_notice, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(beyond_the_total_the_one_told_longest_ago_goes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(adapters_are_chosen_device_first_then_last_gateway_then_all,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_adapter_is_removed_by_itself_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_adapter_is_there_for_its_lifespan, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_lifespan_ends_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_known_of_a_forgotten_device_does_not_come_back,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gateway_that_is_named_twice_is_told_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_answer_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_threads_tell_and_ask, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
