#include "support/registry.h"

#include "service/reasons.h"
#include "service/tenant_get.h"
#include <stdio.h>

static struct registry registry;
static struct identity *adapter; /* may get all tenants, as the sample permissions grant it */
static struct pki_key *key;
static struct pki_key *other_key;

static int set_up(void **state)
{
    (void)state;
    registry_open(&registry);
    adapter = registry_identity("tenant/*", "*");
    key = pki_key_new();
    other_key = pki_key_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    identity_unref(adapter);
    pki_key_free(key);
    pki_key_free(other_key);
    registry_close(&registry);
    return 0;
}

static void get(const struct identity *who, const char *id, const char *dn, int64_t now_ms)
{
    const struct tenant_query ask = {.tenant_id = span_cstr(id),
                                     .subject_dn = span_cstr(dn),
                                     .has_tenant_id = id != NULL,
                                     .has_subject_dn = dn != NULL};

    registry_renew(&registry);
    tenant_get(&registry.reader, who, &ask, now_ms, &registry.answer);
}

static void tenants_are_found_by_id_alias_and_normalised_dn(void **state)
{
    const struct registry_ca ca = {.name = "CA", .key = key};
    static const char t1[] = "{\"tenant-id\":\"T1\",\"enabled\":true,\"trusted-ca\":[{\"n\":0}]}";

    (void)state;
    registry_put_tenant(&registry, &(struct registry_tenant){
                                       .id = "T1", .alias = "first", .cas = &ca, .ca_count = 1});
    get(adapter, "T1", NULL, REGISTRY_NOW);
    assert_answer(&registry, 200, t1);
    assert_int_equal(registry.answer.max_age_s, 180);
    assert_int_equal(registry.answer.tenant_id.len, 0);
    get(adapter, "first", NULL, REGISTRY_NOW);
    assert_answer(&registry, 200, t1);
    assert_int_equal(registry.answer.tenant_id.len, 0);
    get(adapter, NULL, "CN=CA,O=Test", REGISTRY_NOW);
    assert_answer(&registry, 200, t1);
    assert_span(buf_span(&registry.answer.tenant_id), "T1");
    get(adapter, NULL, " cn = CA ;o=Test", REGISTRY_NOW);
    assert_answer(&registry, 200, t1);
    get(adapter, "T1", "CN=nobody", REGISTRY_NOW);
    assert_answer(&registry, 200, t1);
}

static void what_cannot_be_found_is_404_and_what_cannot_be_read_400(void **state)
{
    static const struct {
        const char *id;
        const char *dn;
        int status;
        const char *reason;
    } cases[] = {
        {"T2", NULL, 404, REASON_UNKNOWN_TENANT},
        {"t1", NULL, 404, REASON_UNKNOWN_TENANT},
        {"", NULL, 404, REASON_UNKNOWN_TENANT},
        {NULL, "CN=other", 404, REASON_UNKNOWN_TENANT},
        {NULL, "CN=ca,O=Test", 404, REASON_UNKNOWN_TENANT},
        {NULL, "", 404, REASON_UNKNOWN_TENANT},
        {"T2", "CN=CA,O=Test", 404, REASON_UNKNOWN_TENANT},
        {NULL, NULL, 400, REASON_BAD_REQUEST},
    };
    const struct registry_ca ca = {.name = "CA", .key = key};
    char name[3001];

    (void)state;
    registry_put_tenant(&registry,
                        &(struct registry_tenant){.id = "T1", .cas = &ca, .ca_count = 1});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        get(adapter, cases[i].id, cases[i].dn, REGISTRY_NOW);
        assert_refusal(&registry, cases[i].status, cases[i].reason);
        assert_int_equal(registry.answer.max_age_s, ANSWER_NO_DIRECTIVE);
    }
    get(adapter, NULL, "device-1", REGISTRY_NOW);
    assert_int_equal(registry.answer.status, 400);
    get(adapter, NULL, " ", REGISTRY_NOW);
    assert_int_equal(registry.answer.status, 400);
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    get(adapter, name, NULL, REGISTRY_NOW);
    assert_refusal(&registry, 404, REASON_UNKNOWN_TENANT);
    memcpy(name, "CN=", 3);
    get(adapter, NULL, name, REGISTRY_NOW);
    assert_refusal(&registry, 404, REASON_UNKNOWN_TENANT);
}

