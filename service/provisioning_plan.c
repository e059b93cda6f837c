#include "service/provisioning_plan.h"

#include <assert.h>
#include <string.h>

#include "base/counters.h"
#include "certs/dn.h"
#include "service/credentials_get.h"
#include "service/provisioning.h"
#include "service/reasons.h"
#include "service/trust.h"

/* The auth-id becomes a key as it is, and must come back as it was asked for: a DN in any other
 * form than the normal one would never be found again. */
static enum ks_status check_normal(struct span auth_id, struct ks_failure *why)
{
    struct buf normal;
    enum ks_status st = KS_OK;

    buf_init(&normal, 0);
    if (dn_normalize(auth_id, &normal, NULL) == KS_OK && !span_eq(buf_span(&normal), auth_id)) {
        st = ks_fail(why, KS_NOT_FOUND, REASON_SUBJECT_MISMATCH,
                     "the auth-id is a distinguished name, but not in its normal form");
    }
    buf_done(&normal);
    return st;
}

static enum ks_status refuse_flag(struct ks_failure *why)
{
    return ks_fail(why, KS_NOT_FOUND, REASON_PROVISIONING_OFF,
                   "the trusted CA does not provision devices");
}

/* Signature, validity, subject. *ca: whose key it was, whatever else is wrong. */
static enum ks_status verify(struct service_reader *reader, const struct certificate *leaf,
                             const struct trust_issuers *issuers, struct span auth_id,
                             int64_t now_ms, const struct store_ca **ca, struct ks_failure *why)
{
    enum ks_status st = trust_find_signer(&reader->trust, leaf, issuers, ca, why);

    return st == KS_OK ? trust_check_leaf(leaf, auth_id, now_ms, why) : st;
}

/* What the verdict on a certificate means in the mode that is set. *ca: on whose behalf. */
static enum ks_status judge(struct service_reader *reader, const struct certificate *leaf,
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
    return check_normal(auth_id, why);
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

enum ks_status provisioning_plan_make(struct service_reader *reader,
                                      const struct credentials_query *ask, uint32_t space,
                                      int64_t now_ms, struct provisioning_plan *plan,
                                      struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct certificate leaf;
    struct trust_issuers issuers;
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
    *plan = (struct provisioning_plan){.tenant_id = ask->tenant_id,
                                       .auth_id = ask->auth_id,
                                       .context = ask->context,
                                       .fingerprint = leaf.fingerprint,
                                       .not_before_ms = leaf.not_before_ms,
                                       .not_after_ms = leaf.not_after_ms,
                                       .verified = verified};
    assert(ca != NULL); /* judged well: on some CA's behalf */
    memcpy(plan->ca_key_hash.bytes, ca->key_hash, sizeof(ca->key_hash));
    return KS_OK;
}
