/* What is read of a device's certificate, beside what OpenSSL reads of it. */
#include "support/test.h"

#include "support/pki.h"

#include <string.h>

#include <openssl/x509v3.h>

#include "base/base64.h"
#include "certs/certificate.h"
#include "certs/leaf.h"

#define FROM  INT64_C(1700000000000)
#define UNTIL INT64_C(2600000000000) /* 2052: the other form of a time */

static struct pki_key *ca_key;
static struct pki_key *device_key;
static struct arena arena;
static unsigned char der[4096];
static size_t der_len;

static int set_up(void **state)
{
    struct pki_text text;

    (void)state;
    ca_key = pki_key_new();
    device_key = pki_key_new();
    arena_init(&arena);
    text = pki_certificate(&(struct pki_spec){.subject = "dev",
                                              .issuer = "CA",
                                              .key = device_key,
                                              .signer = ca_key,
                                              .named = ca_key,
                                              .from_ms = FROM,
                                              .until_ms = UNTIL});
    assert_true(base64_decode(pki_span(&text), der, &der_len));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_done(&arena);
    pki_key_free(ca_key);
    pki_key_free(device_key);
    return 0;
}

static struct span certificate(void)
{
    return span_of(der, der_len);
}

/* Puts other bytes of the same length in the place of the last ones that are like this. */
static void change(struct span from, struct span to)
{
    unsigned char *at = NULL;
    unsigned char *next = der;

    assert_int_equal(from.len, to.len);
    while ((next = memmem(next, (size_t)(der + der_len - next), from.ptr, from.len)) != NULL) {
        at = next++;
    }
    assert_non_null(at);
    memcpy(at, to.ptr, to.len);
}

static bool is_signed_by(const struct leaf *leaf, const struct pki_key *signer)
{
    struct pki_public public_key = pki_public_of(signer);
    struct evp_pkey_st *key = public_key_decode(span_of(public_key.bytes, public_key.len));
    bool is = signature_verify(&leaf->parts, key, NULL) == KS_OK;

    public_key_free(key);
    return is;
}

static void assert_same(const struct leaf *leaf)
{
    struct certificate whole;

    assert_ok(certificate_parse(certificate(), &arena, &whole, why));
    assert_true(span_eq(leaf->der, whole.der));
    assert_true(span_eq(leaf->subject_dn, whole.subject_dn));
    assert_true(span_eq(leaf->issuer_dn, whole.issuer_dn));
    assert_true(span_eq(leaf->subject_der, whole.subject_der));
    assert_true(span_eq(leaf->authority_key_id, whole.authority_key_id));
    assert_true(sha256_eq(&leaf->fingerprint, &whole.fingerprint));
    assert_int_equal(leaf->not_before_ms, whole.not_before_ms);
    assert_int_equal(leaf->not_after_ms, whole.not_after_ms);
}

static void fields_are_what_openssl_reads(void **state)
{
    struct leaf leaf;

    (void)state;
    assert_true(leaf_read_plain(certificate(), &arena, &leaf));
    assert_span(leaf.subject_dn, "CN=dev,O=Test");
    assert_span(leaf.issuer_dn, "CN=CA,O=Test");
    assert_int_equal(leaf.authority_key_id.len, 20);
    assert_int_equal(leaf.not_before_ms, FROM);
    assert_int_equal(leaf.not_after_ms, UNTIL);
    assert_same(&leaf);
    assert_true(is_signed_by(&leaf, ca_key));
    assert_false(is_signed_by(&leaf, device_key));
}

static void bytes_behind_it_are_ignored(void **state)
{
    struct leaf leaf;

    (void)state;
    memcpy(der + der_len, "more", 4);
    assert_true(leaf_read_plain(span_of(der, der_len + 4), &arena, &leaf));
    assert_same(&leaf);
}

static void a_cut_one_is_none(void **state)
{
    struct leaf leaf;

    (void)state;
    for (size_t n = 0; n < der_len; n++) {
        assert_false(leaf_read_plain(span_of(der, n), &arena, &leaf));
        assert_int_equal(leaf_read(span_of(der, n), &arena, &leaf, NULL), KS_INVALID);
    }
}

#define DIGEST_384 "\x2A\x86\x48\xCE\x3D\x04\x03\x03"
#define DIGEST_256 "\x2A\x86\x48\xCE\x3D\x04\x03\x02"

