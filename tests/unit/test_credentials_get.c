#include "support/registry.h"

#include <stdio.h>

#include "base/counters.h"
#include "base/digest.h"
#include "service/credentials_get.h"
#include "service/reasons.h"

#define DAY REGISTRY_DAY
#define NOW REGISTRY_NOW

static struct registry registry;
static uint32_t space;
static struct pki_key *ca_key;
static struct pki_key *old_key; /* of a CA with the same DN */
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

/* ---- asking ---- */

static enum ks_status ask(const struct credentials_query *query)
{
    registry_renew(&registry);
    plan = (struct provisioning_plan){.kind = NULL};
    return credentials_get(&registry.reader, query, NOW, &registry.answer, &plan);
}

static void get(const char *tenant, const char *type, const char *auth_id)
{
    const struct credentials_query query = {.tenant_id = span_cstr(tenant),
                                            .type = span_cstr(type),
                                            .auth_id = span_cstr(auth_id),
                                            .context = SPAN("{}")};

    assert_int_equal(ask(&query), KS_OK);
}

static enum ks_status get_with_certificate(const char *tenant, const char *type,
                                           const char *auth_id, struct span certificate)
{
    const struct credentials_query query = {.tenant_id = span_cstr(tenant),
                                            .type = span_cstr(type),
                                            .auth_id = span_cstr(auth_id),
                                            .context = SPAN("{}"),
                                            .client_certificate = certificate,
                                            .has_client_certificate = true};

    return ask(&query);
}

static const struct registry_secret plain_secret = {.json = "{}"};

static void put(const char *type, const char *auth_id, bool disabled, const char *ext)
{
    char device[100];

    (void)snprintf(device, sizeof(device), "dev-%s-%s", type, auth_id);
    registry_put_credential(&registry, space,
                            &(struct registry_credential){.type = type,
                                                          .auth_id = auth_id,
                                                          .device_id = device,
                                                          .ext = ext,
                                                          .disabled = disabled,
                                                          .secrets = &plain_secret,
                                                          .secret_count = 1});
}

/* ---- without certificates ---- */

static void credentials_are_found_by_exactly_type_and_auth_id(void **state)
{
    static const struct {
        const char *tenant;
        const char *type;
        const char *auth_id;
        const char *reason; /* NULL: found */
    } cases[] = {
        {"T", "psk", "a", NULL},
        {"T", "psk", "A", REASON_UNKNOWN_CREDENTIAL},
        {"T", "psk", "ab", REASON_UNKNOWN_CREDENTIAL},
        {"T", "PSK", "a", REASON_UNKNOWN_CREDENTIAL},
        {"T", "rpk", "a", REASON_UNKNOWN_CREDENTIAL},
        {"T", "", "a", REASON_UNKNOWN_CREDENTIAL},
        {"T", "psk", "", REASON_UNKNOWN_CREDENTIAL},
        {"U", "psk", "a", REASON_UNKNOWN_TENANT},
        {"t", "psk", "a", REASON_UNKNOWN_TENANT},
        {"", "psk", "a", REASON_UNKNOWN_TENANT},
    };
    char name[3000];

    (void)state;
    put("psk", "a", false, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        get(cases[i].tenant, cases[i].type, cases[i].auth_id);
        assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
        if (cases[i].reason != NULL) {
            assert_refusal(&registry, 404, cases[i].reason);
        } else {
            assert_answer(&registry, 200, "{\"device-id\":\"dev-psk-a\",\"secrets\":[{}]}");
        }
    }
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    get("T", name, "a");
    assert_refusal(&registry, 404, REASON_UNKNOWN_CREDENTIAL);
    get("T", "psk", name);
    assert_refusal(&registry, 404, REASON_UNKNOWN_CREDENTIAL);
}

static void a_disabled_tenant_does_not_hide_credentials(void **state)
{
    (void)state;
    put("psk", "a", false, NULL);
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T", .disabled = true});
    get("T", "psk", "a");
    assert_int_equal(registry.answer.status, 200);
}

