/*
 * Certificates and public keys. A certificate that is read straight from DER must be one for
 * OpenSSL, too, and the same in every field; written again by OpenSSL, it is the same bytes.
 * Whether it is signed with its own key is what OpenSSL says, but for digests that are no good.
 *
 * Covers: certs/leaf.c certs/certificate.c certs/signature.c certs/der.c
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "certs/certificate.h"
#include "certs/dn.h"
#include "certs/leaf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* What OpenSSL writes is freed here. */
static bool is_written(struct span bytes, unsigned char *der, int len)
{
    bool same = len >= 0 && span_eq(bytes, span_of(der, (size_t)len));

    OPENSSL_free(der);
    return same;
}

#define IS_WRITTEN(bytes, i2d, value)                                                              \
    do {                                                                                           \
        unsigned char *der = NULL;                                                                 \
        int len = i2d(value, &der);                                                                \
        expect(is_written(bytes, der, len));                                                       \
    } while (0)

static void expect_name(struct span text, const X509_NAME *name)
{
    unsigned char *der = NULL;
    int len = i2d_X509_NAME(name, &der);
    struct buf out;

    buf_init(&out, 0);
    expect(len > 0 && dn_from_der(span_of(der, (size_t)len), &out, NULL) == KS_OK &&
           span_eq(buf_span(&out), text));
    buf_done(&out);
    OPENSSL_free(der);
}

static void expect_time(int64_t ms, const ASN1_TIME *time)
{
    struct tm tm;

    expect(ASN1_TIME_to_tm(time, &tm) == 1 && (int64_t)timegm(&tm) * 1000 == ms);
}

static void expect_authority_key_id(struct span id, const X509 *cert)
{
    AUTHORITY_KEYID *aki = X509_get_ext_d2i(cert, NID_authority_key_identifier, NULL, NULL);
    const ASN1_OCTET_STRING *other = aki == NULL ? NULL : aki->keyid;

    expect(other == NULL ? id.len == 0
                         : span_eq(id, span_of(ASN1_STRING_get0_data(other),
                                               (size_t)ASN1_STRING_length(other))));
    AUTHORITY_KEYID_free(aki);
}

static void expect_same(const struct leaf *leaf, X509 *cert)
{
    const ASN1_BIT_STRING *signature;
    const X509_ALGOR *algorithm;

    X509_get0_signature(&signature, &algorithm, cert);
    IS_WRITTEN(leaf->der, i2d_X509, cert);
    IS_WRITTEN(leaf->parts.algorithm, i2d_X509_ALGOR, algorithm);
    IS_WRITTEN(leaf->parts.algorithm, i2d_X509_ALGOR, X509_get0_tbs_sigalg(cert));
    IS_WRITTEN(leaf->parts.signature, i2d_ASN1_BIT_STRING, signature);
    expect_name(leaf->issuer_dn, X509_get_issuer_name(cert));
    expect_name(leaf->subject_dn, X509_get_subject_name(cert));
    IS_WRITTEN(leaf->subject_der, i2d_X509_NAME, X509_get_subject_name(cert));
    expect_time(leaf->not_before_ms, X509_get0_notBefore(cert));
    expect_time(leaf->not_after_ms, X509_get0_notAfter(cert));
    expect_authority_key_id(leaf->authority_key_id, cert);
}

static bool has_weak_digest(const X509 *cert)
{
    int digest = NID_undef;

    (void)OBJ_find_sigid_algs(X509_get_signature_nid(cert), &digest, NULL);
    return digest == NID_md5 || digest == NID_md4 || digest == NID_md2;
}

static void expect_verdict(const struct leaf *leaf, X509 *cert, struct span public_key)
{
    EVP_PKEY *key = public_key_decode(public_key);

    if (key != NULL) {
        bool ours = signature_verify(&leaf->parts, key, NULL) == KS_OK;

        expect(ours == (X509_verify(cert, key) == 1 && !has_weak_digest(cert)));
    }
    public_key_free(key);
}

/* What was read without OpenSSL, beside what OpenSSL reads. */
static void compare(const struct leaf *leaf, struct span bytes, struct arena *arena)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    X509 *cert = d2i_X509(NULL, &p, (long)bytes.len);
    struct certificate whole;

    expect(cert != NULL);
    expect_same(leaf, cert);
    if (certificate_parse(bytes, arena, &whole, NULL) == KS_OK) {
        expect(span_eq(whole.der, leaf->der) && sha256_eq(&whole.fingerprint, &leaf->fingerprint));
        expect_verdict(leaf, cert, whole.public_key);
    } else { /* a key of known form that is none: nobody could have shown this certificate */
        expect(X509_get0_pubkey(cert) == NULL);
    }
    IS_WRITTEN(leaf->parts.tbs, i2d_re_X509_tbs, cert);
    X509_free(cert);
    ERR_clear_error();
}

static void try_key(struct span bytes)
{
    static const struct span algorithms[] = {
        {.ptr = "", .len = 0},      {.ptr = "RSA", .len = 3}, {.ptr = "ec", .len = 2},
        {.ptr = "EdDSA", .len = 5}, {.ptr = "DSA", .len = 3}, {.ptr = "Ed25519", .len = 7}};
    uint8_t id[20];

    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        if (public_key_check(bytes, algorithms[i], NULL) == KS_OK) {
            expect(public_key_id(bytes, id));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = span_of(data, size);
    struct certificate whole;
    struct leaf plain;
    struct leaf leaf;
    struct arena arena;

    arena_init(&arena);
    if (leaf_read_plain(bytes, &arena, &plain)) {
        compare(&plain, bytes, &arena);
    }
    if (leaf_read(bytes, &arena, &leaf, NULL) == KS_OK &&
        certificate_parse(bytes, &arena, &whole, NULL) == KS_OK) {
        EVP_PKEY *key = public_key_decode(whole.public_key);

        expect(span_eq(whole.subject_dn, leaf.subject_dn) &&
               span_eq(whole.issuer_dn, leaf.issuer_dn) &&
               whole.not_before_ms == leaf.not_before_ms &&
               whole.not_after_ms == leaf.not_after_ms);
        (void)!signature_verify(&leaf.parts, key, NULL);
        public_key_free(key);
        try_key(whole.public_key);
    }
    try_key(bytes);
    arena_done(&arena);
    return 0;
}
