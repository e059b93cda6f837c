/* Devices that are provisioned because a gateway with the authority speaks for them. */
#include "support/registry.h"

#include <stdio.h>

#include "base/counters.h"
#include "service/reasons.h"
#include "service/registration_assert.h"
#include "support/jobs.h"

static struct registry registry;
static uint32_t space;

static void put_tenant(bool disabled, int32_t max_devices)
{
    space = registry_put_tenant(&registry, &(struct registry_tenant){.id = "T",
                                                                     .disabled = disabled,
                                                                     .limited = true,
                                                                     .max_devices = max_devices,
                                                                     .max_credentials = 0});
}

static int set_up(void **state)
{
    (void)state;
    registry_open(&registry);
    put_tenant(false, -1);
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "gw", .provisioner = true});
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "rival", .provisioner = true});
    registry_put_device(&registry, space,
                        &(struct registry_device){
                            .id = "red-1", .provisioner = true, .member_of = {"red", "blue"}});
    registry_put_device(
        &registry, space,
        &(struct registry_device){.id = "red-2", .provisioner = true, .member_of = {"red"}});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    registry_close(&registry);
    return 0;
}

enum { GATEWAYS = 4 };

static struct provisioning_plan plan_for(const char *device, const char *gateway)
{
    return (struct provisioning_plan){
        .kind = &provisioning_by_gateway,
        .tenant_id = SPAN("T"),
        .edge = {.device_id = span_cstr(device), .gateway_id = span_cstr(gateway)}};
}

static void provision(const char *device, const char *gateway)
{
    const struct provisioning_plan plan = plan_for(device, gateway);

    jobs_provision(&registry, &plan);
}

static struct store_device read_device(const char *id)
{
    struct store_device device = {.flags = 0};

    registry_renew(&registry);
    assert_ok(store_device_get(registry.reader.txn, space, span_cstr(id), &device, why));
    return device;
}

static void assert_ordinary(const char *device, const char *gateway, const char *answer)
{
    const struct assert_query query = {.tenant_id = SPAN("T"),
                                       .device_id = span_cstr(device),
                                       .gateway_id = span_cstr(gateway),
                                       .has_gateway_id = gateway != NULL};
    struct provisioning_plan plan;

    registry_renew(&registry);
    assert_int_equal(
        registration_assert(&registry.reader, &query, REGISTRY_NOW, &registry.answer, &plan),
        KS_OK);
    assert_answer(&registry, 200, answer);
}

/* ---- what is written ---- */

static void the_device_is_behind_its_gateway_and_has_no_credentials(void **state)
{
    static const char answer[] = "{\"device-id\":\"edge:1\",\"via\":[\"gw\"]}";
    struct store_device device;
    bool is_gateway = false;

    (void)state;
    provision("edge:1", "gw");
    assert_answer(&registry, 200, answer);
    assert_int_equal(registry.answer.max_age_s, 300);
    assert_int_equal(registry.answer.provisioning, ANSWER_PROVISIONED);
    assert_int_equal(counters_sum(COUNTER_EDGE_PROVISIONED), 1);
    assert_int_equal(counters_sum(COUNTER_PROVISIONED), 0);
    device = read_device("edge:1");
    assert_span(device.document, "{\"enabled\":true,\"via\":[\"gw\"]}");
    assert_int_equal(device.flags, STORE_DEVICE_ENABLED | STORE_DEVICE_AUTO_PROVISIONED);
    assert_int_equal(device.created_ms, REGISTRY_NOW + 123);
    assert_int_equal(device.updated_ms, 0);
    assert_int_equal(device.credentials.len, 0);
    assert_int_equal(device.member_of.len, 0);
    assert_ok(store_is_gateway(registry.reader.txn, space, SPAN("gw"), &is_gateway, why));
    assert_true(is_gateway);
    assert_int_equal(registry_count_devices(&registry, space), GATEWAYS + 1);
    assert_ordinary("edge:1", "gw", answer);
    assert_ordinary("edge:1", NULL, answer);
}

static void the_groups_of_its_gateway_may_act_for_it(void **state)
{
    static const char answer[] = "{\"device-id\":\"edge\",\"via\":[\"red-1\",\"red-2\"]}";

    (void)state;
    provision("edge", "red-1");
    assert_answer(&registry, 200, answer);
    assert_span(read_device("edge").document,
                "{\"enabled\":true,\"via\":[\"red-1\"],\"viaGroups\":[\"red\",\"blue\"]}");
    assert_ordinary("edge", "red-2", answer);
}