static void only_two_types_may_be_cached(void **state)
{
    static const struct {
        const char *type;
        int max_age_s;
    } cases[] = {{"hashed-password", 180}, {"x509-cert", 180}, {"psk", 0}, {"rpk", 0}, {"own", 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        put(cases[i].type, "a", false, NULL);
        get("T", cases[i].type, "a");
        assert_int_equal(registry.answer.status, 200);
        assert_int_equal(registry.answer.max_age_s, cases[i].max_age_s);
    }
    registry.service.credentials_max_age_s = 0;
    get("T", "x509-cert", "a");
    assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
}

static void secrets_show_while_they_count_and_bound_the_age(void **state)
{
    static const struct registry_secret secrets[] = {
        {.json = "{\"n\":0}", .disabled = true},
        {.json = "{\"n\":1}", .until_ms = NOW - 1},
        {.json = "{\"n\":2}", .until_ms = NOW + 20000},
        {.json = "{\"n\":3}", .from_ms = NOW + 10000},
        {.json = "{\"n\":4}"},
    };

    (void)state;
    registry_put_credential(&registry, space,
                            &(struct registry_credential){.type = "hashed-password",
                                                          .auth_id = "a",
                                                          .device_id = "d",
                                                          .secrets = secrets,
                                                          .secret_count = 5});
    get("T", "hashed-password", "a");
    assert_answer(&registry, 200, "{\"device-id\":\"d\",\"secrets\":[{\"n\":2},{\"n\":4}]}");
    assert_int_equal(registry.answer.max_age_s, 9);
}

static void a_credential_without_a_secret_that_counts_is_404(void **state)
{
    static const struct {
        struct registry_secret secret;
        const char *reason;
    } cases[] = {
        {{.json = "{}", .disabled = true}, REASON_DISABLED},
        {{.json = "{}", .until_ms = NOW - 1}, REASON_EXPIRED},
        {{.json = "{}", .from_ms = NOW + 1}, REASON_NOT_YET_VALID},
        {{.json = "{}", .until_ms = NOW - 1, .disabled = true}, REASON_DISABLED},
    };
    char name[16];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(name, sizeof(name), "a%zu", i);
        registry_put_credential(&registry, space,
                                &(struct registry_credential){.type = "hashed-password",
                                                              .auth_id = name,
                                                              .device_id = name,
                                                              .secrets = &cases[i].secret,
                                                              .secret_count = 1});
        get("T", "hashed-password", name);
        assert_refusal(&registry, 404, cases[i].reason);
        assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
    }
}

static void a_disabled_credential_is_404(void **state)
{
    (void)state;
    put("hashed-password", "a", true, NULL);
    get("T", "hashed-password", "a");
    assert_refusal(&registry, 404, REASON_DISABLED);
    assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
}

