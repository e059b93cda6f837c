#include "service/provisioning_plan.h"

#include <assert.h>
#include <string.h>

#include "base/counters.h"
#include "service/credentials_get.h"
#include "service/provisioning.h"
#include "service/reasons.h"
#include "service/trust.h"

static enum ks_status refuse_flag(struct ks_failure *why)
{
    return ks_fail(why, KS_NOT_FOUND, REASON_PROVISIONING_OFF,
                   "the trusted CA does not provision devices");
}

/* Signature, validity, subject. *ca: whose key it was, whatever else is wrong. */
static enum ks_status verify(struct service_reader *reader, const struct leaf *leaf,
                             const struct trust_issuers *issuers, struct span auth_id,
                             int64_t now_ms, const struct store_ca **ca, struct ks_failure *why)
{
    enum ks_status st = trust_find_signer(&reader->trust, leaf, issuers, ca, why);

    return st == KS_OK ? trust_check_leaf(leaf, *ca, auth_id, now_ms, why) : st;
}

/* What the verdict on a certificate means in the mode that is set. *ca: on whose behalf. */
static enum ks_status judge(struct service_reader *reader, const struct leaf *leaf,
                            const struct trust_issuers *issuers, struct span auth_id,
                            int64_t now_ms, const struct store_ca **ca, bool *verified,
                            struct ks_failure *why)
{
    enum verify_mode mode = reader->service->verify;
    enum ks_status st;

    *verified = false;
    *ca = NULL;
    if (mode != VERIFY_OFF) {
        st = verify(reader, leaf, issuers, auth_id, now_ms, ca, why);
        *verified = st == KS_OK;
        if (*ca != NULL && ((*ca)->flags & STORE_CA_AUTO_PROVISIONING) == 0) {
            return refuse_flag(why);
        }
        if (*verified || mode == VERIFY_ENFORCE) {
            return st;
        }
        counters_add(reader->counters, COUNTER_PROVISIONING_REPORTED, 1);
    }
    if (*ca == NULL) {
        *ca = &issuers->provisioner;
    }
    return trust_check_normal(auth_id, why);
}

/* The tenant and the kind of the request, before anything is decoded. */
static enum ks_status check_request(struct service_reader *reader,
                                    const struct credentials_query *ask, uint32_t space,
                                    struct store_tenant *tenant, struct ks_failure *why)
{
    enum ks_status st = store_tenant_get(reader->txn, space, tenant, why);

    if (st == KS_NOT_FOUND) {
        return ks_fail(why, KS_NOT_FOUND, REASON_UNKNOWN_TENANT, "no such tenant");
    }
    if (st != KS_OK) {
        return st;
    }
    if ((tenant->flags & STORE_TENANT_ENABLED) == 0) {
        return ks_fail(why, KS_NOT_FOUND, REASON_DISABLED, "the tenant is disabled");
    }
    if (!span_eq(ask->type, SPAN("x509-cert"))) {
        return ks_fail(why, KS_NOT_FOUND, REASON_UNKNOWN_CREDENTIAL, "no such credentials");
    }
    if (ask->certificate_not_text) {
        return ks_fail(why, KS_INVALID, REASON_NOT_A_CERTIFICATE,
                       "client-certificate is not a text");
    }
    return KS_OK;
}

/* The writer makes the id, by the template that is there then; what cannot be made need not get
 * that far. */
static enum ks_status check_device_id(struct service_reader *reader, const struct store_ca *ca,
                                      const struct identity_subject *subject,
                                      struct ks_failure *why)
{
    struct span id;

    return ca->device_id_template.len == 0
               ? KS_OK
               : identity_template_device_id(ca->device_id_template, subject, &reader->scratch, &id,
                                             why);
}

enum ks_status provisioning_plan_make(struct service_reader *reader,
                                      const struct credentials_query *ask, uint32_t space,
                                      int64_t now_ms, struct provisioning_plan *plan,
                                      struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct leaf leaf;
    struct trust_issuers issuers;
    struct identity_subject subject;
    const struct store_ca *ca = NULL;
    bool verified = false;
    enum ks_status st = check_request(reader, ask, space, &tenant, why);

    if (st == KS_OK) {
        st = trust_decode(ask->client_certificate, &reader->scratch, &leaf, why);
    }
    if (st == KS_OK) {
        st = trust_find_issuers(&tenant, &leaf, now_ms, &issuers, why);
    }
    if (st == KS_OK && !issuers.provisions) {
        st = refuse_flag(why);
    }
    if (st == KS_OK) {
        st = judge(reader, &leaf, &issuers, ask->auth_id, now_ms, &ca, &verified, why);
    }
    if (st != KS_OK) {
        return st;
    }
    assert(ca != NULL); /* judged well: on some CA's behalf */
    subject = trust_subject_of(&leaf);
    st = check_device_id(reader, ca, &subject, why);
    if (st != KS_OK) {
        return st;
    }
    *plan = (struct provisioning_plan){.kind = &provisioning_by_certificate,
                                       .tenant_id = ask->tenant_id,
                                       .certificate = {.auth_id = ask->auth_id,
                                                       .context = ask->context,
                                                       .subject = subject,
                                                       .fingerprint = leaf.fingerprint,
                                                       .not_before_ms = leaf.not_before_ms,
                                                       .not_after_ms = leaf.not_after_ms,
                                                       .verified = verified}};
    memcpy(plan->certificate.ca_key_hash.bytes, ca->key_hash, sizeof(ca->key_hash));
    return KS_OK;
}
