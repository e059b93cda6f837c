#include "support/registry.h"

#include <stdio.h>
#include <string.h>

#include "base/counters.h"
#include "service/group_members.h"
#include "service/reasons.h"
#include "service/registration_assert.h"
#include "store/key.h"
#include "store/kv.h"

static struct registry registry;
static uint32_t space;

static int set_up(void **state)
{
    uint32_t off;

    (void)state;
    registry_open(&registry);
    space = registry_put_tenant(&registry, &(struct registry_tenant){.id = "T"});
    registry_put_device(&registry, space, &(struct registry_device){.id = "alone"});
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "off", .disabled = true, .via = {"gw"}});
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "behind",
                                                  .via = {"gw", "gw-off", "ghost"},
                                                  .via_groups = {"g0", "g1"}});
    registry_put_device(&registry, space, &(struct registry_device){.id = "gw"});
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "gw-off", .disabled = true});
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "member", .member_of = {"g1", "g2"}});
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "stranger", .member_of = {"g2", "g"}});
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "maker", .provisioner = true});
    registry_put_device(
        &registry, space,
        &(struct registry_device){.id = "maker-off", .disabled = true, .provisioner = true});
    off = registry_put_tenant(&registry, &(struct registry_tenant){.id = "off", .disabled = true});
    registry_put_device(&registry, off,
                        &(struct registry_device){.id = "maker", .provisioner = true});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    registry_close(&registry);
    return 0;
}

static struct provisioning_plan plan;

static enum ks_status assert_device(const char *tenant, const char *device, const char *gateway)
{
    const struct assert_query query = {.tenant_id = span_cstr(tenant),
                                       .device_id = span_cstr(device),
                                       .gateway_id = span_cstr(gateway),
                                       .has_gateway_id = gateway != NULL};

    registry_renew(&registry);
    plan = (struct provisioning_plan){.kind = NULL};
    return registration_assert(&registry.reader, &query, REGISTRY_NOW, &registry.answer, &plan);
}

static void ask(const char *tenant, const char *device, const char *gateway)
{
    assert_int_equal(assert_device(tenant, device, gateway), KS_OK);
    assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), 0);
    assert_int_equal(registry.answer.provisioning, ANSWER_ORDINARY);
}

static void a_device_may_speak_for_itself_or_through_its_gateways(void **state)
{
    static const char behind[] = "{\"device-id\":\"behind\",\"via\":[\"member\"]}";
    static const struct {
        const char *device;
        const char *gateway;
        const char *answer;
    } cases[] = {
        {"alone", NULL, "{\"device-id\":\"alone\"}"},
        {"behind", NULL, behind},
        {"behind", "gw", behind},
        {"behind", "member", behind},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask("T", cases[i].device, cases[i].gateway);
        assert_answer(&registry, 200, cases[i].answer);
        assert_int_equal(registry.answer.max_age_s, 300);
        assert_null(registry.answer.reason);
    }
}

