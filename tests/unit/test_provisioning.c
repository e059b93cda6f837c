#include "support/registry.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/uuid.h"
#include "service/credentials_get.h"
#include "service/provisioning.h"
#include "service/reasons.h"
#include "support/jobs.h"

#define NOW REGISTRY_NOW
#define DAY REGISTRY_DAY

static const char dev_dn[] = "CN=dev,O=Test";

static struct registry registry;
static uint32_t space;
static struct pki_key *ca_key;
static struct pki_key *device_key;

/* ---- the tenant, the plan ---- */

static void trust(uint32_t flags)
{
    const struct registry_ca ca = {.name = "CA", .key = ca_key, .flags = flags};

    space = registry_put_tenant(&registry,
                                &(struct registry_tenant){.id = "T", .cas = &ca, .ca_count = 1});
}

static int set_up(void **state)
{
    (void)state;
    registry_open(&registry);
    ca_key = pki_key_new();
    device_key = pki_key_new();
    trust(STORE_CA_AUTO_PROVISIONING);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_key_free(ca_key);
    pki_key_free(device_key);
    registry_close(&registry);
    return 0;
}

static struct provisioning_plan plan_for(const char *auth_id)
{
    struct pki_public key = pki_public_of(ca_key);

    return (struct provisioning_plan){
        .kind = &provisioning_by_certificate,
        .tenant_id = SPAN("T"),
        .certificate = {.auth_id = span_cstr(auth_id),
                        .context = SPAN("{}"),
                        .subject = {.dn = span_cstr(auth_id)},
                        .ca_key_hash =
                            sha256_of_pair(SPAN("CN=CA,O=Test"), span_of(key.bytes, key.len)),
                        .not_before_ms = NOW - DAY,
                        .not_after_ms = NOW + DAY,
                        .verified = true}};
}

/* Of an answer that begins {"device-id":"…". */
static struct span device_id_of(const struct answer *answer)
{
    struct span body = buf_span(&answer->body);
    size_t prefix = sizeof("{\"device-id\":\"") - 1;

    assert_true(body.len > prefix + UUID_TEXT_LEN);
    return span_of(body.ptr + prefix, UUID_TEXT_LEN);
}

static enum ks_status look_up(const char *auth_id)
{
    struct provisioning_plan plan;
    const struct credentials_query query = {.tenant_id = SPAN("T"),
                                            .type = SPAN("x509-cert"),
                                            .auth_id = span_cstr(auth_id),
                                            .context = SPAN("{}")};

    registry_renew(&registry);
    return credentials_get(&registry.reader, &query, NOW, &registry.answer, &plan);
}

/* ---- what is written ---- */

static void the_first_connect_is_answered_201_in_few_words(void **state)
{
    struct provisioning_plan plan = plan_for(dev_dn);
    char json[200];
    char id[UUID_TEXT_LEN + 1];
    struct uuid uuid;

    (void)state;
    jobs_provision(&registry, &plan);
    (void)snprintf(id, sizeof(id), "%.*s", SPAN_ARG(device_id_of(&registry.answer)));
    assert_true(uuid_parse(span_cstr(id), &uuid));
    (void)snprintf(json, sizeof(json),
                   "{\"device-id\":\"%s\",\"type\":\"x509-cert\",\"auth-id\":\"%s\","
                   "\"enabled\":true,\"secrets\":[{}]}",
                   id, dev_dn);
    assert_answer(&registry, 201, json);
    assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
    assert_null(registry.answer.reason);
    assert_int_equal(registry_count_devices(&registry, space), 1);
    assert_int_equal(look_up(dev_dn), KS_OK);
    assert_int_equal(registry.answer.status, 200);
    assert_int_equal(registry.answer.max_age_s, 180);
    assert_span(device_id_of(&registry.answer), id);
    jobs_provision(&registry, &plan);
    assert_int_equal(registry.answer.status, 200);
    assert_span(device_id_of(&registry.answer), id);
    assert_int_equal(registry_count_devices(&registry, space), 1);
}

