/* Credentials look-ups under trusted CAs with id templates. */
#include "support/registry.h"

#include "base/counters.h"
#include "service/credentials_get.h"
#include "service/reasons.h"

#define NOW REGISTRY_NOW
#define DAY REGISTRY_DAY

static struct registry registry;
static uint32_t space;
static struct pki_key *ca_key;
static struct pki_key *old_key;
static struct pki_key *device_key;
static struct provisioning_plan plan;

static int set_up(void **state)
{
    (void)state;
    registry_open(&registry);
    ca_key = pki_key_new();
    old_key = pki_key_new();
    device_key = pki_key_new();
    space = registry_put_tenant(&registry, &(struct registry_tenant){.id = "T"});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pki_key_free(ca_key);
    pki_key_free(old_key);
    pki_key_free(device_key);
    registry_close(&registry);
    return 0;
}

static void trust(const char *device_id_template, const char *auth_id_template)
{
    const struct registry_ca ca = {.name = "CA",
                                   .key = ca_key,
                                   .flags = STORE_CA_AUTO_PROVISIONING,
                                   .device_id_template = device_id_template,
                                   .auth_id_template = auth_id_template};

    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T", .cas = &ca, .ca_count = 1});
}

static void register_device(const char *auth_id)
{
    static const struct registry_secret secret = {.json = "{}"};

    registry_put_credential(&registry, space,
                            &(struct registry_credential){.type = "x509-cert",
                                                          .auth_id = auth_id,
                                                          .device_id = auth_id,
                                                          .secrets = &secret,
                                                          .secret_count = 1});
}

/* With a certificate for CN=<cn>,O=Test. */
static enum ks_status get(const char *cn, const char *auth_id)
{
    struct pki_text text = pki_certificate(&(struct pki_spec){.subject = cn,
                                                              .issuer = "CA",
                                                              .key = device_key,
                                                              .signer = ca_key,
                                                              .from_ms = NOW - DAY,
                                                              .until_ms = NOW + DAY});
    const struct credentials_query query = {.tenant_id = SPAN("T"),
                                            .type = SPAN("x509-cert"),
                                            .auth_id = span_cstr(auth_id),
                                            .context = SPAN("{}"),
                                            .client_certificate = pki_span(&text),
                                            .has_client_certificate = true};

    registry_renew(&registry);
    plan = (struct provisioning_plan){.kind = NULL};
    return credentials_get(&registry.reader, &query, NOW, &registry.answer, &plan);
}

struct login {
    const char *template; /* NULL: none */
    const char *cn;
    const char *auth_id;
    int status; /* of a refusal; 0: let in */
    const char *reason;
};

static const struct login logins[] = {
    {NULL, "dev", "CN=dev,O=Test", 0, NULL},
    {NULL, "dev", "dev", 404, REASON_SUBJECT_MISMATCH},
    {"{{subject-cn}}", "dev", "dev", 0, NULL},
    {"{{subject-dn}}", "dev", "CN=dev,O=Test", 0, NULL},
    {"CN={{subject-cn}}", "dev", "CN=dev", 0, NULL},
    {"a-{{subject-cn}}-{{subject-o}}", "dev", "a-dev-Test", 0, NULL},
    {"a-{{subject-cn}}", "dev", "CN=dev,O=Test", 404, REASON_SUBJECT_MISMATCH},
    {"a-{{subject-cn}}", "dev", "a-dev2", 404, REASON_SUBJECT_MISMATCH},
    {"a-{{subject-cn}}", "dev", "a-DEV", 404, REASON_SUBJECT_MISMATCH},
    {"{{subject-ou}}", "dev", "dev", 400, REASON_TEMPLATE_UNFILLED},
    /* literal, in one pass */
    {"{{subject-cn}}", "$0\\1", "$0\\1", 0, NULL},
    {"{{subject-cn}}", "a\\b", "ab", 404, REASON_SUBJECT_MISMATCH},
    {"{{subject-cn}}", "{{subject-o}}", "{{subject-o}}", 0, NULL},
    {"{{subject-cn}}", "{{subject-o}}", "Test", 404, REASON_SUBJECT_MISMATCH},
    /* a name that would be kept in another spelling */
    {"{{subject-cn}}", "cn=x", "cn=x", 404, REASON_SUBJECT_MISMATCH},
    {"{{subject-cn}}", "CN=x", "CN=x", 0, NULL},
};
enum { LOGINS = sizeof(logins) / sizeof(logins[0]) };

