#include "certs/signature.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "certs/der.h"

bool signed_parts_find(struct span der, struct signed_parts *out)
{
    struct der_value certificate;
    struct der_value tbs;
    struct der_value algorithm;
    struct der_value signature;
    struct der_value skipped;
    struct der_value again;

    if (!der_next(&der, &certificate) || certificate.tag != DER_SEQUENCE ||
        !der_next(&certificate.content, &tbs) || tbs.tag != DER_SEQUENCE ||
        !der_next(&certificate.content, &algorithm) || algorithm.tag != DER_SEQUENCE ||
        !der_next(&certificate.content, &signature) || signature.tag != DER_BIT_STRING ||
        certificate.content.len > 0) {
        return false;
    }
    *out = (struct signed_parts){
        .tbs = tbs.whole, .algorithm = algorithm.whole, .signature = signature.whole};
    if (der_starts_with(tbs.content, DER_VERSION)) {
        (void)der_next(&tbs.content, &skipped);
    }
    return der_next(&tbs.content, &skipped) && skipped.tag == DER_INTEGER &&
           der_next(&tbs.content, &again) && span_eq(again.whole, algorithm.whole);
}

/* MD5 and older: anyone can make two certificates with one signature. */
static bool digest_is_fine(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *oid = NULL;
    int digest = NID_undef;

    X509_ALGOR_get0(&oid, NULL, NULL, algorithm);
    (void)OBJ_find_sigid_algs(OBJ_obj2nid(oid), &digest, NULL);
    return digest != NID_md5 && digest != NID_md4 && digest != NID_md2;
}

/* As X509_verify does it, but with the bytes at hand instead of a decoded certificate. */
static bool is_signed(const struct signed_parts *parts, EVP_PKEY *key)
{
    const unsigned char *p = (const unsigned char *)parts->algorithm.ptr;
    X509_ALGOR *algorithm = d2i_X509_ALGOR(NULL, &p, (long)parts->algorithm.len);
    ASN1_BIT_STRING *signature;
    ASN1_STRING *tbs = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
    bool ok;

    p = (const unsigned char *)parts->signature.ptr;
    signature = d2i_ASN1_BIT_STRING(NULL, &p, (long)parts->signature.len);
    ok = algorithm != NULL && signature != NULL && tbs != NULL && digest_is_fine(algorithm) &&
         ASN1_STRING_set(tbs, parts->tbs.ptr, (int)parts->tbs.len) == 1 &&
         ASN1_item_verify(ASN1_ITEM_rptr(ASN1_SEQUENCE), algorithm, signature, tbs, key) == 1;
    ASN1_STRING_free(tbs);
    ASN1_BIT_STRING_free(signature);
    X509_ALGOR_free(algorithm);
    return ok;
}

enum ks_status signature_verify(const struct signed_parts *parts, struct evp_pkey_st *key,
                                struct ks_failure *why)
{
    bool ok;

    ERR_clear_error();
    ok = key != NULL && parts->tbs.len > 0 && is_signed(parts, key);
    ERR_clear_error();
    return ok ? KS_OK
              : ks_fail(why, KS_FORBIDDEN, "bad-signature",
                        "the certificate is not signed by the key of its trusted CA");
}