static bool holds(struct span text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

#define COMMENT "\"comment\":\"Auto-provisioned at 2026-11-24T10:00:00.123456789Z\""

static void the_records_say_how_they_came_to_be(void **state)
{
    struct provisioning_plan plan = plan_for(dev_dn);
    struct store_device device;
    struct store_credential credential;
    struct store_credential_ref ref;
    size_t offset = 0;

    (void)state;
    jobs_provision(&registry, &plan);
    assert_int_equal(registry.answer.status, 201);
    registry_renew(&registry);
    assert_ok(
        store_device_get(registry.reader.txn, space, device_id_of(&registry.answer), &device, why));
    assert_int_equal(device.flags, STORE_DEVICE_ENABLED | STORE_DEVICE_AUTO_PROVISIONED);
    assert_int_equal(device.created_ms, NOW + 123);
    assert_int_equal(device.updated_ms, 0);
    assert_int_equal(device.event_seq, 0);
    assert_true(holds(device.document, "\"ext\":{" COMMENT "}"));
    assert_true(holds(device.document, "\"enabled\":true"));
    assert_false(holds(device.document, "authorities"));
    assert_true(store_credential_refs_next(device.credentials, &offset, &ref));
    assert_span(ref.type, "x509-cert");
    assert_span(ref.auth_id, dev_dn);
    assert_false(store_credential_refs_next(device.credentials, &offset, &ref));
    assert_ok(store_credential_get(registry.reader.txn, space, SPAN("x509-cert"),
                                   SPAN("CN=dev,O=Test"), &credential, why));
    assert_true(span_eq(credential.device_id, device.id));
    assert_int_equal(credential.flags, STORE_CREDENTIAL_ENABLED);
    assert_true(holds(credential.document, COMMENT));
    assert_true(holds(credential.document, "\"secrets\":[{\"id\":\""));
}

static void a_gateways_ca_makes_gateways(void **state)
{
    struct provisioning_plan plan = plan_for(dev_dn);
    struct store_device device;

    (void)state;
    trust(STORE_CA_AUTO_PROVISIONING | STORE_CA_AS_GATEWAY);
    jobs_provision(&registry, &plan);
    assert_int_equal(registry.answer.status, 201);
    registry_renew(&registry);
    assert_ok(
        store_device_get(registry.reader.txn, space, device_id_of(&registry.answer), &device, why));
    assert_true(holds(device.document, "\"authorities\":[\"auto-provisioning-enabled\"]"));
}

static void a_certificate_leads_all_the_way(void **state)
{
    const struct pki_spec spec = {.subject = "dev",
                                  .issuer = "CA",
                                  .key = device_key,
                                  .signer = ca_key,
                                  .from_ms = NOW - DAY,
                                  .until_ms = NOW + DAY};
    struct pki_text text = pki_certificate(&spec);
    const struct credentials_query query = {.tenant_id = SPAN("T"),
                                            .type = SPAN("x509-cert"),
                                            .auth_id = SPAN("CN=dev,O=Test"),
                                            .context = SPAN("{}"),
                                            .client_certificate = pki_span(&text),
                                            .has_client_certificate = true};
    struct provisioning_plan plan;

    (void)state;
    registry_renew(&registry);
    assert_int_equal(credentials_get(&registry.reader, &query, NOW, &registry.answer, &plan),
                     KS_NEEDS_WRITE);
    jobs_provision(&registry, &plan);
    assert_int_equal(registry.answer.status, 201);
    registry_renew(&registry);
    assert_int_equal(credentials_get(&registry.reader, &query, NOW, &registry.answer, &plan),
                     KS_OK);
    assert_int_equal(registry.answer.status, 200);
}

/* ---- templates ---- */

static void trust_with_templates(const char *device_id, const char *auth_id)
{
    const struct registry_ca ca = {.name = "CA",
                                   .key = ca_key,
                                   .flags = STORE_CA_AUTO_PROVISIONING,
                                   .device_id_template = device_id,
                                   .auth_id_template = auth_id};

    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T", .cas = &ca, .ca_count = 1});
}

/* For a device with the subject CN=<cn>,O=Test; the last one's spans die with the next call. */
static struct provisioning_plan plan_of(const char *cn, const char *auth_id)
{
    static struct pki_text name;
    static char dn[100];
    struct provisioning_plan plan = plan_for(auth_id);

    name = pki_name(cn);
    (void)snprintf(dn, sizeof(dn), "CN=%s,O=Test", cn);
    plan.certificate.subject.dn = span_cstr(dn);
    plan.certificate.subject.der = pki_span(&name);
    return plan;
}

static void a_template_makes_the_device_id(void **state)
{
    struct provisioning_plan plan = plan_of("dev-1", "CN=dev-1,O=Test");
    struct store_device device;

    (void)state;
    trust_with_templates("{{subject-o}}:{{subject-cn}}", NULL);
    jobs_provision(&registry, &plan);
    assert_answer(&registry, 201,
                  "{\"device-id\":\"Test:dev-1\",\"type\":\"x509-cert\","
                  "\"auth-id\":\"CN=dev-1,O=Test\",\"enabled\":true,\"secrets\":[{}]}");
    registry_renew(&registry);
    assert_ok(store_device_get(registry.reader.txn, space, SPAN("Test:dev-1"), &device, why));
    assert_int_equal(device.flags, STORE_DEVICE_ENABLED | STORE_DEVICE_AUTO_PROVISIONED);
    jobs_provision(&registry, &plan);
    assert_int_equal(registry.answer.status, 200);
    assert_int_equal(registry_count_devices(&registry, space), 1);
}

static void a_templated_id_that_is_anothers_is_refused(void **state)
{
    struct provisioning_plan plan = plan_of("dev-1", "CN=dev-1,O=Test");

    (void)state;
    trust_with_templates("d-{{subject-cn}}", NULL);
    registry_put_device(&registry, space, &(struct registry_device){.id = "d-dev-1"});
    jobs_provision(&registry, &plan);
    assert_refusal(&registry, 409, REASON_ID_TAKEN);
    assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
    assert_int_equal(registry_count_devices(&registry, space), 1);
    assert_int_equal(look_up("CN=dev-1,O=Test"), KS_OK);
    assert_refusal(&registry, 404, REASON_UNKNOWN_CREDENTIAL);
    trust_with_templates("other-{{subject-cn}}", NULL); /* the template that is there now counts */
    jobs_provision(&registry, &plan);
    assert_int_equal(registry.answer.status, 201);
    assert_int_equal(registry_count_devices(&registry, space), 2);
}

static void a_subject_that_gives_no_id_is_400_and_leaves_no_trace(void **state)
{
    static const struct {
        const char *template;
        const char *cn;
        const char *reason;
    } cases[] = {
        {"{{subject-ou}}", "dev", REASON_TEMPLATE_UNFILLED},
        {"{{subject-cn}}", "a b", REASON_BAD_DEVICE_ID},
        {"{{subject-cn}}", "$1", REASON_BAD_DEVICE_ID},
        {"{{subject-cn}}", "a\\b", REASON_BAD_DEVICE_ID},
        {"{{subject-cn}}", "{{subject-o}}", REASON_BAD_DEVICE_ID},
        {"{{subject-dn}}", "dev", REASON_BAD_DEVICE_ID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct provisioning_plan plan = plan_of(cases[i].cn, "dev");

        plan.certificate.auth_id = plan.certificate.subject.dn;
        trust_with_templates(cases[i].template, NULL);
        jobs_provision(&registry, &plan);
        assert_refusal(&registry, 400, cases[i].reason);
        assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
        assert_int_equal(registry_count_devices(&registry, space), 0);
    }
}

static void the_writer_confirms_the_auth_id_of_a_verified_certificate(void **state)
{
    static const struct {
        const char *template;
        const char *auth_id;
        bool verified;
        int status;
    } cases[] = {
        {NULL, "CN=dev,O=Test", true, 201},
        {NULL, "a-dev", true, 404},                       /* of a template that has gone since */
        {"b-{{subject-cn}}", "CN=dev,O=Test", true, 404}, /* though it is there */
        {"b-{{subject-cn}}", "a-dev", true, 404},
        {"b-{{subject-cn}}", "b-dev", true, 201},
        {"b-{{subject-cn}}", "a-dev", false, 201}, /* modes report and off */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct provisioning_plan plan = plan_of("dev", cases[i].auth_id);

        trust_with_templates(NULL, cases[i].template);
        plan.certificate.verified = cases[i].verified;
        jobs_provision(&registry, &plan);
        if (cases[i].status == 404) {
            assert_refusal(&registry, 404, REASON_SUBJECT_MISMATCH);
        } else {
            assert_int_equal(registry.answer.status, cases[i].status);
        }
    }
    assert_int_equal(registry_count_devices(&registry, space), 3);
}

/* ---- races ---- */

enum { CROWD = 100 };

static void of_many_first_connects_one_makes_the_device_and_all_get_it(void **state)
{
    struct provisioning_plan plan = plan_for(dev_dn);
    struct provisioning_job *jobs[CROWD];
    struct jobs_holder holder;
    unsigned created = 0;
    unsigned found = 0;

    (void)state;
    jobs_hold(&registry, &holder);
    for (int i = 0; i < CROWD; i++) {
        jobs[i] = jobs_submit(&registry, &plan);
    }
    jobs_let_go(&holder);
    jobs_await(jobs, CROWD);
    for (int i = 0; i < CROWD; i++) {
        created += jobs[i]->answer.status == 201 ? 1 : 0;
        found += jobs[i]->answer.status == 200 ? 1 : 0;
        assert_true(span_eq(device_id_of(&jobs[i]->answer), device_id_of(&jobs[0]->answer)));
    }
    assert_int_equal(created, 1);
    assert_int_equal(found, CROWD - 1);
    assert_int_equal(registry_count_devices(&registry, space), 1);
    for (int i = 0; i < CROWD; i++) {
        provisioning_job_free(jobs[i]);
    }
}

static void with_a_template_too_but_for_who_is_another(void **state)
{
    struct provisioning_job *jobs[CROWD];
    struct provisioning_job *other;
    struct provisioning_plan plan;
    struct jobs_holder holder;
    unsigned created = 0;

    (void)state;
    trust_with_templates("d-{{subject-o}}", NULL);
    jobs_hold(&registry, &holder);
    plan = plan_of("dev", dev_dn);
    for (int i = 0; i < CROWD; i++) {
        jobs[i] = jobs_submit(&registry, &plan);
    }
    plan = plan_of("other", "CN=other,O=Test"); /* whose id would be the same */
    other = jobs_submit(&registry, &plan);
    jobs_let_go(&holder);
    jobs_await(jobs, CROWD);
    jobs_await(&other, 1);
    for (int i = 0; i < CROWD; i++) {
        created += jobs[i]->answer.status == 201 ? 1 : 0;
        assert_true(jobs[i]->answer.status == 201 || jobs[i]->answer.status == 200);
        assert_true(holds(buf_span(&jobs[i]->answer.body), "\"device-id\":\"d-Test\""));
        provisioning_job_free(jobs[i]);
    }
    assert_int_equal(created, 1);
    assert_int_equal(other->answer.status, 409);
    assert_string_equal(other->answer.reason, REASON_ID_TAKEN);
    provisioning_job_free(other);
    assert_int_equal(registry_count_devices(&registry, space), 1);
}

static void limits_are_exact_however_many_come_at_once(void **state)
{
    const struct registry_ca ca = {
        .name = "CA", .key = ca_key, .flags = STORE_CA_AUTO_PROVISIONING};
    struct provisioning_job *jobs[CROWD];
    struct jobs_holder holder;
    unsigned created = 0;

    (void)state;
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T",
                                                             .limited = true,
                                                             .max_devices = 7,
                                                             .max_credentials = -1,
                                                             .cas = &ca,
                                                             .ca_count = 1});
    jobs_hold(&registry, &holder);
    for (int i = 0; i < CROWD; i++) {
        char dn[64];
        struct provisioning_plan plan;

        (void)snprintf(dn, sizeof(dn), "CN=dev-%d,O=Test", i);
        plan = plan_for(dn);
        jobs[i] = jobs_submit(&registry, &plan);
    }
    jobs_let_go(&holder);
    jobs_await(jobs, CROWD);
    for (int i = 0; i < CROWD; i++) {
        if (jobs[i]->answer.status == 201) {
            created++;
        } else {
            assert_int_equal(jobs[i]->answer.status, 403);
            assert_string_equal(jobs[i]->answer.reason, REASON_DEVICE_LIMIT);
            assert_int_equal(jobs[i]->answer.max_age_s, ANSWER_NO_CACHE);
        }
        provisioning_job_free(jobs[i]);
    }
    assert_int_equal(created, 7);
    assert_int_equal(registry_count_devices(&registry, space), 7);
}