static void a_disabled_tenant_is_told_with_200(void **state)
{
    (void)state;
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T1", .disabled = true});
    get(adapter, "T1", NULL, REGISTRY_NOW);
    assert_answer(&registry, 200, "{\"tenant-id\":\"T1\",\"enabled\":false,\"trusted-ca\":[]}");
}

static void a_dn_that_two_tenants_trust_names_none(void **state)
{
    const struct registry_ca ca = {.name = "CA", .key = key};

    (void)state;
    registry_put_tenant(&registry,
                        &(struct registry_tenant){.id = "T1", .cas = &ca, .ca_count = 1});
    registry_put_tenant(&registry,
                        &(struct registry_tenant){.id = "T2", .cas = &ca, .ca_count = 1});
    get(adapter, NULL, "CN=CA,O=Test", REGISTRY_NOW);
    assert_refusal(&registry, 404, REASON_UNKNOWN_TENANT);
}

static void two_cas_of_one_dn_in_one_tenant_name_it(void **state)
{
    const struct registry_ca cas[] = {{.name = "CA", .key = key}, {.name = "CA", .key = other_key}};

    (void)state;
    registry_put_tenant(&registry,
                        &(struct registry_tenant){.id = "T1", .cas = cas, .ca_count = 2});
    get(adapter, NULL, "CN=CA,O=Test", REGISTRY_NOW);
    assert_int_equal(registry.answer.status, 200);
}

static void cas_show_while_they_are_valid_and_bound_the_age(void **state)
{
    /* 0: ends in 100 s; 1: begins in 50 s; 2: always; 3: has ended */
    const struct registry_ca cas[] = {
        {.name = "A", .key = key, .until_ms = REGISTRY_NOW + 100000},
        {.name = "B", .key = key, .from_ms = REGISTRY_NOW + 50000},
        {.name = "C", .key = key},
        {.name = "D", .key = key, .until_ms = REGISTRY_NOW - 1},
    };
    static const struct {
        int64_t after_ms;
        const char *shown;
        int max_age_s;
    } cases[] = {
        {0, "{\"n\":0},{\"n\":2}", 49},
        {49500, "{\"n\":0},{\"n\":2}", 1},
        {49999, "{\"n\":0},{\"n\":2}", 1},
        {50000, "{\"n\":0},{\"n\":1},{\"n\":2}", 50},
        {100000, "{\"n\":0},{\"n\":1},{\"n\":2}", 1},
        {100001, "{\"n\":1},{\"n\":2}", 180},
        {-2 * REGISTRY_DAY, "{\"n\":0},{\"n\":2},{\"n\":3}", 180},
    };
    char json[200];

    (void)state;
    registry_put_tenant(&registry,
                        &(struct registry_tenant){.id = "T1", .cas = cas, .ca_count = 4});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(json, sizeof(json),
                       "{\"tenant-id\":\"T1\",\"enabled\":true,\"trusted-ca\":[%s]}",
                       cases[i].shown);
        get(adapter, "T1", NULL, REGISTRY_NOW + cases[i].after_ms);
        assert_answer(&registry, 200, json);
        assert_int_equal(registry.answer.max_age_s, cases[i].max_age_s);
    }
    /* The DN of an expired CA finds its tenant all the same. */
    get(adapter, NULL, "CN=D,O=Test", REGISTRY_NOW);
    assert_int_equal(registry.answer.status, 200);
}

static void all_cas_may_be_out(void **state)
{
    const struct registry_ca ca = {.name = "A", .key = key, .until_ms = REGISTRY_NOW - 1};

    (void)state;
    registry_put_tenant(&registry,
                        &(struct registry_tenant){.id = "T1", .cas = &ca, .ca_count = 1});
    get(adapter, "T1", NULL, REGISTRY_NOW);
    assert_answer(&registry, 200, "{\"tenant-id\":\"T1\",\"enabled\":true,\"trusted-ca\":[]}");
}

static void caching_can_be_switched_off(void **state)
{
    (void)state;
    registry.service.tenant_max_age_s = 0;
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T1"});
    get(adapter, "T1", NULL, REGISTRY_NOW);
    assert_int_equal(registry.answer.max_age_s, ANSWER_NO_CACHE);
}