static void the_client_context_must_not_contradict_ext(void **state)
{
    static const struct {
        const char *ext;
        const char *context;
        bool matches;
    } cases[] = {
        {"{\"client-id\":\"x\"}", "{}", true},
        {"{\"client-id\":\"x\"}", "{\"client-id\":\"x\"}", true},
        {"{\"client-id\":\"x\"}", "{\"client-id\":\"y\"}", false},
        {"{\"client-id\":\"x\"}", "{\"client-id\":null}", true},
        {"{\"client-id\":null}", "{\"client-id\":\"y\"}", true},
        {"{\"client-id\":\"x\"}", "{\"other\":\"y\"}", true},
        {"{\"n\":1}", "{\"n\":1}", true},
        {"{\"n\":1}", "{\"n\":\"1\"}", false},
        {"{\"n\":1}", "{\"n\":1.0}", false},
        {"{\"n\":100.0}", "{\"n\":1e2}", true},
        {"{\"o\":{\"a\":1,\"b\":[true,null]}}", "{\"o\":{\"b\":[true,null],\"a\":1}}", true},
        {"{\"o\":{\"a\":1,\"b\":[true,null]}}", "{\"o\":{\"b\":[null,true],\"a\":1}}", false},
        {"{\"o\":{\"a\":1}}", "{\"o\":{\"a\":1,\"b\":2}}", false},
        {"{\"a\":\"\\u00e4\"}", "{\"a\":\"\xC3\xA4\"}", true},
        /* not of the context */
        {"{\"type\":\"x\",\"auth-id\":\"x\",\"device-id\":\"x\"}",
         "{\"type\":\"psk\",\"auth-id\":\"a\"}", true},
        {"{\"client-certificate\":\"x\"}", "{\"client-certificate\":\"y\"}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[16];
        struct credentials_query query = {.tenant_id = SPAN("T"), .type = SPAN("psk")};

        (void)snprintf(name, sizeof(name), "a%zu", i);
        put("psk", name, false, cases[i].ext);
        query.auth_id = span_cstr(name);
        query.context = span_cstr(cases[i].context);
        assert_int_equal(ask(&query), KS_OK);
        if (registry.answer.status != (cases[i].matches ? 200 : 404)) {
            fail_msg("%s on %s: %d", cases[i].context, cases[i].ext, registry.answer.status);
        }
    }
}

static void a_context_beyond_64_bits_is_malformed(void **state)
{
    const struct credentials_query query = {.tenant_id = SPAN("T"),
                                            .type = SPAN("psk"),
                                            .auth_id = SPAN("a"),
                                            .context = SPAN("{\"n\":99999999999999999999}")};

    (void)state;
    put("psk", "a", false, "{\"n\":1}");
    assert_int_equal(ask(&query), KS_OK);
    assert_refusal(&registry, 400, REASON_BAD_JSON);
}

/* ---- certificates ---- */

#define FLAG STORE_CA_AUTO_PROVISIONING

static void trust(const struct registry_ca *cas, size_t count)
{
    registry_put_tenant(&registry,
                        &(struct registry_tenant){.id = "T", .cas = cas, .ca_count = count});
}

static void trust_one(uint32_t flags)
{
    const struct registry_ca ca = {.name = "CA", .key = ca_key, .flags = flags};

    trust(&ca, 1);
}

enum defect { SOUND, FORGED, FOREIGN, EXPIRED, EARLY, MISNAMED };

/* A certificate for CN=dev,O=Test, issued by CN=CA,O=Test but for its defect. */
static struct pki_text certificate(enum defect defect)
{
    struct pki_spec spec = {.subject = defect == MISNAMED ? "other" : "dev",
                            .issuer = defect == FOREIGN ? "Other CA" : "CA",
                            .key = device_key,
                            .signer = defect == FORGED ? device_key : ca_key,
                            .from_ms = defect == EARLY ? NOW + DAY : NOW - DAY,
                            .until_ms = defect == EXPIRED ? NOW - 1000 : NOW + 2 * DAY};

    return pki_certificate(&spec);
}

static const char dev_dn[] = "CN=dev,O=Test";

static enum ks_status get_dev(enum defect defect)
{
    struct pki_text text = certificate(defect);

    return get_with_certificate("T", "x509-cert", dev_dn, pki_span(&text));
}

static uint64_t reported(void)
{
    return counters_sum(COUNTER_PROVISIONING_REPORTED);
}

static const struct {
    enum defect defect;
    const char *reason;
} defects[] = {
    {FORGED, REASON_BAD_SIGNATURE}, {FOREIGN, REASON_NO_TRUSTED_CA},     {EXPIRED, REASON_EXPIRED},
    {EARLY, REASON_NOT_YET_VALID},  {MISNAMED, REASON_SUBJECT_MISMATCH},
};
enum { DEFECTS = sizeof(defects) / sizeof(defects[0]) };

static void a_known_device_must_show_a_good_certificate_if_any(void **state)
{
    (void)state;
    trust_one(0);
    put("x509-cert", dev_dn, false, NULL);
    get("T", "x509-cert", dev_dn);
    assert_int_equal(registry.answer.status, 200);
    for (int round = 0; round < 2; round++) { /* the second from the cache of verdicts */
        assert_int_equal(get_dev(SOUND), KS_OK);
        assert_int_equal(registry.answer.status, 200);
        assert_int_equal(registry.answer.max_age_s, 180);
        for (size_t i = 0; i < DEFECTS; i++) {
            assert_int_equal(get_dev(defects[i].defect), KS_OK);
            assert_refusal(&registry, 404, defects[i].reason);
            assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
        }
    }
    assert_int_equal(get_with_certificate("T", "x509-cert", dev_dn, SPAN("AAAA")), KS_OK);
    assert_refusal(&registry, 400, REASON_NOT_A_CERTIFICATE);
    assert_int_equal(reported(), 0);
}

static void the_modes_report_and_off_let_a_known_device_pass(void **state)
{
    (void)state;
    trust_one(0);
    put("x509-cert", dev_dn, false, NULL);
    registry.service.verify = VERIFY_REPORT;
    for (size_t i = 0; i < DEFECTS; i++) {
        assert_int_equal(get_dev(defects[i].defect), KS_OK);
        assert_int_equal(registry.answer.status, 200);
        assert_int_equal(reported(), i + 1);
    }
    assert_int_equal(get_dev(SOUND), KS_OK);
    assert_int_equal(registry.answer.status, 200);
    assert_int_equal(reported(), DEFECTS);
    registry.service.verify = VERIFY_OFF;
    assert_int_equal(get_dev(FORGED), KS_OK);
    assert_int_equal(registry.answer.status, 200);
    assert_int_equal(reported(), DEFECTS);
}

static void a_certificate_beside_a_password_is_not_looked_at(void **state)
{
    struct pki_text text = certificate(FORGED);

    (void)state;
    put("hashed-password", "a", false, NULL);
    assert_int_equal(get_with_certificate("T", "hashed-password", "a", pki_span(&text)), KS_OK);
    assert_int_equal(registry.answer.status, 200);
}

static void what_is_known_but_unusable_is_never_provisioned(void **state)
{
    static const struct registry_secret off = {.json = "{}", .disabled = true};
    static const struct registry_secret over = {.json = "{}", .until_ms = NOW - 1};
    static const struct {
        const char *ext;
        const struct registry_secret *secret;
        bool disabled;
    } cases[] = {
        {NULL, &plain_secret, true},
        {NULL, &off, false},
        {NULL, &over, false},
        {"{\"n\":1}", &plain_secret, false},
    };
    enum verify_mode modes[] = {VERIFY_ENFORCE, VERIFY_REPORT, VERIFY_OFF};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[32];
        char dn[64];
        struct pki_spec spec = {.subject = name,
                                .issuer = "CA",
                                .key = device_key,
                                .signer = ca_key,
                                .from_ms = NOW - DAY,
                                .until_ms = NOW + DAY};
        struct pki_text text;
        struct credentials_query query = {.tenant_id = SPAN("T"),
                                          .type = SPAN("x509-cert"),
                                          .context = SPAN("{\"n\":2}"),
                                          .has_client_certificate = true};

        trust_one(FLAG);
        (void)snprintf(name, sizeof(name), "dev%zu", i);
        (void)snprintf(dn, sizeof(dn), "CN=%s,O=Test", name);
        text = pki_certificate(&spec);
        query.auth_id = span_cstr(dn);
        query.client_certificate = pki_span(&text);
        registry_put_credential(&registry, space,
                                &(struct registry_credential){.type = "x509-cert",
                                                              .auth_id = dn,
                                                              .device_id = name,
                                                              .ext = cases[i].ext,
                                                              .disabled = cases[i].disabled,
                                                              .secrets = cases[i].secret,
                                                              .secret_count = 1});
        for (size_t m = 0; m < 3; m++) {
            registry.service.verify = modes[m];
            assert_int_equal(ask(&query), KS_OK);
            assert_int_equal(registry.answer.status, 404);
        }
    }
}

