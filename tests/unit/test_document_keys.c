/*
 * The public keys that trusted CAs and raw public keys may have, by algorithm; CAs of odd
 * certificates.
 */
#include "support/test.h"

#include <string.h>

#include <openssl/x509.h>

#include "base/base64.h"
#include "base/buf.h"
#include "service/credential_read.h"
#include "service/tenant_document.h"
#include "support/documents.h"

enum { MAX_COST = 10 };

/* Public keys of nobody, as SubjectPublicKeyInfo. */
#define RSA                                                                                        \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC0LGZunG1942+ev/eUNEJwZvU5UtGELeh9XDUC"                 \
    "Q5gO4ALm+rbVPoU+efhkBDET5jnE25hzWZyjPPd25h8hq8LuSV1LD5rp9xdREZbVfoVVKavu9ZVB"                 \
    "F45oPZv3AXM3JUrwx3WnnX0R5dh9nW/aRPE5ehsEtbzm7Kf6NXxC8BKVxwIDAQAB"
#define EC                                                                                         \
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEe0lRJglVyqlAFKq8rBtLmo94wFxLkF31l0NLgsF5RQ0h"                 \
    "KbN6lLcQUTNwxXZ9b1itVU2V+av1Kf0GSZNesxJ65VKxQxFw/5aBGacHeIzgx4J3l37Ut/81LzYN"                 \
    "775dNEmr"
#define ED25519 "MCowBQYDK2VwAyEAihjMtAmffi+nq1SuGraKtofR8Lw5i4UwnKGFpVcVbfk="
#define ED448                                                                                      \
    "MEMwBQYDK2VxAzoAEdhBCUqZgdVkAB+Kjd9ht19nfHOVD1DnyK7spyhXuxLeKRpiH5zYDCR8KAyj"                 \
    "iO+RoEq3i0XstQCA"
#define DSA                                                                                        \
    "MIIBvjCCATMGByqGSM44BAEwggEmAoGBAPwz8Ky2j64Ibz9lnIY6H39qEXQXwZqFy326bk08ijFu"                 \
    "aGTYoPejLxibubRvytwnVr5qH4OCn34195Yda9mVX6KMurZHuyGKM6g4dI74tklrj8PoYj81iNu5"                 \
    "Rv9e9IxNNLfvJ9jhmStnmLCpow32/zawSE4CU7e2cA2x1XwCpobhAh0Anboz1P5qyXXLDgrrj/r0"                 \
    "mj8VySdH3b7Wt5GJvQKBgBACA0WAY/bovJgnx1XzmDwJBW8a7bE3XU680MNDXMiw0N1wp3MphkDi"                 \
    "EvlWBQZwdpmGmr5quWVvZkkZmlpmFhb9Lg7rmi/eqAC6oAUrqpQy0TgNbeFACP7RvL6DhEDlCnZZ"                 \
    "0U9UhuqHhIjinpoaELHXVfF3pKevJUEPNCd24tKTA4GEAAKBgAqxCubBq+gpH7kooydU+oTkWRij"                 \
    "0Q0JmAWth9tjS+2ojHNiuz0vyYcwPW1oDCG9O0zkD/8yg2E3Hy1st0t7btx+qjANEy9UGKVYCxnP"                 \
    "OgPI6voT+zC29k5Fga1J1FWyMycq0HrIhpIgmyybKFZZDH3k8h9wxJoyE9MqChKY373S"
#define X25519 "MCowBQYDK2VuAyEAtgq5H2quhX8Hi2u1DmqbrlvjQmqfhbAqnfpS2O67NFo="
#define WEAK                                                                                       \
    "MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhALmyczbWxo3hRksGvTo7zpHMJrNHFUY9d5O1NEqiYyt/"                 \
    "ro4ViGhvVlaW76uuWP/gCYh3rXR0HZfSz4RVTA8Gip3R+h9/axHwR9DeXZ3na31zZfqaaU8ig8EX"                 \
    "ZSlmCJi3zQIDAQAB"

struct key_case {
    const char *key;
    const char *algorithm;
    bool fits;
};

static const struct key_case cases[] = {
    {RSA, "RSA", true},
    {RSA, "rsa", true},
    {RSA, "EC", false},
    {RSA, "", false},
    {RSA, " ", false},
    {RSA, "RSA ", false},
    {RSA, "1.2.840.113549.1.1.1", false},
    {RSA, "RSASSA-PSS", false},
    {WEAK, "RSA", false},
    {EC, "EC", true},
    {EC, "eC", true},
    {EC, "ECDSA", false},
    {EC, "RSA", false},
    {ED25519, "EdDSA", true},
    {ED25519, "ed25519", true},
    {ED25519, "Ed448", false},
    {ED448, "EDDSA", true},
    {ED448, "Ed25519", false},
    {DSA, "DSA", true},
    {DSA, "dsa", true},
    {X25519, "X25519", false},
    {X25519, "EdDSA", false},
    {"AAAA", "RSA", false},
    {"", "RSA", false},
};

static json_t *read_tree(documents_reader *read, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    struct ks_failure why = {0};
    json_t *document = NULL;
    enum ks_status st = read(span_cstr(text), &document, &why);

    assert_int_equal(st, document != NULL ? KS_OK : KS_INVALID);
    free(text);
    json_decref(body);
    return document;
}

static enum ks_status read_set(struct span body, json_t **out, struct ks_failure *why)
{
    return credential_read_set(body, MAX_COST, out, why);
}

