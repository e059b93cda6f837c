#include "certs/certificate.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "certs/der.h"
#include "certs/dn.h"

enum { RSA_BITS_MIN = 1024, RSA_EXPONENT_BITS_MAX = 64, DSA_BITS_MAX = 3072 };

/* OpenSSL's own words for the failure at hand; its queue is empty afterwards. */
static enum ks_status ssl_fail(struct ks_failure *why, enum ks_status status, const char *reason,
                               const char *what)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    enum ks_status st = ks_fail(why, status, reason, "%s%s%s", what, text != NULL ? ": " : "",
                                text != NULL ? text : "");

    ERR_clear_error();
    return st;
}

/* ---- reading ---- */

static X509 *read_certificate(struct span bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    X509 *cert = d2i_X509(NULL, &p, (long)bytes.len);
    BIO *bio;

    if (cert != NULL) {
        return cert;
    }
    bio = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
    if (bio != NULL) {
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        BIO_free(bio);
    }
    return cert;
}

static struct span take_der(struct arena *arena, unsigned char *der, int len)
{
    struct span copy = span_of(NULL, 0);

    if (len > 0) {
        copy = arena_span(arena, span_of(der, (size_t)len));
    }
    OPENSSL_free(der);
    return copy;
}

static enum ks_status read_name(const X509_NAME *name, struct arena *arena, struct span *text,
                                struct span *der_out, struct ks_failure *why)
{
    unsigned char *bytes = NULL;
    int len = i2d_X509_NAME(name, &bytes);
    struct span der = take_der(arena, bytes, len);
    enum ks_status st;

    if (der.len == 0) {
        return ssl_fail(why, KS_INVALID, "not-a-certificate", "a name cannot be read");
    }
    st = dn_text(der, arena, text, why);
    if (st == KS_OK && der_out != NULL) {
        *der_out = der;
    }
    if (st != KS_OK && why != NULL) {
        why->reason = "not-a-certificate";
    }
    return st;
}

static bool read_time(const ASN1_TIME *time, int64_t *ms)
{
    struct tm tm = {0};

    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1) {
        return false;
    }
    *ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

/* Java's names of key algorithms. */
static const char *algorithm_of(EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return "RSA";
    case EVP_PKEY_RSA_PSS:
        return "RSASSA-PSS";
    case EVP_PKEY_EC:
        return "EC";
    case EVP_PKEY_DSA:
        return "DSA";
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        return "EdDSA";
    default:
        return NULL;
    }
}

static enum ks_status read_key(const X509 *cert, struct arena *arena, struct certificate *out,
                               struct ks_failure *why)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    const char *algorithm = key == NULL ? NULL : algorithm_of(key);
    unsigned char *der = NULL;
    int len;

    if (algorithm == NULL) {
        return ssl_fail(why, KS_INVALID, "not-a-certificate",
                        "the certificate's public key is of no known type");
    }
    len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    out->public_key = take_der(arena, der, len);
    out->algorithm = span_cstr(algorithm);
    return out->public_key.len > 0
               ? KS_OK
               : ssl_fail(why, KS_INVALID, "not-a-certificate", "a public key cannot be read");
}

static void read_authority_key_id(const X509 *cert, struct arena *arena, struct certificate *out)
{
    AUTHORITY_KEYID *aki = X509_get_ext_d2i(cert, NID_authority_key_identifier, NULL, NULL);

    if (aki != NULL && aki->keyid != NULL) {
        out->authority_key_id = arena_span(arena, span_of(ASN1_STRING_get0_data(aki->keyid),
                                                          (size_t)ASN1_STRING_length(aki->keyid)));
    }
    AUTHORITY_KEYID_free(aki);
    ERR_clear_error();
}

static enum ks_status read_fields(const X509 *cert, struct arena *arena, struct certificate *out,
                                  struct ks_failure *why)
{
    unsigned char *der = NULL;
    enum ks_status st;
    int len = i2d_X509(cert, &der);

    out->der = take_der(arena, der, len);
    if (out->der.len == 0 || out->der.len > CERTIFICATE_DER_MAX) {
        return ssl_fail(why, KS_INVALID, "not-a-certificate", "the certificate is too large");
    }
    out->fingerprint = sha256_of(out->der);
    st = read_name(X509_get_subject_name(cert), arena, &out->subject_dn, &out->subject_der, why);
    if (st == KS_OK) {
        st = read_name(X509_get_issuer_name(cert), arena, &out->issuer_dn, NULL, why);
    }
    if (st == KS_OK && (!read_time(X509_get0_notBefore(cert), &out->not_before_ms) ||
                        !read_time(X509_get0_notAfter(cert), &out->not_after_ms))) {
        st = ssl_fail(why, KS_INVALID, "not-a-certificate", "a validity time cannot be read");
    }
    if (st == KS_OK) {
        st = read_key(cert, arena, out, why);
    }
    read_authority_key_id(cert, arena, out);
    return st;
}