static void an_unknown_device_with_a_good_certificate_is_to_be_provisioned(void **state)
{
    struct pki_public public_key = pki_public_of(ca_key);
    struct sha256 hash =
        sha256_of_pair(SPAN("CN=CA,O=Test"), span_of(public_key.bytes, public_key.len));

    (void)state;
    trust_one(FLAG);
    assert_int_equal(get_dev(SOUND), KS_NEEDS_WRITE);
    assert_span(plan.tenant_id, "T");
    assert_span(plan.certificate.auth_id, dev_dn);
    assert_true(plan.certificate.verified);
    assert_true(sha256_eq(&plan.certificate.ca_key_hash, &hash));
    assert_int_equal(plan.certificate.not_before_ms, NOW - DAY);
    assert_int_equal(plan.certificate.not_after_ms, NOW + 2 * DAY);
}

static void an_unknown_device_with_a_bad_certificate_is_refused_by_reason(void **state)
{
    (void)state;
    trust_one(FLAG);
    for (size_t i = 0; i < DEFECTS; i++) {
        assert_int_equal(get_dev(defects[i].defect), KS_OK);
        assert_refusal(&registry, 404, defects[i].reason);
        assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
        assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), i + 1);
    }
    get("T", "x509-cert", dev_dn);
    assert_refusal(&registry, 404, REASON_UNKNOWN_CREDENTIAL);
    assert_int_equal(counters_sum(COUNTER_PROVISIONING_REFUSED), DEFECTS);
}