/* NULL: refused. */
static json_t *read_ca(const char *key, const char *algorithm)
{
    return read_tree(tenant_document_read,
                     json_pack("{s:[{s:s, s:s*, s:s, s:s, s:s}]}", "trusted-ca", "public-key", key,
                               "algorithm", algorithm, "subject-dn", "CN=a", "not-before",
                               "2026-01-01T00:00:00Z", "not-after", "2026-01-01T00:00:00Z"));
}

static json_t *read_rpk(const char *key, const char *algorithm)
{
    return read_tree(read_set, json_pack("[{s:s, s:s, s:[{s:s, s:s*}]}]", "type", "rpk", "auth-id",
                                         "a", "secrets", "key", key, "algorithm", algorithm));
}

static const char *algorithm_in(const json_t *list)
{
    return json_string_value(json_object_get(json_array_get(list, 0), "algorithm"));
}

static void keys_fit_their_algorithm(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *ca = read_ca(cases[i].key, cases[i].algorithm);
        json_t *rpk = read_rpk(cases[i].key, cases[i].algorithm);

        if ((ca != NULL) != cases[i].fits || (rpk != NULL) != cases[i].fits) {
            fail_msg("%s, %.40s…", cases[i].algorithm, cases[i].key);
        }
        if (cases[i].fits) { /* kept as it was typed */
            assert_string_equal(algorithm_in(json_object_get(ca, "trusted-ca")),
                                cases[i].algorithm);
            assert_string_equal(algorithm_in(json_object_get(json_array_get(rpk, 0), "secrets")),
                                cases[i].algorithm);
        }
        json_decref(ca);
        json_decref(rpk);
    }
}

/* For a CA; a raw public key names its own. */
static void an_algorithm_that_is_not_given_is_rsa_and_not_shown(void **state)
{
    json_t *ca = read_ca(RSA, NULL);

    (void)state;
    assert_non_null(ca);
    assert_null(algorithm_in(json_object_get(ca, "trusted-ca")));
    json_decref(ca);
    assert_null(read_ca(EC, NULL));
    assert_null(read_rpk(RSA, NULL));
}

static void a_byte_behind_a_key_does_not_matter(void **state)
{
    unsigned char der[BASE64_DECODED_MAX(sizeof(RSA))];
    size_t len = 0;
    struct buf text = {0};
    json_t *ca;

    (void)state;
    assert_true(base64_decode(SPAN(RSA), der, &len));
    der[len] = 0;
    base64_encode(&text, der, len + 1);
    buf_add_char(&text, '\0');
    ca = read_ca(text.ptr, "RSA");
    assert_non_null(ca);
    json_decref(ca);
    buf_done(&text);
}

/* ---- certificates ---- */

/* A certificate without a subject, signed by itself, as DER. */
static int make_nameless(unsigned char **der)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    int len;

    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), 1795514400));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), 1795514401));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    len = i2d_X509(cert, der);
    assert_true(len > 0);
    X509_free(cert);
    EVP_PKEY_free(key);
    return len;
}

static void a_ca_may_have_no_name_and_a_device_must(void **state)
{
    unsigned char *der = NULL;
    int len = make_nameless(&der);
    struct buf text = {0};
    json_t *tenant;

    (void)state;
    base64_encode(&text, der, (size_t)len);
    buf_add_char(&text, '\0');
    OPENSSL_free(der);
    tenant =
        read_tree(tenant_document_read, json_pack("{s:[{s:s}]}", "trusted-ca", "cert", text.ptr));
    assert_non_null(tenant);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(tenant, "trusted-ca"), 0),
                                          "subject-dn")),
        "");
    json_decref(tenant);
    assert_null(
        read_tree(read_set, json_pack("[{s:s, s:s}]", "type", "x509-cert", "cert", text.ptr)));
    buf_done(&text);
}

/* PEM text, in Base64 again, and what follows the first certificate. */
static void add_pem(struct buf *out)
{
    struct span cert = documents_fill("@CERT@");
    struct buf pem = {0};

    buf_add_cstr(&pem, "-----BEGIN CERTIFICATE-----\n");
    for (size_t i = 0; i < cert.len; i += 64) {
        buf_add(&pem, cert.ptr + i, cert.len - i < 64 ? cert.len - i : 64);
        buf_add_char(&pem, '\n');
    }
    buf_add_cstr(&pem, "-----END CERTIFICATE-----\nand more\n");
    base64_encode(out, pem.ptr, pem.len);
    buf_add_char(out, '\0');
    buf_done(&pem);
}

static void certificates_of_devices_may_be_pem(void **state)
{
    struct buf text = {0};
    json_t *set;

    (void)state;
    add_pem(&text);
    set = read_tree(read_set, json_pack("[{s:s, s:s}, {s:s, s:s, s:[{s:s}]}]", "type", "x509-cert",
                                        "cert", text.ptr, "type", "rpk", "auth-id", "a", "secrets",
                                        "cert", text.ptr));
    assert_non_null(set);
    assert_string_equal(json_string_value(json_object_get(json_array_get(set, 0), "auth-id")),
                        "CN=Leaf,O=Test");
    assert_string_equal(algorithm_in(json_object_get(json_array_get(set, 1), "secrets")), "EC");
    json_decref(set);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_fit_their_algorithm),
        cmocka_unit_test(an_algorithm_that_is_not_given_is_rsa_and_not_shown),
        cmocka_unit_test(a_byte_behind_a_key_does_not_matter),
        cmocka_unit_test(a_ca_may_have_no_name_and_a_device_must),
        cmocka_unit_test(certificates_of_devices_may_be_pem),
    };
    int failed;

    documents_begin();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    documents_end();
    return failed;
}