static void an_unknown_device_is_provisioned_as_what_the_template_gives(void **state)
{
    uint64_t refused = 0;

    (void)state;
    for (size_t i = 0; i < LOGINS; i++) {
        const struct login *login = &logins[i];

        trust(NULL, login->template);
        if (login->status == 0) {
            assert_int_equal(get(login->cn, login->auth_id), KS_NEEDS_WRITE);
            assert_ptr_equal(plan.kind, &provisioning_by_certificate);
            assert_span(plan.certificate.auth_id, login->auth_id);
            assert_true(plan.certificate.verified);
        } else {
            assert_int_equal(get(login->cn, login->auth_id), KS_OK);
            assert_refusal(&registry, login->status, login->reason);
            assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
            refused++;
        }
        assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), refused);
    }
}

static void a_known_device_must_be_what_the_template_gives(void **state)
{
    (void)state;
    for (size_t i = 0; i < LOGINS; i++) {
        const struct login *login = &logins[i];
        bool is_new = true;

        for (size_t k = 0; k < i; k++) {
            is_new = is_new && strcmp(logins[k].auth_id, login->auth_id) != 0;
        }
        if (is_new) {
            register_device(login->auth_id);
        }
        trust(NULL, login->template);
        assert_int_equal(get(login->cn, login->auth_id), KS_OK);
        if (login->status == 0) {
            assert_int_equal(registry.answer.status, 200);
        } else {
            assert_refusal(&registry, login->status, login->reason);
            assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
        }
    }
}

static void report_counts_what_does_not_match_and_off_does_not_look(void **state)
{
    (void)state;
    register_device("known");
    for (int mode = VERIFY_REPORT; mode <= VERIFY_OFF; mode++) {
        registry.service.verify = (enum verify_mode)mode;
        trust(NULL, "a-{{subject-ou}}");
        assert_int_equal(get("dev", "known"), KS_OK);
        assert_int_equal(registry.answer.status, 200);
        assert_int_equal(get("dev", "unknown"), KS_NEEDS_WRITE);
        assert_false(plan.certificate.verified);
        trust(NULL, "a-{{subject-cn}}");
        assert_int_equal(get("dev", "unknown"), KS_NEEDS_WRITE);
        assert_false(plan.certificate.verified);
        assert_int_equal(get("dev", "cn=x"), KS_OK);
        assert_refusal(&registry, 404, REASON_SUBJECT_MISMATCH);
        assert_int_equal(counters_sum(COUNTER_PROVISIONING_REPORTED), 4);
    }
}

static void a_device_id_that_cannot_be_made_is_refused_in_every_mode(void **state)
{
    static const struct {
        const char *template;
        const char *cn;
        const char *reason;
    } cases[] = {
        {"{{subject-ou}}", "dev", REASON_TEMPLATE_UNFILLED},
        {"{{subject-cn}}", "a b", REASON_BAD_DEVICE_ID},
        {"{{subject-dn}}", "dev", REASON_BAD_DEVICE_ID},
    };
    uint64_t refused = 0;

    (void)state;
    for (int mode = VERIFY_ENFORCE; mode <= VERIFY_OFF; mode++) {
        registry.service.verify = (enum verify_mode)mode;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            trust(cases[i].template, "{{subject-o}}");
            assert_int_equal(get(cases[i].cn, "Test"), KS_OK);
            assert_refusal(&registry, 400, cases[i].reason);
            assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), ++refused);
        }
        trust("{{subject-cn}}", "{{subject-o}}");
        assert_int_equal(get("dev", "Test"), KS_NEEDS_WRITE);
    }
}

/* A device id that cannot be made concerns devices to come only. */
static void a_known_device_needs_no_device_id_of_the_template(void **state)
{
    (void)state;
    register_device("CN=dev,O=Test");
    trust("{{subject-ou}}", NULL);
    assert_int_equal(get("dev", "CN=dev,O=Test"), KS_OK);
    assert_int_equal(registry.answer.status, 200);
}

static void the_template_of_the_ca_whose_key_signed_counts(void **state)
{
    const struct registry_ca cas[] = {
        {.name = "CA",
         .key = old_key,
         .flags = STORE_CA_AUTO_PROVISIONING,
         .auth_id_template = "old-{{subject-cn}}"},
        {.name = "CA",
         .key = ca_key,
         .flags = STORE_CA_AUTO_PROVISIONING,
         .auth_id_template = "new-{{subject-cn}}"},
    };

    (void)state;
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T", .cas = cas, .ca_count = 2});
    assert_int_equal(get("dev", "new-dev"), KS_NEEDS_WRITE);
    assert_int_equal(get("dev", "old-dev"), KS_OK);
    assert_refusal(&registry, 404, REASON_SUBJECT_MISMATCH);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_unknown_device_is_provisioned_as_what_the_template_gives),
        TEST(a_known_device_must_be_what_the_template_gives),
        TEST(report_counts_what_does_not_match_and_off_does_not_look),
        TEST(a_device_id_that_cannot_be_made_is_refused_in_every_mode),
        TEST(a_known_device_needs_no_device_id_of_the_template),
        TEST(the_template_of_the_ca_whose_key_signed_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