static void only_who_may_get_all_tenants_learns_that_one_does_not_exist(void **state)
{
    static const struct {
        const char *resource;
        const char *operation;
        int first;   /* status for T1, which has the alias "first" */
        int unknown; /* for one that does not exist */
    } cases[] = {
        {"tenant/*", "*", 200, 404},      {"tenant/*", "get", 200, 404},
        {"tenant", "get", 200, 404},      {"*", "*", 200, 404},
        {"tenant/T1", "get", 200, 403},   {"tenant/T2", "*", 403, 403},
        {"tenant/first", "*", 403, 403},  {"tenant/*", "put", 403, 403},
        {"credentials/*", "*", 403, 403}, {NULL, NULL, 403, 403},
    };
    const struct registry_ca ca = {.name = "CA", .key = key};

    (void)state;
    registry_put_tenant(&registry, &(struct registry_tenant){
                                       .id = "T1", .alias = "first", .cas = &ca, .ca_count = 1});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct identity *who = registry_identity(cases[i].resource, cases[i].operation);

        get(who, "T1", NULL, REGISTRY_NOW);
        assert_int_equal(registry.answer.status, cases[i].first);
        get(who, "first", NULL, REGISTRY_NOW);
        assert_int_equal(registry.answer.status, cases[i].first);
        get(who, NULL, "CN=CA,O=Test", REGISTRY_NOW);
        assert_int_equal(registry.answer.status, cases[i].first);
        get(who, "unknown", NULL, REGISTRY_NOW);
        assert_int_equal(registry.answer.status, cases[i].unknown);
        get(who, NULL, "CN=unknown", REGISTRY_NOW);
        assert_int_equal(registry.answer.status, cases[i].unknown);
        if (cases[i].unknown == 403) {
            assert_refusal(&registry, 403, REASON_NOT_AUTHORIZED);
            assert_int_equal(registry.answer.tenant_id.len, 0);
        }
        identity_unref(who);
    }
}

static void a_deleted_tenant_is_gone_and_a_new_one_of_its_name_is_new(void **state)
{
    (void)state;
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T1", .alias = "a"});
    get(adapter, "T1", NULL, REGISTRY_NOW);
    assert_int_equal(registry.answer.status, 200);
    registry_delete_tenant(&registry, "T1");
    get(adapter, "T1", NULL, REGISTRY_NOW);
    assert_refusal(&registry, 404, REASON_UNKNOWN_TENANT);
    registry_put_tenant(&registry, &(struct registry_tenant){.id = "T1", .disabled = true});
    get(adapter, "T1", NULL, REGISTRY_NOW);
    assert_answer(&registry, 200, "{\"tenant-id\":\"T1\",\"enabled\":false,\"trusted-ca\":[]}");
    get(adapter, "a", NULL, REGISTRY_NOW);
    assert_refusal(&registry, 404, REASON_UNKNOWN_TENANT);
}

static void many_tenants_are_told_apart(void **state)
{
    char id[16];
    char json[100];

    (void)state;
    for (int i = 0; i < 300; i++) {
        (void)snprintf(id, sizeof(id), "T%d", i);
        registry_put_tenant(&registry, &(struct registry_tenant){.id = id});
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            (void)snprintf(id, sizeof(id), "T%d", i);
            (void)snprintf(json, sizeof(json),
                           "{\"tenant-id\":\"T%d\",\"enabled\":true,\"trusted-ca\":[]}", i);
            get(adapter, id, NULL, REGISTRY_NOW);
            assert_answer(&registry, 200, json);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tenants_are_found_by_id_alias_and_normalised_dn),
        TEST(what_cannot_be_found_is_404_and_what_cannot_be_read_400),
        TEST(a_disabled_tenant_is_told_with_200),
        TEST(a_dn_that_two_tenants_trust_names_none),
        TEST(two_cas_of_one_dn_in_one_tenant_name_it),
        TEST(cas_show_while_they_are_valid_and_bound_the_age),
        TEST(all_cas_may_be_out),
        TEST(caching_can_be_switched_off),
        TEST(only_who_may_get_all_tenants_learns_that_one_does_not_exist),
        TEST(a_deleted_tenant_is_gone_and_a_new_one_of_its_name_is_new),
        TEST(many_tenants_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