/* ---- races ---- */

enum { CROWD = 50 };

static void of_many_first_messages_one_makes_the_device_and_all_are_let_through(void **state)
{
    const struct provisioning_plan plan = plan_for("edge", "gw");
    struct provisioning_job *jobs[CROWD];
    struct jobs_holder holder;
    unsigned made = 0;

    (void)state;
    jobs_hold(&registry, &holder);
    for (int i = 0; i < CROWD; i++) {
        jobs[i] = jobs_submit(&registry, &plan);
    }
    jobs_let_go(&holder);
    jobs_await(jobs, CROWD);
    for (int i = 0; i < CROWD; i++) {
        made += jobs[i]->answer.provisioning == ANSWER_PROVISIONED ? 1 : 0;
        assert_int_equal(jobs[i]->answer.status, 200);
        assert_int_equal(jobs[i]->answer.max_age_s, 300);
        assert_span(buf_span(&jobs[i]->answer.body), "{\"device-id\":\"edge\",\"via\":[\"gw\"]}");
        provisioning_job_count(jobs[i], registry.counters);
        provisioning_job_free(jobs[i]);
    }
    assert_int_equal(made, 1);
    assert_int_equal(counters_sum(COUNTER_EDGE_PROVISIONED), 1);
    assert_int_equal(registry_count_devices(&registry, space), GATEWAYS + 1);
}

static void of_two_gateways_the_faster_has_the_device(void **state)
{
    (void)state;
    provision("edge", "gw");
    provision("edge", "rival");
    assert_refusal(&registry, 403, REASON_GATEWAY);
    assert_int_equal(registry.answer.max_age_s, ANSWER_NO_DIRECTIVE);
    assert_int_equal(registry.answer.provisioning, ANSWER_NOT_PROVISIONED);
    assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), 1);
    assert_span(read_device("edge").document, "{\"enabled\":true,\"via\":[\"gw\"]}");
    provision("grouped", "red-1");
    provision("grouped", "red-2"); /* of its group: the ordinary rule lets it */
    assert_int_equal(registry.answer.status, 200);
    assert_int_equal(registry.answer.provisioning, ANSWER_ORDINARY);
    provision("grouped", "rival");
    assert_refusal(&registry, 403, REASON_GATEWAY);
    assert_int_equal(registry_count_devices(&registry, space), GATEWAYS + 2);
}

static void limits_are_exact_however_many_come_at_once(void **state)
{
    struct provisioning_job *jobs[CROWD];
    struct jobs_holder holder;
    unsigned made = 0;

    (void)state;
    put_tenant(false, GATEWAYS + 7);
    jobs_hold(&registry, &holder);
    for (int i = 0; i < CROWD; i++) {
        char id[32];
        struct provisioning_plan plan;

        (void)snprintf(id, sizeof(id), "edge-%d", i);
        plan = plan_for(id, i % 2 == 0 ? "gw" : "red-1");
        jobs[i] = jobs_submit(&registry, &plan);
    }
    jobs_let_go(&holder);
    jobs_await(jobs, CROWD);
    for (int i = 0; i < CROWD; i++) {
        if (jobs[i]->answer.status == 200) {
            made++;
        } else {
            assert_int_equal(jobs[i]->answer.status, 403);
            assert_string_equal(jobs[i]->answer.reason, REASON_DEVICE_LIMIT);
        }
        provisioning_job_free(jobs[i]);
    }
    assert_int_equal(made, 7);
    assert_int_equal(registry_count_devices(&registry, space), GATEWAYS + 7);
}

/* ---- what changed since the plan ---- */

static void disable_tenant(void)
{
    put_tenant(true, -1);
}

static void delete_tenant(void)
{
    registry_delete_tenant(&registry, "T");
}

static void renew_tenant(void)
{
    delete_tenant();
    put_tenant(false, -1);
}

static void put_gateway(bool disabled, bool provisioner)
{
    registry_delete_device(&registry, space, "gw");
    registry_put_device(
        &registry, space,
        &(struct registry_device){.id = "gw", .disabled = disabled, .provisioner = provisioner});
}

static void disable_gateway(void)
{
    put_gateway(true, true);
}