static void what_is_no_certificate_is_400(void **state)
{
    static const char *const texts[] = {
        "", "A", "AA=", "!", "AAAA", "_-AA", "MIIB\nAAAA", "TUlJQg==",
    };
    const struct credentials_query number = {.tenant_id = SPAN("T"),
                                             .type = SPAN("x509-cert"),
                                             .auth_id = SPAN("CN=dev,O=Test"),
                                             .context = SPAN("{}"),
                                             .has_client_certificate = true,
                                             .certificate_not_text = true};
    static char large[64 << 10];

    (void)state;
    trust_one(FLAG);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(get_with_certificate("T", "x509-cert", dev_dn, span_cstr(texts[i])),
                         KS_OK);
        assert_refusal(&registry, 400, REASON_NOT_A_CERTIFICATE);
    }
    memset(large, 'A', sizeof(large));
    assert_int_equal(get_with_certificate("T", "x509-cert", dev_dn, span_of(large, sizeof(large))),
                     KS_OK);
    assert_refusal(&registry, 400, REASON_NOT_A_CERTIFICATE);
    assert_int_equal(ask(&number), KS_OK);
    assert_refusal(&registry, 400, REASON_NOT_A_CERTIFICATE);
}

static void refusals_come_in_a_fixed_order(void **state)
{
    struct pki_text sound = certificate(SOUND);
    const struct registry_ca ca = {.name = "CA", .key = ca_key, .flags = FLAG};

    (void)state;
    assert_int_equal(get_with_certificate("U", "x509-cert", dev_dn, SPAN("!")), KS_OK);
    assert_refusal(&registry, 404, REASON_UNKNOWN_TENANT);
    registry_put_tenant(&registry, &(struct registry_tenant){
                                       .id = "T", .disabled = true, .cas = &ca, .ca_count = 1});
    assert_int_equal(get_with_certificate("T", "psk", dev_dn, SPAN("!")), KS_OK);
    assert_refusal(&registry, 404, REASON_DISABLED);
    trust_one(0);
    assert_int_equal(get_with_certificate("T", "psk", dev_dn, SPAN("!")), KS_OK);
    assert_refusal(&registry, 404, REASON_UNKNOWN_CREDENTIAL);
    assert_int_equal(get_with_certificate("T", "hashed-password", dev_dn, pki_span(&sound)), KS_OK);
    assert_refusal(&registry, 404, REASON_UNKNOWN_CREDENTIAL);
    assert_int_equal(get_dev(FOREIGN), KS_OK);
    assert_refusal(&registry, 404, REASON_NO_TRUSTED_CA);
    assert_int_equal(get_dev(FORGED), KS_OK);
    assert_refusal(&registry, 404, REASON_PROVISIONING_OFF);
    assert_int_equal(get_dev(SOUND), KS_OK);
    assert_refusal(&registry, 404, REASON_PROVISIONING_OFF);
}

static void a_ca_out_of_its_validity_is_not_trusted(void **state)
{
    const struct registry_ca over = {
        .name = "CA", .key = ca_key, .flags = FLAG, .until_ms = NOW - 1};
    const struct registry_ca early = {
        .name = "CA", .key = ca_key, .flags = FLAG, .from_ms = NOW + 1};
    const struct registry_ca just = {
        .name = "CA", .key = ca_key, .flags = FLAG, .from_ms = NOW, .until_ms = NOW};

    (void)state;
    trust(&over, 1);
    assert_int_equal(get_dev(SOUND), KS_OK);
    assert_refusal(&registry, 404, REASON_NO_TRUSTED_CA);
    trust(&early, 1);
    assert_int_equal(get_dev(SOUND), KS_OK);
    assert_refusal(&registry, 404, REASON_NO_TRUSTED_CA);
    trust(&just, 1);
    assert_int_equal(get_dev(SOUND), KS_NEEDS_WRITE);
}