static void what_is_not_plain_is_for_openssl(void **state)
{
    const struct {
        const char *what;
        struct span from;
        struct span to;
        bool taken; /* by OpenSSL */
    } cases[] = {
        {"version 2", SPAN("\xA0\x03\x02\x01\x02"), SPAN("\xA0\x03\x02\x01\x01"), true},
        {"a version that is not the only one", SPAN("\xA0\x03\x02\x01\x02"),
         SPAN("\xA1\x03\x02\x01\x02"), false},
        {"a string of digits", SPAN("\x0C\x04Test"), SPAN("\x12\x04Test"), true},
        {"no UTF-8", SPAN("\x0C\x04Test"), SPAN("\x0C\x04T\xFFst"), false},
        {"an attribute without a type", SPAN("\x06\x03\x55\x04\x0A"), SPAN("\x06\x03\x55\x04\x8A"),
         false},
        {"a set that is a sequence", SPAN("\x31\x0D\x30\x0B\x06"), SPAN("\x30\x0D\x30\x0B\x06"),
         false},
        {"no such month", SPAN("\x17\x0D\x32\x33\x31\x31"), SPAN("\x17\x0D\x32\x33\x31\x33"),
         false},
        {"a time without its zone", SPAN("Z\x18\x0F"), SPAN("0\x18\x0F"), false},
        {"a key of another curve", SPAN("\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07"),
         SPAN("\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x06"), false},
        {"a point that is none", SPAN("\x03\x42\x00\x04"), SPAN("\x03\x42\x00\x05"), false},
        {"an extension that is no octets", SPAN("\x06\x03\x55\x1D\x23\x04"),
         SPAN("\x06\x03\x55\x1D\x23\x05"), false},
        {"no extensions but something else", SPAN("\xA3\x23\x30\x21"), SPAN("\xA4\x23\x30\x21"),
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct leaf leaf;
        enum ks_status st;
        unsigned char kept[sizeof(der)];

        memcpy(kept, der, der_len);
        change(cases[i].from, cases[i].to);
        if (leaf_read_plain(certificate(), &arena, &leaf)) {
            fail_msg("%s is taken as plain", cases[i].what);
        }
        st = leaf_read(certificate(), &arena, &leaf, NULL);
        if ((st == KS_OK) != cases[i].taken) {
            fail_msg("%s: %s", cases[i].what, ks_status_name(st));
        }
        if (st == KS_OK) {
            assert_same(&leaf);
        }
        memcpy(der, kept, der_len);
    }
}

static void text_is_for_openssl_too(void **state)
{
    struct leaf leaf;
    struct buf pem;
    struct buf base64;

    (void)state;
    buf_init(&pem, 0);
    buf_init(&base64, 0);
    base64_encode(&base64, der, der_len);
    buf_add_cstr(&pem, "-----BEGIN CERTIFICATE-----\n");
    for (size_t i = 0; i < base64.len; i += 64) {
        buf_add(&pem, base64.ptr + i, base64.len - i < 64 ? base64.len - i : 64);
        buf_add_char(&pem, '\n');
    }
    buf_add_cstr(&pem, "-----END CERTIFICATE-----\n");
    assert_false(leaf_read_plain(buf_span(&pem), &arena, &leaf));
    assert_ok(leaf_read(buf_span(&pem), &arena, &leaf, why));
    assert_same(&leaf);
    assert_true(is_signed_by(&leaf, ca_key));
    buf_done(&pem);
    buf_done(&base64);
}

/* Signed with one algorithm, said to be signed with another. */
static void two_algorithms_are_no_signature(void **state)
{
    struct leaf leaf;

    (void)state;
    change(SPAN(DIGEST_256), SPAN(DIGEST_384));
    assert_false(leaf_read_plain(certificate(), &arena, &leaf));
    assert_ok(leaf_read(certificate(), &arena, &leaf, why));
    assert_int_equal(leaf.parts.tbs.len, 0);
    assert_false(is_signed_by(&leaf, ca_key));
}

/* The certificate with a comment of so many characters, so that it has `size` bytes. */
static size_t grow(unsigned char out[CERTIFICATE_DER_MAX + 1024], size_t size)
{
    static char comment[CERTIFICATE_DER_MAX + 1];
    size_t len = size - der_len - 64;
    size_t made = 0;

    while (made != size) {
        const unsigned char *p = der;
        X509 *cert = d2i_X509(NULL, &p, (long)der_len);
        X509_EXTENSION *extension;

        memset(comment, 'x', len);
        comment[len] = '\0';
        extension = X509V3_EXT_conf_nid(NULL, NULL, NID_netscape_comment, comment);
        assert_int_equal(X509_add_ext(cert, extension, -1), 1);
        assert_true(i2d_re_X509_tbs(cert, NULL) > 0); /* forgets the bytes it was read from */
        made = (size_t)i2d_X509(cert, NULL);
        assert_true(made <= CERTIFICATE_DER_MAX + 1024);
        (void)i2d_X509(cert, &out);
        out -= made;
        len += size - made;
        X509_EXTENSION_free(extension);
        X509_free(cert);
    }
    return made;
}

static void more_than_16_kib_is_none(void **state)
{
    static unsigned char large[CERTIFICATE_DER_MAX + 1024];
    struct leaf leaf;
    size_t len = grow(large, CERTIFICATE_DER_MAX);

    (void)state;
    assert_true(leaf_read_plain(span_of(large, len), &arena, &leaf));
    assert_ok(leaf_read(span_of(large, len), &arena, &leaf, why));
    assert_span(leaf.subject_dn, "CN=dev,O=Test");
    len = grow(large, CERTIFICATE_DER_MAX + 1);
    assert_false(leaf_read_plain(span_of(large, len), &arena, &leaf));
    assert_status(KS_INVALID, leaf_read(span_of(large, len), &arena, &leaf, why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_are_what_openssl_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_behind_it_are_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_one_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_plain_is_for_openssl, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_16_kib_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_is_for_openssl_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_algorithms_are_no_signature, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