static void the_tenants_limit_wins_over_the_services(void **state)
{
    static const struct {
        int32_t of_tenant;
        int64_t of_service;
        int status;
    } cases[] = {
        {-1, 0, 201}, {-1, 1, 201}, {0, 0, 403}, {0, 5, 403}, {1, 0, 201}, {5, 1, 201}, {1, 5, 201},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char tenant[16];
        struct provisioning_plan plan = plan_for(dev_dn);
        const struct registry_ca ca = {
            .name = "CA", .key = ca_key, .flags = STORE_CA_AUTO_PROVISIONING};

        (void)snprintf(tenant, sizeof(tenant), "limited-%zu", i);
        registry.service.max_devices_per_tenant = cases[i].of_service;
        registry_put_tenant(&registry, &(struct registry_tenant){.id = tenant,
                                                                 .limited = true,
                                                                 .max_devices = cases[i].of_tenant,
                                                                 .max_credentials = -1,
                                                                 .cas = &ca,
                                                                 .ca_count = 1});
        plan.tenant_id = span_cstr(tenant);
        jobs_provision(&registry, &plan);
        assert_int_equal(registry.answer.status, cases[i].status);
    }
}

static void a_device_that_may_have_no_credentials_is_not_made(void **state)
{
    const struct registry_ca ca = {
        .name = "CA", .key = ca_key, .flags = STORE_CA_AUTO_PROVISIONING};
    struct provisioning_plan plan = plan_for(dev_dn);

    (void)state;
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T",
                                                             .limited = true,
                                                             .max_devices = -1,
                                                             .max_credentials = 0,
                                                             .cas = &ca,
                                                             .ca_count = 1});
    jobs_provision(&registry, &plan);
    assert_refusal(&registry, 403, REASON_CREDENTIALS_LIMIT);
    assert_int_equal(registry_count_devices(&registry, space), 0);
}