static void others_are_refused_the_device_first(void **state)
{
    static const struct {
        const char *tenant;
        const char *device;
        const char *gateway;
        int status;
        const char *reason;
    } cases[] = {
        {"U", "alone", NULL, 404, REASON_UNKNOWN_TENANT},
        {"U", "alone", "gw", 404, REASON_UNKNOWN_TENANT},
        {"", "alone", NULL, 404, REASON_UNKNOWN_TENANT},
        {"off", "alone", NULL, 404, REASON_UNKNOWN_DEVICE},
        {"T", "ghost", NULL, 404, REASON_UNKNOWN_DEVICE},
        {"T", "", NULL, 404, REASON_UNKNOWN_DEVICE},
        {"T", "Alone", NULL, 404, REASON_UNKNOWN_DEVICE},
        {"T", "off", NULL, 404, REASON_DISABLED},
        {"T", "off", "gw", 404, REASON_DISABLED},
        {"T", "ghost", "ghost", 404, REASON_UNKNOWN_DEVICE},
        {"T", "ghost", "gw", 404, REASON_UNKNOWN_DEVICE},
        {"T", "ghost", "maker-off", 404, REASON_UNKNOWN_DEVICE},
        {"T", "ghost", "", 404, REASON_UNKNOWN_DEVICE},
        {"off", "ghost", NULL, 404, REASON_UNKNOWN_DEVICE},
        {"T", "off", "maker", 404, REASON_DISABLED},
        {"T", "alone", "maker", 403, REASON_GATEWAY},
        {"T", "maker", "maker", 403, REASON_GATEWAY},
        {"T", "behind", "ghost", 403, REASON_GATEWAY},
        {"T", "behind", "gw-off", 403, REASON_GATEWAY},
        {"T", "behind", "stranger", 403, REASON_GATEWAY},
        {"T", "behind", "alone", 403, REASON_GATEWAY},
        {"T", "behind", "", 403, REASON_GATEWAY},
        {"T", "behind", "g1", 403, REASON_GATEWAY},
        {"T", "alone", "gw", 403, REASON_GATEWAY},
        {"T", "gw", "gw", 403, REASON_GATEWAY},
        {"T", "member", "member", 403, REASON_GATEWAY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ask(cases[i].tenant, cases[i].device, cases[i].gateway);
        assert_refusal(&registry, cases[i].status, cases[i].reason);
        assert_int_equal(registry.answer.max_age_s, ANSWER_NO_DIRECTIVE);
    }
}

static void ids_beyond_the_bounds_are_unknown(void **state)
{
    char id[300];

    (void)state;
    memset(id, 'x', sizeof(id));
    id[sizeof(id) - 1] = '\0';
    ask(id, "alone", NULL);
    assert_refusal(&registry, 404, REASON_UNKNOWN_TENANT);
    ask("T", id, NULL);
    assert_refusal(&registry, 404, REASON_UNKNOWN_DEVICE);
    ask("T", "behind", id);
    assert_refusal(&registry, 403, REASON_GATEWAY);
}

/* ---- devices behind a gateway with the authority ---- */

static void an_unknown_device_behind_such_a_gateway_is_to_be_provisioned(void **state)
{
    (void)state;
    assert_int_equal(assert_device("T", "new:1", "maker"), KS_NEEDS_WRITE);
    assert_ptr_equal(plan.kind, &provisioning_by_gateway);
    assert_span(plan.tenant_id, "T");
    assert_span(plan.edge.device_id, "new:1");
    assert_span(plan.edge.gateway_id, "maker");
    assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), 0);
}

static void what_cannot_be_provisioned_is_refused_and_counted(void **state)
{
    static const struct {
        const char *tenant;
        const char *device;
        int status;
        const char *reason;
    } cases[] = {
        {"T", "", 400, REASON_BAD_DEVICE_ID},
        {"T", "a/b", 400, REASON_BAD_DEVICE_ID},
        {"T", "++\xC2\xA3\xC2\xA3", 400, REASON_BAD_DEVICE_ID},
        {"T", "\xFF", 400, REASON_BAD_DEVICE_ID},
        {"off", "new", 404, REASON_DISABLED},
        {"off", "a/b", 404, REASON_DISABLED},
    };
    char id[202];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(assert_device(cases[i].tenant, cases[i].device, "maker"), KS_OK);
        assert_refusal(&registry, cases[i].status, cases[i].reason);
        assert_int_equal(registry.answer.provisioning, ANSWER_NOT_PROVISIONED);
        assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), i + 1);
    }
    memset(id, 'x', sizeof(id));
    id[201] = '\0';
    assert_int_equal(assert_device("T", id, "maker"), KS_OK);
    assert_refusal(&registry, 400, REASON_BAD_DEVICE_ID);
    id[200] = '\0';
    assert_int_equal(assert_device("T", id, "maker"), KS_NEEDS_WRITE);
}

/* Members of the groups, "m1000" and up, all in one transaction. */
static void put_members(unsigned count, const struct span *groups, size_t group_count)
{
    struct store_txn *txn = NULL;

    assert_ok(store_write_begin(registry.store, &txn, why));
    for (unsigned i = 0; i < count; i++) {
        struct store_device device = {
            .flags = STORE_DEVICE_ENABLED, .document = SPAN("{}"), .answer = SPAN("{}")};
        char id[16];

        (void)snprintf(id, sizeof(id), "m%u", 1000 + i);
        arena_reset(&registry.arena);
        device.id = span_cstr(id);
        device.member_of = store_strings_encode(&registry.arena, groups, group_count);
        device.credentials = store_credential_refs_encode(&registry.arena, NULL, 0);
        assert_ok(store_device_insert(txn, space, &device, why));
    }
    assert_ok(store_write_commit(txn, why));
}

