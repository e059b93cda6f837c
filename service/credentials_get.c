#include "service/credentials_get.h"

#include "base/counters.h"
#include "service/credential_answer.h"
#include "service/provisioning_plan.h"
#include "service/reasons.h"
#include "service/tenant_cache.h"
#include "service/trust.h"
#include "store/store.h"

/* Whether such a credential could be stored at all. */
static bool storable(const struct credentials_query *ask)
{
    return ask->type.len > 0 && ask->type.len <= STORE_TYPE_MAX && !span_has_nul(ask->type) &&
           ask->auth_id.len > 0 && ask->auth_id.len <= STORE_NAME_MAX &&
           !span_has_nul(ask->auth_id);
}

static enum ks_status verify(struct service_reader *reader, const struct credentials_query *ask,
                             uint32_t space, int64_t now_ms, struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct leaf leaf;
    struct trust_issuers issuers;
    const struct store_ca *signer;
    enum ks_status st;

    if (ask->certificate_not_text) {
        return ks_fail(why, KS_INVALID, REASON_NOT_A_CERTIFICATE,
                       "client-certificate is not a text");
    }
    st = trust_decode(ask->client_certificate, &reader->scratch, &leaf, why);
    if (st == KS_OK) {
        st = store_tenant_get(reader->txn, space, &tenant, why);
    }
    if (st == KS_OK) {
        st = trust_find_issuers(&tenant, &leaf, now_ms, &issuers, why);
    }
    if (st == KS_OK) {
        st = trust_find_signer(&reader->trust, &leaf, &issuers, &signer, why);
    }
    return st == KS_OK ? trust_check_leaf(&leaf, signer, ask->auth_id, now_ms, why) : st;
}

/* Whether a verdict is the certificate's fault, which mode "report" forgives. */
static bool is_verdict(enum ks_status status)
{
    return status == KS_NOT_FOUND || status == KS_INVALID;
}

/* A registered device that shows a certificate must show a good one. */
static void check_certificate(struct service_reader *reader, const struct credentials_query *ask,
                              uint32_t space, int64_t now_ms, struct answer *answer)
{
    struct ks_failure why = {0};
    enum ks_status st;

    if (reader->service->verify == VERIFY_OFF || !ask->has_client_certificate ||
        !span_eq(ask->type, SPAN("x509-cert"))) {
        return;
    }
    st = verify(reader, ask, space, now_ms, &why);
    if (st == KS_OK) {
        return;
    }
    if (reader->service->verify == VERIFY_REPORT && is_verdict(st)) {
        counters_add(reader->counters, COUNTER_PROVISIONING_REPORTED, 1);
        return;
    }
    credential_refuse(answer, st, &why);
}

/* KS_NEEDS_WRITE: not registered, but to be provisioned. */
static enum ks_status unknown(struct service_reader *reader, const struct credentials_query *ask,
                              uint32_t space, int64_t now_ms, struct provisioning_plan *plan,
                              struct ks_failure *why)
{
    enum ks_status st;

    if (!ask->has_client_certificate || !storable(ask)) {
        return ks_fail(why, KS_NOT_FOUND, REASON_UNKNOWN_CREDENTIAL, "no such credentials");
    }
    st = provisioning_plan_make(reader, ask, space, now_ms, plan, why);
    if (st == KS_OK) {
        return KS_NEEDS_WRITE;
    }
    counters_add(reader->counters, COUNTER_PROVISIONING_REFUSED, 1);
    return st;
}

enum ks_status credentials_get(struct service_reader *reader, const struct credentials_query *ask,
                               int64_t now_ms, struct answer *answer,
                               struct provisioning_plan *plan)
{
    struct store_credential found = {.flags = 0};
    struct ks_failure why = {0};
    uint32_t space = 0;
    enum ks_status st;

    answer_clear(answer);
    st = tenant_cache_find(reader->tenants, reader->txn, ask->tenant_id, &space, &why);
    if (st != KS_OK) {
        credential_refuse(answer, st, &why);
        return KS_OK;
    }
    st = KS_NOT_FOUND;
    if (storable(ask)) {
        st = store_credential_get(reader->txn, space, ask->type, ask->auth_id, &found, &why);
    }
    if (st == KS_OK) {
        credential_answer(reader->service, &found, ask->context, now_ms, answer);
        if (answer->status == answer_status_code(KS_OK)) {
            check_certificate(reader, ask, space, now_ms, answer);
        }
        return KS_OK;
    }
    if (st == KS_NOT_FOUND) {
        st = unknown(reader, ask, space, now_ms, plan, &why);
    }
    if (st == KS_NEEDS_WRITE) {
        return st;
    }
    credential_refuse(answer, st, &why);
    return KS_OK;
}
