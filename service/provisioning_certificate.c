/* By certificate: a device that shows one of a trusted CA, with its credential. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "service/credential_answer.h"
#include "service/credential_document.h"
#include "service/credential_members.h"
#include "service/device_document.h"
#include "service/device_members.h"
#include "service/json_text.h"
#include "service/provisioning_kind.h"
#include "service/reasons.h"
#include "service/service.h"
#include "service/trust.h"

static const struct span type_x509 = {.ptr = "x509-cert", .len = sizeof("x509-cert") - 1};

/* ---- what must still stand ---- */

static bool find_ca(const struct store_tenant *tenant, const struct sha256 *key_hash,
                    int64_t now_ms, struct store_ca *out)
{
    size_t offset = 0;

    while (store_cas_next(tenant->cas, &offset, out)) {
        if (memcmp(out->key_hash, key_hash->bytes, sizeof(out->key_hash)) == 0 &&
            out->not_before_ms <= now_ms && now_ms <= out->not_after_ms) {
            return true;
        }
    }
    return false;
}

static enum ks_status confirm_ca(const struct provisioning_details *details,
                                 const struct store_tenant *tenant, struct store_ca *ca,
                                 struct ks_failure *why)
{
    const struct provisioning_certificate *certificate = &details->plan.certificate;
    int64_t now_ms = provisioning_now_ms(details);
    enum ks_status st;

    if (!find_ca(tenant, &certificate->ca_key_hash, now_ms, ca)) {
        return ks_fail(why, KS_NOT_FOUND, REASON_NO_TRUSTED_CA,
                       "the tenant does not trust the certificate's CA any more");
    }
    if ((ca->flags & STORE_CA_AUTO_PROVISIONING) == 0) {
        return ks_fail(why, KS_NOT_FOUND, REASON_PROVISIONING_OFF,
                       "the trusted CA does not provision devices");
    }
    if (!certificate->verified) {
        return KS_OK;
    }
    st = trust_check_validity(certificate->not_before_ms, certificate->not_after_ms, now_ms, why);
    return st == KS_OK ? trust_check_auth_id(ca, &certificate->subject, certificate->auth_id, why)
                       : st;
}

static enum ks_status confirm_limits(const struct provisioning_details *details,
                                     struct store_txn *txn, const struct store_tenant *tenant,
                                     struct ks_failure *why)
{
    enum ks_status st = provisioning_check_limit(details, txn, tenant, why);

    if (st == KS_OK && provisioning_limit(tenant->max_credentials_per_device,
                                          details->service->max_credentials_per_device) == 0) {
        return ks_fail(why, KS_LIMIT, REASON_CREDENTIALS_LIMIT,
                       "the tenant's devices may not have credentials");
    }
    return st;
}

/* ---- the device's id ---- */

static enum ks_status choose_drawn(struct provisioning_details *details, struct store_txn *txn,
                                   uint32_t space, struct span *id, struct ks_failure *why)
{
    char text[UUID_TEXT_LEN + 1] = "";
    enum ks_status st = KS_OK;

    for (size_t i = 0; i < PROVISIONING_IDS_DRAWN && st == KS_OK; i++) {
        struct store_device taken;

        uuid_format(&details->device_ids[i], text);
        st = store_device_get(txn, space, span_of(text, UUID_TEXT_LEN), &taken, why);
    }
    if (st == KS_OK) {
        return ks_fail(why, KS_EXISTS, REASON_ID_TAKEN, "every device id drawn is taken");
    }
    *id = arena_span(&details->scratch, span_of(text, UUID_TEXT_LEN));
    return st == KS_NOT_FOUND ? KS_OK : st;
}

/* A device that has this id is one of other credentials: these were not found. */
static enum ks_status choose_templated(struct provisioning_details *details, struct store_txn *txn,
                                       uint32_t space, const struct store_ca *ca, struct span *id,
                                       struct ks_failure *why)
{
    struct store_device taken;
    enum ks_status st = identity_template_device_id(
        ca->device_id_template, &details->plan.certificate.subject, &details->scratch, id, why);

    if (st != KS_OK) {
        return st;
    }
    st = store_device_get(txn, space, *id, &taken, why);
    if (st == KS_OK) {
        return ks_fail(why, KS_EXISTS, REASON_ID_TAKEN,
                       "there is another device with the id that the CA's template gives: %.*s",
                       SPAN_ARG(*id));
    }
    return st == KS_NOT_FOUND ? KS_OK : st;
}

static enum ks_status choose_id(struct provisioning_details *details, struct store_txn *txn,
                                uint32_t space, const struct store_ca *ca, struct span *id,
                                struct ks_failure *why)
{
    return ca->device_id_template.len > 0 ? choose_templated(details, txn, space, ca, id, why)
                                          : choose_drawn(details, txn, space, id, why);
}

/* ---- what is written ---- */

/* "Auto-provisioned at 2026-11-24T10:00:00.123456789Z": as Hono notes it, for operators. */
struct comment {
    char text[80];
};

static void comment_make(const struct provisioning_details *details, struct comment *out)
{
    struct clock_text at;

    clock_format_ns(details->now_ns, &at);
    (void)snprintf(out->text, sizeof(out->text), "Auto-provisioned at %s", at.text);
}