static void of_cas_that_share_a_dn_the_key_decides(void **state)
{
    const struct registry_ca cas[] = {
        {.name = "CA", .key = old_key, .flags = FLAG},
        {.name = "CA", .key = ca_key, .flags = FLAG},
    };
    const struct registry_ca off[] = {
        {.name = "CA", .key = old_key, .flags = FLAG},
        {.name = "CA", .key = ca_key},
    };
    struct pki_public public_key = pki_public_of(ca_key);
    struct sha256 hash =
        sha256_of_pair(SPAN("CN=CA,O=Test"), span_of(public_key.bytes, public_key.len));

    (void)state;
    trust(cas, 2);
    assert_int_equal(get_dev(SOUND), KS_NEEDS_WRITE);
    assert_true(sha256_eq(&plan.certificate.ca_key_hash, &hash));
    assert_int_equal(get_dev(FORGED), KS_OK);
    assert_refusal(&registry, 404, REASON_BAD_SIGNATURE);
    trust(off, 2); /* what signed it does not provision, whatever its namesake may */
    assert_int_equal(get_dev(SOUND), KS_OK);
    assert_refusal(&registry, 404, REASON_PROVISIONING_OFF);
    registry.service.verify = VERIFY_REPORT;
    assert_int_equal(get_dev(SOUND), KS_OK);
    assert_refusal(&registry, 404, REASON_PROVISIONING_OFF);
}

static void the_key_that_is_named_is_tried_although_many_share_the_dn(void **state)
{
    struct registry_ca cas[12];
    struct pki_key *others[11];
    struct pki_spec spec = {.subject = "dev",
                            .issuer = "CA",
                            .key = device_key,
                            .signer = ca_key,
                            .named = ca_key,
                            .from_ms = NOW - DAY,
                            .until_ms = NOW + DAY};
    struct pki_text text;

    (void)state;
    for (size_t i = 0; i < 11; i++) {
        others[i] = pki_key_new();
        cas[i] = (struct registry_ca){.name = "CA", .key = others[i], .flags = FLAG};
    }
    cas[11] = (struct registry_ca){.name = "CA", .key = ca_key, .flags = FLAG};
    trust(cas, 12);
    text = pki_certificate(&spec);
    assert_int_equal(get_with_certificate("T", "x509-cert", dev_dn, pki_span(&text)),
                     KS_NEEDS_WRITE);
    spec.named = NULL; /* beyond the eight that are tried */
    text = pki_certificate(&spec);
    assert_int_equal(get_with_certificate("T", "x509-cert", dev_dn, pki_span(&text)), KS_OK);
    assert_refusal(&registry, 404, REASON_BAD_SIGNATURE);
    spec.named = old_key; /* names nobody: a hint, no condition */
    cas[0].key = ca_key;
    trust(cas, 12);
    text = pki_certificate(&spec);
    assert_int_equal(get_with_certificate("T", "x509-cert", dev_dn, pki_span(&text)),
                     KS_NEEDS_WRITE);
    for (size_t i = 0; i < 11; i++) {
        pki_key_free(others[i]);
    }
}

static void a_leaf_that_is_the_anchor_passes(void **state)
{
    const struct registry_ca ca = {.name = "dev", .key = device_key, .flags = FLAG};
    struct pki_spec spec = {.subject = "dev",
                            .issuer = "dev",
                            .key = device_key,
                            .signer = device_key,
                            .from_ms = NOW - DAY,
                            .until_ms = NOW + DAY};
    struct pki_text text = pki_certificate(&spec);

    (void)state;
    trust(&ca, 1);
    assert_int_equal(get_with_certificate("T", "x509-cert", dev_dn, pki_span(&text)),
                     KS_NEEDS_WRITE);
    spec.key = old_key; /* an impostor with a key of its own */
    spec.signer = old_key;
    text = pki_certificate(&spec);
    assert_int_equal(get_with_certificate("T", "x509-cert", dev_dn, pki_span(&text)), KS_OK);
    assert_refusal(&registry, 404, REASON_BAD_SIGNATURE);
}