static void take_authority(void)
{
    put_gateway(false, false);
}

static void delete_gateway(void)
{
    registry_delete_device(&registry, space, "gw");
}

static void put_device_disabled(void)
{
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "edge", .disabled = true, .via = {"gw"}});
}

static void put_device_elsewhere(void)
{
    registry_put_device(&registry, space,
                        &(struct registry_device){.id = "edge", .via = {"rival"}});
}

static void what_was_taken_back_since_the_plan_is_refused_without_a_trace(void **state)
{
    static const struct {
        void (*change)(void);
        int status;
        const char *reason;
        bool is_there; /* the device, by the change */
    } cases[] = {
        {disable_gateway, 404, REASON_UNKNOWN_DEVICE, false},
        {take_authority, 404, REASON_UNKNOWN_DEVICE, false},
        {delete_gateway, 404, REASON_UNKNOWN_DEVICE, false},
        {disable_tenant, 404, REASON_DISABLED, false},
        {put_device_disabled, 404, REASON_DISABLED, true},
        {put_device_elsewhere, 403, REASON_GATEWAY, true},
        {delete_tenant, 404, REASON_UNKNOWN_TENANT, false},
        {renew_tenant, 404, REASON_UNKNOWN_DEVICE, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct store_device device;
        enum ks_status found;

        if (i > 0) {
            (void)tear_down(state);
            (void)set_up(state);
        }
        cases[i].change();
        provision("edge", "gw");
        assert_refusal(&registry, cases[i].status, cases[i].reason);
        assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), 1);
        registry_renew(&registry);
        found = store_device_get(registry.reader.txn, space, SPAN("edge"), &device, NULL);
        assert_int_equal(found, cases[i].is_there ? KS_OK : KS_NOT_FOUND);
    }
}

/* ---- purity ---- */

static void a_second_run_comes_to_the_same(void **state)
{
    const struct provisioning_plan plan = plan_for("edge", "red-1");
    struct provisioning_job *job = provisioning_job_new(&registry.service, &plan, JOBS_NOW_NS);
    char first[200];

    (void)state;
    jobs_adopt(job);
    assert_int_equal(jobs_run_in_vain(&registry, job, NULL), KS_OK);
    (void)snprintf(first, sizeof(first), "%.*s", SPAN_ARG(buf_span(&job->answer.body)));
    assert_int_equal(jobs_run_in_vain(&registry, job, NULL), KS_OK);
    assert_span(buf_span(&job->answer.body), first);
    assert_int_equal(registry_count_devices(&registry, space), GATEWAYS);
    assert_ok(writer_submit(registry.writer, WRITER_AMQP, &job->writer, why));
    jobs_await(&job, 1);
    assert_span(buf_span(&job->answer.body), first);
    assert_int_equal(job->answer.provisioning, ANSWER_PROVISIONED);
    provisioning_job_free(job);
}

static void a_commit_that_fails_takes_the_answer_back(void **state)
{
    const struct provisioning_plan plan = plan_for("edge", "gw");
    struct provisioning_job *job = provisioning_job_new(&registry.service, &plan, JOBS_NOW_NS);
    const struct ks_failure failure = {.reason = REASON_DISK_FULL};

    (void)state;
    jobs_adopt(job);
    assert_int_equal(jobs_run_in_vain(&registry, job, NULL), KS_OK);
    job->writer.done(&job->writer, KS_DISK_FULL, &failure);
    assert_int_equal(job->answer.status, 503);
    assert_string_equal(job->answer.reason, REASON_DISK_FULL);
    assert_int_equal(job->answer.max_age_s, ANSWER_NO_DIRECTIVE);
    assert_int_equal(job->answer.provisioning, ANSWER_NOT_PROVISIONED);
    provisioning_job_free(job);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_device_is_behind_its_gateway_and_has_no_credentials),
        TEST(the_groups_of_its_gateway_may_act_for_it),
        TEST(of_many_first_messages_one_makes_the_device_and_all_are_let_through),
        TEST(of_two_gateways_the_faster_has_the_device),
        TEST(limits_are_exact_however_many_come_at_once),
        TEST(what_was_taken_back_since_the_plan_is_refused_without_a_trace),
        TEST(a_second_run_comes_to_the_same),
        TEST(a_commit_that_fails_takes_the_answer_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