static void of_a_large_group_a_thousand_members_are_told_and_all_are_gateways(void **state)
{
    const struct span group = SPAN("big");
    const char *told;
    size_t commas = 0;

    (void)state;
    put_members(GROUP_MEMBERS_MAX + 3, &group, 1);
    registry_put_device(
        &registry, space,
        &(struct registry_device){.id = "before-big", .via = {"m1001"}, .via_groups = {"big"}});
    ask("T", "before-big", "m2002"); /* the last member */
    assert_int_equal(registry.answer.status, 200);
    buf_add_char(&registry.answer.body, '\0');
    told = registry.answer.body.ptr;
    for (const char *at = told; *at != '\0'; at++) {
        commas += *at == ',';
    }
    assert_int_equal(commas, GROUP_MEMBERS_MAX);
    /* m1001 is in `via`, which these records do not render */
    assert_non_null(strstr(told, "[\"m1000\",\"m1002\""));
    assert_non_null(strstr(told, ",\"m2000\"]"));
}

/* Else what an answer costs would grow with groups times members. */
static void looks_at_groups_that_share_their_members_are_bounded(void **state)
{
    const struct span groups[] = {SPAN("s1"), SPAN("s2"), SPAN("s3"), SPAN("s4"), SPAN("s5")};

    (void)state;
    put_members(GROUP_MEMBERS_MAX - 1, groups, 5);
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "late", .member_of = {"z"}});
    registry_put_device(
        &registry, space,
        &(struct registry_device){.id = "few", .via_groups = {"s1", "s2", "s3", "z"}});
    registry_put_device(
        &registry, space,
        &(struct registry_device){.id = "many", .via_groups = {"s1", "s2", "s3", "s4", "s5", "z"}});
    ask("T", "few", "late");
    assert_int_equal(registry.answer.status, 200);
    buf_add_char(&registry.answer.body, '\0');
    assert_non_null(strstr(registry.answer.body.ptr, ",\"m1998\",\"late\"]"));
    ask("T", "many", "late"); /* may act all the same */
    assert_int_equal(registry.answer.status, 200);
    buf_add_char(&registry.answer.body, '\0');
    assert_non_null(strstr(registry.answer.body.ptr, ",\"m1998\"]"));
}

/* Writes the value of the device's record, and keeps in `old` what was there. */
static void put_record(const char *device, struct span value, struct buf *old)
{
    const struct kv_engine *engine = registry.kv->engine;
    struct kv_txn *txn = NULL;
    struct span found;
    struct key key;
    char *room = NULL;

    key_of_device(&key, space, span_cstr(device));
    assert_ok(engine->write_begin(registry.kv, &txn, why));
    assert_ok(engine->get(txn, KV_DEVICE, key_span(&key), &found, why));
    if (old != NULL) {
        buf_add_span(old, found);
    }
    assert_ok(engine->put(txn, KV_DEVICE, key_span(&key), value.len, &room, why));
    memcpy(room, value.ptr, value.len);
    assert_ok(engine->commit(txn, why));
}

/* Hono answers 404, as if there were no such device. */
static void a_record_that_cannot_be_read_is_an_error(void **state)
{
    static const char *const damaged[] = {"behind", "member"};

    (void)state;
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        struct buf record;

        buf_init(&record, 0);
        put_record(damaged[i], SPAN("\xFF"), &record);
        ask("T", "behind", "member");
        assert_refusal(&registry, 500, REASON_INTERNAL);
        put_record(damaged[i], buf_span(&record), NULL);
        ask("T", "behind", "member");
        assert_int_equal(registry.answer.status, 200);
        buf_done(&record);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_device_may_speak_for_itself_or_through_its_gateways),
        TEST(others_are_refused_the_device_first),
        TEST(ids_beyond_the_bounds_are_unknown),
        TEST(an_unknown_device_behind_such_a_gateway_is_to_be_provisioned),
        TEST(what_cannot_be_provisioned_is_refused_and_counted),
        TEST(of_a_large_group_a_thousand_members_are_told_and_all_are_gateways),
        TEST(looks_at_groups_that_share_their_members_are_bounded),
        TEST(a_record_that_cannot_be_read_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