/* ---- what changed since the plan ---- */

static void delete_tenant(void)
{
    registry_delete_tenant(&registry, "T");
}

static void renew_tenant(void)
{
    registry_delete_tenant(&registry, "T");
    space = registry_put_tenant(&registry, &(struct registry_tenant){.id = "T"});
}

static void disable_tenant(void)
{
    const struct registry_ca ca = {
        .name = "CA", .key = ca_key, .flags = STORE_CA_AUTO_PROVISIONING};

    registry_put_tenant(&registry, &(struct registry_tenant){
                                       .id = "T", .disabled = true, .cas = &ca, .ca_count = 1});
}

static void remove_ca(void)
{
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T"});
}

static void exchange_ca(void)
{
    const struct registry_ca ca = {
        .name = "CA", .key = device_key, .flags = STORE_CA_AUTO_PROVISIONING};

    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T", .cas = &ca, .ca_count = 1});
}

static void expire_ca(void)
{
    const struct registry_ca ca = {
        .name = "CA", .key = ca_key, .until_ms = NOW, .flags = STORE_CA_AUTO_PROVISIONING};

    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T", .cas = &ca, .ca_count = 1});
}

static void switch_ca_off(void)
{
    trust(0);
}

static void what_was_taken_back_since_the_plan_is_refused_without_a_trace(void **state)
{
    static const struct {
        void (*change)(void);
        const char *reason;
    } cases[] = {
        {delete_tenant, REASON_UNKNOWN_TENANT}, {disable_tenant, REASON_DISABLED},
        {remove_ca, REASON_NO_TRUSTED_CA},      {exchange_ca, REASON_NO_TRUSTED_CA},
        {expire_ca, REASON_NO_TRUSTED_CA},      {switch_ca_off, REASON_PROVISIONING_OFF},
        {renew_tenant, REASON_NO_TRUSTED_CA},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct provisioning_plan plan = plan_for(dev_dn);

        trust(STORE_CA_AUTO_PROVISIONING);
        cases[i].change();
        jobs_provision(&registry, &plan);
        assert_refusal(&registry, 404, cases[i].reason);
        assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
        registry_verify(&registry);
        trust(STORE_CA_AUTO_PROVISIONING);
        assert_int_equal(registry_count_devices(&registry, space), 0);
        assert_int_equal(look_up(dev_dn), KS_OK);
        assert_refusal(&registry, 404, REASON_UNKNOWN_CREDENTIAL);
    }
}