enum ks_status certificate_parse(struct span bytes, struct arena *arena, struct certificate *out,
                                 struct ks_failure *why)
{
    struct certificate found = {0};
    enum ks_status st;
    X509 *cert;

    /* PEM is a third larger than DER, and text may stand around it. */
    if (bytes.len == 0 || bytes.len > (size_t)CERTIFICATE_DER_MAX * 2) {
        return ks_fail(why, KS_INVALID, "not-a-certificate",
                       "not a certificate: empty, or larger than %d bytes", CERTIFICATE_DER_MAX);
    }
    ERR_clear_error();
    cert = read_certificate(bytes);
    if (cert == NULL) {
        return ssl_fail(why, KS_INVALID, "not-a-certificate", "not a certificate in DER or PEM");
    }
    ERR_clear_error(); /* what the first try left behind */
    st = read_fields(cert, arena, &found, why);
    X509_free(cert);
    if (st == KS_OK) {
        *out = found;
    }
    return st;
}

/* ---- keys ---- */

static EVP_PKEY *read_public_key(struct span der)
{
    const unsigned char *p = (const unsigned char *)der.ptr;

    return der.len == 0 ? NULL : d2i_PUBKEY(NULL, &p, (long)der.len);
}

/* Nobody needs more than 65537; a long one makes each verification cost milliseconds. */
static bool exponent_is_fine(EVP_PKEY *key)
{
    BIGNUM *e = NULL;
    bool fine = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
                BN_num_bits(e) <= RSA_EXPONENT_BITS_MAX;

    BN_free(e);
    return fine;
}

/* Verifying with a huge key takes seconds: sizes are checked before any use. */
static bool size_is_fine(EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);
    int type = EVP_PKEY_get_base_id(key);

    if (type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS) {
        return bits >= RSA_BITS_MIN && bits <= CERTIFICATE_RSA_BITS_MAX && exponent_is_fine(key);
    }
    return type != EVP_PKEY_DSA || (bits >= RSA_BITS_MIN && bits <= DSA_BITS_MAX);
}

struct evp_pkey_st *public_key_decode(struct span public_key)
{
    EVP_PKEY *key;

    ERR_clear_error();
    key = read_public_key(public_key);
    if (key != NULL && !size_is_fine(key)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

void public_key_free(struct evp_pkey_st *key)
{
    EVP_PKEY_free(key);
}

static bool same_word(struct span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.ptr, word, text.len) == 0;
}

enum ks_status public_key_check(struct span public_key, struct span algorithm,
                                struct ks_failure *why)
{
    const char *found;
    EVP_PKEY *key;
    bool fits;
    bool fine;

    ERR_clear_error();
    key = read_public_key(public_key);
    if (key == NULL) {
        return ssl_fail(why, KS_INVALID, NULL, "not a DER-encoded public key");
    }
    found = algorithm_of(key);
    fits = found != NULL &&
           (algorithm.len == 0 ? strcmp(found, "RSA") == 0 : same_word(algorithm, found));
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 && same_word(algorithm, "Ed25519")) {
        fits = true;
    }
    fine = size_is_fine(key);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!fits) {
        return ks_fail(why, KS_INVALID, NULL, "the public key is of type %s, not %.*s",
                       found != NULL ? found : "unknown",
                       algorithm.len == 0 ? 3 : (int)algorithm.len,
                       algorithm.len == 0 ? "RSA" : algorithm.ptr);
    }
    return fine ? KS_OK
                : ks_fail(why, KS_INVALID, NULL,
                          "the public key must have %d to %d bits (DSA: %d), and an exponent of at "
                          "most %d bits",
                          RSA_BITS_MIN, CERTIFICATE_RSA_BITS_MAX, DSA_BITS_MAX,
                          RSA_EXPONENT_BITS_MAX);
}

bool public_key_id(struct span public_key, uint8_t out[20])
{
    struct der_value info;
    struct der_value algorithm;
    struct der_value bits;
    unsigned out_len = 0;

    /* The bits stand behind a byte that says how many of the last do not count. */
    return der_next(&public_key, &info) && info.tag == DER_SEQUENCE &&
           der_next(&info.content, &algorithm) && algorithm.tag == DER_SEQUENCE &&
           der_next(&info.content, &bits) && bits.tag == DER_BIT_STRING && bits.content.len > 1 &&
           EVP_Digest(bits.content.ptr + 1, bits.content.len - 1, out, &out_len, EVP_sha1(),
                      NULL) == 1 &&
           out_len == 20;
}
