#include "service/trust.h"

#include "base/base64.h"
#include "base/buf.h"
#include "certs/certificate.h"
#include "certs/dn.h"
#include "certs/key_cache.h"
#include "service/digest_cache.h"
#include "service/reasons.h"

enum {
    /* Base64 of PEM, which is Base64 again, of the largest certificate, with room for its lines. */
    CERTIFICATE_TEXT_MAX = CERTIFICATE_DER_MAX * 2,
    KEY_ID_LEN = 20,
};

enum ks_status trust_decode(struct span text, struct arena *arena, struct leaf *leaf,
                            struct ks_failure *why)
{
    unsigned char *bytes;
    size_t len = 0;

    if (text.len == 0 || text.len > CERTIFICATE_TEXT_MAX) {
        return ks_fail(why, KS_INVALID, REASON_NOT_A_CERTIFICATE,
                       "client-certificate is empty or too large");
    }
    bytes = arena_alloc(arena, BASE64_DECODED_MAX(text.len));
    if (!base64_decode(text, bytes, &len)) {
        return ks_fail(why, KS_INVALID, REASON_NOT_A_CERTIFICATE,
                       "client-certificate is no Base64 text (RFC 4648 section 4)");
    }
    return leaf_read(span_of(bytes, len), arena, leaf, why);
}

static bool key_is_named(const struct leaf *leaf, const struct store_ca *ca)
{
    uint8_t id[KEY_ID_LEN];

    return leaf->authority_key_id.len == sizeof(id) && public_key_id(ca->public_key, id) &&
           span_eq(leaf->authority_key_id, span_of(id, sizeof(id)));
}

static bool may_have_issued(const struct store_ca *ca, const struct leaf *leaf, int64_t now_ms)
{
    return span_eq(ca->subject_dn, leaf->issuer_dn) && ca->not_before_ms <= now_ms &&
           now_ms <= ca->not_after_ms;
}

/* Adds the issuers whose key is, or is not, the one that the certificate names. */
static void add_issuers(const struct store_tenant *tenant, const struct leaf *leaf, int64_t now_ms,
                        bool named, struct trust_issuers *out)
{
    struct store_ca ca;
    size_t offset = 0;

    while (store_cas_next(tenant->cas, &offset, &ca)) {
        if (!may_have_issued(&ca, leaf, now_ms) || key_is_named(leaf, &ca) != named) {
            continue;
        }
        if ((ca.flags & STORE_CA_AUTO_PROVISIONING) != 0 && !out->provisions) {
            out->provisions = true;
            out->provisioner = ca;
        }
        if (out->count < TRUST_CAS_TRIED) {
            out->ca[out->count++] = ca;
        }
    }
}

enum ks_status trust_find_issuers(const struct store_tenant *tenant, const struct leaf *leaf,
                                  int64_t now_ms, struct trust_issuers *out, struct ks_failure *why)
{
    out->count = 0;
    out->provisions = false;
    add_issuers(tenant, leaf, now_ms, true, out);
    add_issuers(tenant, leaf, now_ms, false, out);
    if (out->count == 0) {
        return ks_fail(why, KS_NOT_FOUND, REASON_NO_TRUSTED_CA,
                       "the tenant has no trusted CA with the certificate's issuer \"%.*s\" that "
                       "is valid now",
                       SPAN_ARG(leaf->issuer_dn));
    }
    return KS_OK;
}

static bool signed_by(const struct trust_memory *memory, const struct leaf *leaf,
                      const struct store_ca *ca)
{
    struct sha256 verdict =
        sha256_of_pair(span_of(leaf->fingerprint.bytes, sizeof(leaf->fingerprint.bytes)),
                       span_of(ca->key_hash, sizeof(ca->key_hash)));

    if (digest_cache_has(memory->verdicts, &verdict)) {
        return true;
    }
    if (signature_verify(&leaf->parts, key_cache_get(memory->keys, ca->public_key, ca->key_hash),
                         NULL) != KS_OK) {
        return false;
    }
    digest_cache_add(memory->verdicts, &verdict);
    return true;
}

enum ks_status trust_find_signer(const struct trust_memory *memory, const struct leaf *leaf,
                                 const struct trust_issuers *issuers,
                                 const struct store_ca **signer, struct ks_failure *why)
{
    for (size_t i = 0; i < issuers->count; i++) {
        if (signed_by(memory, leaf, &issuers->ca[i])) {
            *signer = &issuers->ca[i];
            return KS_OK;
        }
    }
    return ks_fail(why, KS_NOT_FOUND, REASON_BAD_SIGNATURE,
                   "the certificate is not signed by the key of a trusted CA \"%.*s\"",
                   SPAN_ARG(leaf->issuer_dn));
}

enum ks_status trust_check_validity(int64_t not_before_ms, int64_t not_after_ms, int64_t now_ms,
                                    struct ks_failure *why)
{
    if (now_ms < not_before_ms) {
        return ks_fail(why, KS_NOT_FOUND, REASON_NOT_YET_VALID, "the certificate is not valid yet");
    }
    if (now_ms > not_after_ms) {
        return ks_fail(why, KS_NOT_FOUND, REASON_EXPIRED, "the certificate has expired");
    }
    return KS_OK;
}

enum ks_status trust_check_normal(struct span auth_id, struct ks_failure *why)
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

static enum ks_status check_filled(struct span template, const struct identity_subject *subject,
                                   struct span auth_id, struct ks_failure *why)
{
    struct buf expected;
    enum ks_status st;

    buf_init(&expected, STORE_NAME_MAX);
    st = identity_template_fill(template, subject, &expected, why);
    if (st == KS_OK && (expected.overflow || !span_eq(buf_span(&expected), auth_id))) {
        st = ks_fail(why, KS_NOT_FOUND, REASON_SUBJECT_MISMATCH,
                     "the auth-id is not what the CA's auth-id-template gives: \"%.*s\"",
                     SPAN_ARG(buf_span(&expected)));
    }
    buf_done(&expected);
    return st == KS_OK ? trust_check_normal(auth_id, why) : st;
}

enum ks_status trust_check_auth_id(const struct store_ca *ca,
                                   const struct identity_subject *subject, struct span auth_id,
                                   struct ks_failure *why)
{
    if (ca->auth_id_template.len > 0) {
        return check_filled(ca->auth_id_template, subject, auth_id, why);
    }
    if (!span_eq(subject->dn, auth_id)) {
        return ks_fail(why, KS_NOT_FOUND, REASON_SUBJECT_MISMATCH,
                       "the certificate's subject \"%.*s\" is not the auth-id",
                       SPAN_ARG(subject->dn));
    }
    return KS_OK;
}

enum ks_status trust_check_leaf(const struct leaf *leaf, const struct store_ca *ca,
                                struct span auth_id, int64_t now_ms, struct ks_failure *why)
{
    const struct identity_subject subject = trust_subject_of(leaf);
    enum ks_status st = trust_check_validity(leaf->not_before_ms, leaf->not_after_ms, now_ms, why);

    return st == KS_OK ? trust_check_auth_id(ca, &subject, auth_id, why) : st;
}