static void report_provisions_all_the_same_and_counts(void **state)
{
    (void)state;
    trust_one(FLAG);
    registry.service.verify = VERIFY_REPORT;
    assert_int_equal(get_dev(SOUND), KS_NEEDS_WRITE);
    assert_true(plan.certificate.verified);
    assert_int_equal(reported(), 0);
    assert_int_equal(get_dev(FOREIGN), KS_OK);
    assert_refusal(&registry, 404, REASON_NO_TRUSTED_CA);
    assert_int_equal(get_dev(FORGED), KS_NEEDS_WRITE);
    assert_false(plan.certificate.verified);
    assert_int_equal(get_dev(EXPIRED), KS_NEEDS_WRITE);
    assert_int_equal(get_dev(EARLY), KS_NEEDS_WRITE);
    assert_int_equal(get_dev(MISNAMED), KS_NEEDS_WRITE);
    assert_span(plan.certificate.auth_id, dev_dn);
    assert_int_equal(reported(), 4);
}

static void off_checks_issuer_flag_and_validity_of_the_ca_only(void **state)
{
    (void)state;
    trust_one(FLAG);
    registry.service.verify = VERIFY_OFF;
    for (size_t i = 0; i < DEFECTS; i++) {
        enum ks_status expected = defects[i].defect == FOREIGN ? KS_OK : KS_NEEDS_WRITE;

        assert_int_equal(get_dev(defects[i].defect), expected);
        assert_false(plan.certificate.verified);
    }
    trust_one(0);
    assert_int_equal(get_dev(SOUND), KS_OK);
    assert_refusal(&registry, 404, REASON_PROVISIONING_OFF);
    assert_int_equal(reported(), 0);
}

static void an_auth_id_that_is_a_dn_must_be_in_normal_form(void **state)
{
    static const struct {
        const char *auth_id;
        bool provisioned;
    } cases[] = {
        {"CN=dev,O=Test", true},  {"CN=dev, O=Test", false},
        {"cn=dev,o=Test", false}, {"device-1", true},
        {"CN=x", true},           {"CN=dev;O=Test", false},
    };
    struct pki_text text = certificate(SOUND);
    enum verify_mode modes[] = {VERIFY_REPORT, VERIFY_OFF};

    (void)state;
    trust_one(FLAG);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t m = 0; m < 2; m++) {
            registry.service.verify = modes[m];
            assert_int_equal(
                get_with_certificate("T", "x509-cert", cases[i].auth_id, pki_span(&text)),
                cases[i].provisioned ? KS_NEEDS_WRITE : KS_OK);
            if (!cases[i].provisioned) {
                assert_refusal(&registry, 404, REASON_SUBJECT_MISMATCH);
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(credentials_are_found_by_exactly_type_and_auth_id),
        TEST(a_disabled_tenant_does_not_hide_credentials),
        TEST(only_two_types_may_be_cached),
        TEST(secrets_show_while_they_count_and_bound_the_age),
        TEST(a_credential_without_a_secret_that_counts_is_404),
        TEST(a_disabled_credential_is_404),
        TEST(the_client_context_must_not_contradict_ext),
        TEST(a_context_beyond_64_bits_is_malformed),
        TEST(a_known_device_must_show_a_good_certificate_if_any),
        TEST(the_modes_report_and_off_let_a_known_device_pass),
        TEST(a_certificate_beside_a_password_is_not_looked_at),
        TEST(what_is_known_but_unusable_is_never_provisioned),
        TEST(an_unknown_device_with_a_good_certificate_is_to_be_provisioned),
        TEST(an_unknown_device_with_a_bad_certificate_is_refused_by_reason),
        TEST(what_is_no_certificate_is_400),
        TEST(refusals_come_in_a_fixed_order),
        TEST(a_ca_out_of_its_validity_is_not_trusted),
        TEST(of_cas_that_share_a_dn_the_key_decides),
        TEST(the_key_that_is_named_is_tried_although_many_share_the_dn),
        TEST(a_leaf_that_is_the_anchor_passes),
        TEST(report_provisions_all_the_same_and_counts),
        TEST(off_checks_issuer_flag_and_validity_of_the_ca_only),
        TEST(an_auth_id_that_is_a_dn_must_be_in_normal_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