static void a_verified_certificate_must_still_be_valid(void **state)
{
    struct provisioning_plan plan = plan_for(dev_dn);

    (void)state;
    plan.certificate.not_after_ms = NOW - 1;
    jobs_provision(&registry, &plan);
    assert_refusal(&registry, 404, REASON_EXPIRED);
    plan.certificate.not_after_ms = NOW + DAY;
    plan.certificate.not_before_ms = NOW + DAY;
    jobs_provision(&registry, &plan);
    assert_refusal(&registry, 404, REASON_NOT_YET_VALID);
    plan.certificate.verified = false; /* modes report and off */
    jobs_provision(&registry, &plan);
    assert_int_equal(registry.answer.status, 201);
}

static void who_was_faster_is_answered_as_a_look_up_would(void **state)
{
    static const struct registry_secret secret = {.json = "{\"n\":1}"};
    static const struct {
        const char *dn;
        const char *ext;
        bool disabled;
        int status;
    } cases[] = {
        {"CN=a,O=Test", NULL, false, 200},
        {"CN=b,O=Test", NULL, true, 404},
        {"CN=c,O=Test", "{\"client-id\":\"other\"}", false, 404},
        {"CN=d,O=Test", "{\"client-id\":\"mine\"}", false, 200},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct provisioning_plan plan = plan_for(cases[i].dn);

        registry_put_credential(&registry, space,
                                &(struct registry_credential){.type = "x509-cert",
                                                              .auth_id = cases[i].dn,
                                                              .device_id = cases[i].dn,
                                                              .ext = cases[i].ext,
                                                              .disabled = cases[i].disabled,
                                                              .secrets = &secret,
                                                              .secret_count = 1});
        plan.certificate.context = SPAN("{\"client-id\":\"mine\"}");
        jobs_provision(&registry, &plan);
        assert_int_equal(registry.answer.status, cases[i].status);
        assert_int_equal(registry.answer.max_age_s, cases[i].status == 200 ? 180 : 0);
        assert_int_equal(registry_count_devices(&registry, space), i + 1);
    }
}

