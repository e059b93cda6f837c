#include "support/test.h"

#include "support/pki.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct pki_key {
    EVP_PKEY *pkey;
};

struct pki_key *pki_key_new(void)
{
    struct pki_key *key = calloc(1, sizeof(*key));

    assert_non_null(key);
    key->pkey = EVP_EC_gen("P-256");
    assert_non_null(key->pkey);
    return key;
}

void pki_key_free(struct pki_key *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        free(key);
    }
}

struct pki_public pki_public_of(const struct pki_key *key)
{
    struct pki_public out = {.len = 0};
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);

    assert_true(len > 0 && (size_t)len <= sizeof(out.bytes));
    memcpy(out.bytes, der, (size_t)len);
    out.len = (size_t)len;
    OPENSSL_free(der);
    return out;
}

static X509_NAME *name_of(const char *cn)
{
    X509_NAME *name = X509_NAME_new();

    assert_non_null(name);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                                (const unsigned char *)"Test", -1, -1, 0),
                     1);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0),
        1);
    return name;
}

struct pki_text pki_name(const char *cn)
{
    struct pki_text out = {.len = 0};
    X509_NAME *name = name_of(cn);
    unsigned char *der = NULL;
    int len = i2d_X509_NAME(name, &der);

    assert_true(len > 0 && (size_t)len <= sizeof(out.text));
    memcpy(out.text, der, (size_t)len);
    out.len = (size_t)len;
    OPENSSL_free(der);
    X509_NAME_free(name);
    return out;
}

static void add_key_id(X509 *cert, const struct pki_key *named)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
    X509_PUBKEY *public_key = NULL;
    const unsigned char *bits;
    int len;

    assert_int_equal(X509_PUBKEY_set(&public_key, named->pkey), 1);
    assert_int_equal(X509_PUBKEY_get0_param(NULL, &bits, &len, NULL, public_key), 1);
    SHA1(bits, (size_t)len, digest);
    aki->keyid = ASN1_OCTET_STRING_new();
    assert_int_equal(ASN1_OCTET_STRING_set(aki->keyid, digest, sizeof(digest)), 1);
    assert_int_equal(
        X509_add1_ext_i2d(cert, NID_authority_key_identifier, aki, 0, X509V3_ADD_DEFAULT), 1);
    AUTHORITY_KEYID_free(aki);
    X509_PUBKEY_free(public_key);
}

struct pki_text pki_certificate(const struct pki_spec *spec)
{
    struct pki_text out = {.len = 0};
    X509 *cert = X509_new();
    X509_NAME *subject = name_of(spec->subject);
    X509_NAME *issuer = name_of(spec->issuer);
    unsigned char *der = NULL;
    uint32_t serial;
    int len;

    assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial), 1);
    assert_int_equal(X509_set_subject_name(cert, subject), 1);
    assert_int_equal(X509_set_issuer_name(cert, issuer), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), spec->from_ms / 1000));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), spec->until_ms / 1000));
    assert_int_equal(X509_set_pubkey(cert, spec->key->pkey), 1);
    if (spec->named != NULL) {
        add_key_id(cert, spec->named);
    }
    assert_true(X509_sign(cert, spec->signer->pkey, EVP_sha256()) > 0);
    len = i2d_X509(cert, &der);
    assert_true(len > 0 && (size_t)len < sizeof(out.text) / 4 * 3 - 3);
    out.len = (size_t)EVP_EncodeBlock((unsigned char *)out.text, der, len);
    OPENSSL_free(der);
    X509_NAME_free(subject);
    X509_NAME_free(issuer);
    X509_free(cert);
    return out;
}