static json_t *make_document(const struct provisioning_details *details, const struct store_ca *ca)
{
    struct comment comment;
    json_t *document = json_text_must(json_object());

    comment_make(details, &comment);
    (void)device_put(document, DEVICE_ENABLED, json_true());
    (void)device_put(document, DEVICE_EXT,
                     json_text_must(json_pack("{ss}", "comment", comment.text)));
    if ((ca->flags & STORE_CA_AS_GATEWAY) != 0) {
        (void)device_put(document, DEVICE_AUTHORITIES,
                         json_text_must(json_pack("[s]", DEVICE_AUTHORITY_PROVISION)));
    }
    return document;
}

static enum ks_status insert_device(struct provisioning_details *details, struct store_txn *txn,
                                    const struct store_tenant *tenant, struct span id,
                                    const struct store_ca *ca, struct ks_failure *why)
{
    const struct store_credential_ref ref = {.type = type_x509,
                                             .auth_id = details->plan.certificate.auth_id};
    const struct provisioning_device device = {
        .id = id,
        .document = make_document(details, ca),
        .credentials = store_credential_refs_encode(&details->scratch, &ref, 1)};
    enum ks_status st = provisioning_register(details, txn, tenant, &device, why);

    json_decref(device.document);
    return st;
}

static enum ks_status put_credential(struct provisioning_details *details, struct store_txn *txn,
                                     uint32_t space, struct span device_id, struct ks_failure *why)
{
    struct span auth_id = details->plan.certificate.auth_id;
    struct store_credential credential = {.flags = 0};
    struct comment comment;
    char secret_id[UUID_TEXT_LEN + 1];
    json_t *stored;
    enum ks_status st;

    comment_make(details, &comment);
    uuid_format(&details->secret_id, secret_id);
    stored = json_pack("{s:s, s:s%, s:b, s:s, s:[{s:s}]}", credential_name(CREDENTIAL_TYPE),
                       type_x509.ptr, credential_name(CREDENTIAL_AUTH_ID), auth_id.ptr, auth_id.len,
                       credential_name(CREDENTIAL_ENABLED), 1, credential_name(CREDENTIAL_COMMENT),
                       comment.text, credential_name(CREDENTIAL_SECRETS), secret_name(SECRET_ID),
                       secret_id);
    if (stored == NULL) {
        return ks_fail(why, KS_INVALID, REASON_BAD_REQUEST, "the auth-id is no UTF-8 text");
    }
    st = credential_document_render(&details->scratch, stored, device_id, &credential, why);
    json_decref(stored);
    return st == KS_OK ? store_credential_put(txn, space, &credential, why) : st;
}

/* Without id and comment of the secret and without its device's: what Hono's adapters read. */
static void answer_created(struct answer *answer, struct span device_id, struct span auth_id)
{
    answer->status = 201;
    answer->provisioning = ANSWER_PROVISIONED;
    answer->max_age_s = ANSWER_NO_CACHE;
    buf_add_cstr(&answer->body, "{\"device-id\":");
    buf_add_json(&answer->body, device_id);
    buf_add_cstr(&answer->body, ",\"type\":");
    buf_add_json(&answer->body, type_x509);
    buf_add_cstr(&answer->body, ",\"auth-id\":");
    buf_add_json(&answer->body, auth_id);
    buf_add_cstr(&answer->body, ",\"enabled\":true,\"secrets\":[{}]}");
}

/* ---- the kind ---- */

static enum ks_status provision(struct provisioning_details *details, struct store_txn *txn,
                                const struct store_tenant *tenant, const struct store_ca *ca,
                                struct answer *answer, struct ks_failure *why)
{
    uint32_t space = tenant->space;
    struct span id = span_of(NULL, 0);
    enum ks_status st = confirm_limits(details, txn, tenant, why);

    if (st == KS_OK) {
        st = choose_id(details, txn, space, ca, &id, why);
    }
    if (st == KS_OK) {
        st = insert_device(details, txn, tenant, id, ca, why);
    }
    if (st == KS_OK) {
        st = put_credential(details, txn, space, id, why);
    }
    if (st == KS_OK) {
        answer_created(answer, id, details->plan.certificate.auth_id);
    }
    return st;
}

static enum ks_status run(struct provisioning_details *details, struct store_txn *txn,
                          const struct store_tenant *tenant, struct answer *answer,
                          struct ks_failure *why)
{
    const struct provisioning_certificate *certificate = &details->plan.certificate;
    struct store_credential found = {.flags = 0};
    struct store_ca ca = {.flags = 0};
    enum ks_status st = confirm_ca(details, tenant, &ca, why);

    if (st != KS_OK) {
        return st;
    }
    st = store_credential_get(txn, tenant->space, type_x509, certificate->auth_id, &found, why);
    if (st == KS_NOT_FOUND) {
        return provision(details, txn, tenant, &ca, answer, why);
    }
    if (st == KS_OK) { /* somebody was faster: what is there is the answer */
        credential_answer(details->service, &found, certificate->context,
                          provisioning_now_ms(details), answer);
    }
    return st;
}

static void keep(struct provisioning_plan *plan, struct arena *arena)
{
    struct provisioning_certificate *certificate = &plan->certificate;

    certificate->auth_id = arena_span(arena, certificate->auth_id);
    certificate->context = arena_span(arena, certificate->context);
    certificate->subject.dn = arena_span(arena, certificate->subject.dn);
    certificate->subject.der = arena_span(arena, certificate->subject.der);
}

const struct provisioning_kind provisioning_by_certificate = {
    .counter = COUNTER_PROVISIONED, .keep = keep, .run = run, .refuse = credential_refuse};