/* ---- purity ---- */

static void a_second_run_comes_to_the_same(void **state)
{
    struct provisioning_plan plan = plan_for(dev_dn);
    struct provisioning_job *job = provisioning_job_new(&registry.service, &plan, JOBS_NOW_NS);
    char first[400];

    (void)state;
    jobs_adopt(job);
    assert_int_equal(jobs_run_in_vain(&registry, job, NULL), KS_OK);
    (void)snprintf(first, sizeof(first), "%.*s", SPAN_ARG(buf_span(&job->answer.body)));
    assert_int_equal(jobs_run_in_vain(&registry, job, NULL), KS_OK);
    assert_span(buf_span(&job->answer.body), first);
    assert_int_equal(registry_count_devices(&registry, space), 0);
    assert_ok(writer_submit(registry.writer, WRITER_AMQP, &job->writer, why));
    jobs_await(&job, 1);
    assert_int_equal(job->answer.status, 201);
    assert_span(buf_span(&job->answer.body), first);
    provisioning_job_free(job);
}

static void an_id_that_is_taken_is_passed_over(void **state)
{
    struct provisioning_plan plan = plan_for(dev_dn);
    struct provisioning_job *job = provisioning_job_new(&registry.service, &plan, JOBS_NOW_NS);
    struct ks_failure why_not = {0};
    unsigned taken = 0;
    enum ks_status st;

    (void)state;
    for (;;) {
        char id[UUID_TEXT_LEN + 1];

        st = jobs_run_in_vain(&registry, job, &why_not);
        if (st != KS_OK) {
            break;
        }
        (void)snprintf(id, sizeof(id), "%.*s", SPAN_ARG(device_id_of(&job->answer)));
        registry_put_device(&registry, space, &(struct registry_device){.id = id});
        taken++;
        assert_true(taken < 10);
    }
    assert_int_equal(taken, 4);
    assert_int_equal(st, KS_EXISTS);
    assert_string_equal(why_not.reason, REASON_ID_TAKEN);
    provisioning_job_free(job);
}

static void a_commit_that_fails_takes_the_answer_back(void **state)
{
    static const struct {
        enum ks_status status;
        const char *given;
        int code;
        const char *reason;
    } cases[] = {
        {KS_DISK_FULL, REASON_DISK_FULL, 503, REASON_DISK_FULL},
        {KS_FULL, NULL, 503, REASON_STORE_FULL},
        {KS_BUSY, REASON_BUSY, 503, REASON_BUSY},
        {KS_UNAVAILABLE, REASON_READ_ONLY, 503, REASON_READ_ONLY},
        {KS_IO, NULL, 503, REASON_INTERNAL},
        {KS_CORRUPT, NULL, 500, REASON_INTERNAL},
    };
    struct provisioning_plan plan = plan_for(dev_dn);
    struct provisioning_job *job = provisioning_job_new(&registry.service, &plan, JOBS_NOW_NS);

    (void)state;
    jobs_adopt(job);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ks_failure why_not = {.reason = cases[i].given};

        assert_int_equal(jobs_run_in_vain(&registry, job, NULL), KS_OK);
        job->writer.done(&job->writer, cases[i].status, &why_not);
        assert_int_equal(job->answer.status, cases[i].code);
        assert_string_equal(job->answer.reason, cases[i].reason);
        assert_int_equal(job->answer.max_age_s, ANSWER_NO_CACHE);
    }
    provisioning_job_free(job);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_connect_is_answered_201_in_few_words),
        TEST(the_records_say_how_they_came_to_be),
        TEST(a_gateways_ca_makes_gateways),
        TEST(a_certificate_leads_all_the_way),
        TEST(a_template_makes_the_device_id),
        TEST(a_templated_id_that_is_anothers_is_refused),
        TEST(a_subject_that_gives_no_id_is_400_and_leaves_no_trace),
        TEST(the_writer_confirms_the_auth_id_of_a_verified_certificate),
        TEST(of_many_first_connects_one_makes_the_device_and_all_get_it),
        TEST(with_a_template_too_but_for_who_is_another),
        TEST(limits_are_exact_however_many_come_at_once),
        TEST(the_tenants_limit_wins_over_the_services),
        TEST(a_device_that_may_have_no_credentials_is_not_made),
        TEST(what_was_taken_back_since_the_plan_is_refused_without_a_trace),
        TEST(a_verified_certificate_must_still_be_valid),
        TEST(who_was_faster_is_answered_as_a_look_up_would),
        TEST(a_second_run_comes_to_the_same),
        TEST(an_id_that_is_taken_is_passed_over),
        TEST(a_commit_that_fails_takes_the_answer_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
