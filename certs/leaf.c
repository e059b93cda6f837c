#include "certs/leaf.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "certs/certificate.h"
#include "certs/der.h"
#include "certs/dn.h"
#include "certs/dn_types.h"

#define BYTES(literal)                                                                             \
    {                                                                                              \
        .ptr = (literal), .len = sizeof(literal) - 1                                               \
    }

static const struct span version_3 = BYTES("\x02\x01\x02");
static const struct span is_true = BYTES("\xFF");
static const struct span oid_authority_key_id = BYTES("\x55\x1D\x23");

/* A number without bytes that it does not need. */
static bool is_integer(struct span content)
{
    const unsigned char *p = (const unsigned char *)content.ptr;

    if (content.len < 2) {
        return content.len == 1;
    }
    return !(p[0] == 0x00 && p[1] < 0x80) && !(p[0] == 0xFF && p[1] >= 0x80);
}

static bool is_oid(struct span content)
{
    bool begins = true; /* a number of it, whose first septet is not 0 */

    for (size_t i = 0; i < content.len; i++) {
        unsigned char c = (unsigned char)content.ptr[i];

        if (begins && c == 0x80) {
            return false;
        }
        begins = c < 0x80;
    }
    return content.len > 0 && begins;
}

static bool take_integer(struct span *in)
{
    struct der_value value;

    return der_take(in, DER_INTEGER, &value) && is_integer(value.content);
}

static bool take_oid(struct span *in, struct span *oid)
{
    struct der_value value;

    if (!der_take(in, DER_OID, &value) || !is_oid(value.content)) {
        return false;
    }
    *oid = value.content;
    return true;
}

/* ---- the parts of a certificate, in their order ---- */

static bool take_version(struct span *tbs, bool *is_3)
{
    struct der_value version;

    *is_3 = der_starts_with(*tbs, DER_VERSION);
    return !*is_3 || (der_take(tbs, DER_VERSION, &version) && span_eq(version.content, version_3));
}

/* An algorithm; its parameters, if any, are none, or more of it. */
static bool take_algorithm(struct span *in, struct span *whole)
{
    struct der_value algorithm;
    struct der_value parameters;
    struct span oid;

    if (!der_take(in, DER_SEQUENCE, &algorithm) || !take_oid(&algorithm.content, &oid)) {
        return false;
    }
    *whole = algorithm.whole;
    if (der_starts_with(algorithm.content, DER_NULL)) {
        return der_take(&algorithm.content, DER_NULL, &parameters) && parameters.content.len == 0 &&
               algorithm.content.len == 0;
    }
    return algorithm.content.len == 0 ||
           (der_take(&algorithm.content, DER_SEQUENCE, &parameters) && algorithm.content.len == 0);
}

static bool is_string(const struct der_value *value)
{
    switch (value->tag) {
    case DN_TAG_UTF8:
        return utf8_valid(value->content);
    case DN_TAG_PRINTABLE:
    case DN_TAG_IA5:
    case DN_TAG_T61:
        return true;
    default:
        return false;
    }
}

static bool take_attributes(struct span rdn)
{
    struct der_value attribute;
    struct der_value value;
    struct span type;

    while (rdn.len > 0) {
        if (!der_take(&rdn, DER_SEQUENCE, &attribute) || !take_oid(&attribute.content, &type) ||
            attribute.content.len == 0 ||
            !der_take(&attribute.content, (uint8_t)attribute.content.ptr[0], &value) ||
            !is_string(&value) || attribute.content.len != 0) {
            return false;
        }
    }
    return true;
}

static bool take_name(struct span *in, struct span *whole)
{
    struct der_value name;
    struct der_value rdn;

    if (!der_take(in, DER_SEQUENCE, &name)) {
        return false;
    }
    *whole = name.whole;
    while (name.content.len > 0) {
        if (!der_take(&name.content, DER_SET, &rdn) || !take_attributes(rdn.content)) {
            return false;
        }
    }
    return true;
}

/* Section 4.1.2.5: YYMMDDHHMMSSZ of 1950 to 2049, or YYYYMMDDHHMMSSZ; here written out. */
static bool take_time(struct span *in, int64_t *ms)
{
    bool is_short = der_starts_with(*in, DER_UTC_TIME);
    char text[] = "20YY-MM-DDTHH:MM:SSZ";
    const size_t len = sizeof(text) - 1;
    struct der_value time;
    const char *p;

    if (!der_take(in, is_short ? DER_UTC_TIME : DER_GENERALIZED_TIME, &time) ||
        time.content.len != (is_short ? sizeof("YYMMDDHHMMSSZ") : sizeof("YYYYMMDDHHMMSSZ")) - 1) {
        return false;
    }
    p = time.content.ptr;
    if (!is_short) {
        memcpy(text, p, 2);
        p += 2;
    } else if (p[0] >= '5') {
        text[0] = '1';
        text[1] = '9';
    }
    for (size_t at = 2; at < len - 1; at += 3, p += 2) {
        memcpy(text + at, p, 2);
    }
    return *p == 'Z' && clock_parse(span_of(text, len), ms);
}

static bool take_validity(struct span *in, struct leaf *out)
{
    struct der_value validity;

    return der_take(in, DER_SEQUENCE, &validity) &&
           take_time(&validity.content, &out->not_before_ms) &&
           take_time(&validity.content, &out->not_after_ms) && validity.content.len == 0;
}

/* Keys whose form is known here: algorithm with parameters, and how many bytes the key has. */
struct key_form {
    struct span algorithm;
    size_t bytes; /* 0: as many as an RSA key's numbers take */
    bool is_point;
};

#define EC_KEY "\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01"

static const struct key_form key_forms[] = {
    {BYTES("\x30\x13" EC_KEY "\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07"), 65, true}, /* P-256 */
    {BYTES("\x30\x10" EC_KEY "\x06\x05\x2B\x81\x04\x00\x22"), 97, true},             /* P-384 */
    {BYTES("\x30\x10" EC_KEY "\x06\x05\x2B\x81\x04\x00\x23"), 133, true},            /* P-521 */
    {BYTES("\x30\x0D\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01\x05\x00"), 0, false},
    {BYTES("\x30\x05\x06\x03\x2B\x65\x70"), 32, false}, /* Ed25519 */
    {BYTES("\x30\x05\x06\x03\x2B\x65\x71"), 57, false}, /* Ed448 */
};

/* Modulus and exponent. */
static bool is_rsa_key(struct span bits)
{
    struct der_value key;

    return der_take(&bits, DER_SEQUENCE, &key) && bits.len == 0 && take_integer(&key.content) &&
           take_integer(&key.content) && key.content.len == 0;
}

static bool is_key(struct span algorithm, struct span bits)
{
    for (size_t i = 0; i < sizeof(key_forms) / sizeof(key_forms[0]); i++) {
        const struct key_form *form = &key_forms[i];

        if (span_eq(form->algorithm, algorithm)) {
            return form->bytes == 0
                       ? is_rsa_key(bits)
                       : bits.len == form->bytes && (!form->is_point || bits.ptr[0] == 0x04);
        }
    }
    return false;
}

/* The content of a bit string of whole bytes. */
static bool take_bits(struct span *in, struct der_value *whole, struct span *bits)
{
    if (!der_take(in, DER_BIT_STRING, whole) || whole->content.len < 2 ||
        whole->content.ptr[0] != 0) {
        return false;
    }
    *bits = span_of(whole->content.ptr + 1, whole->content.len - 1);
    return true;
}

static bool take_public_key(struct span *in)
{
    struct der_value info;
    struct der_value algorithm;
    struct der_value skipped;
    struct span bits;

    return der_take(in, DER_SEQUENCE, &info) && der_take(&info.content, DER_SEQUENCE, &algorithm) &&
           take_bits(&info.content, &skipped, &bits) && info.content.len == 0 &&
           is_key(algorithm.whole, bits);
}

/* One that is not there, or cannot be read, names no key. */
static void read_authority_key_id(struct span extension, struct arena *arena, struct leaf *out)
{
    const unsigned char *p = (const unsigned char *)extension.ptr;
    AUTHORITY_KEYID *aki = d2i_AUTHORITY_KEYID(NULL, &p, (long)extension.len);

    if (aki != NULL && aki->keyid != NULL) {
        out->authority_key_id = arena_span(arena, span_of(ASN1_STRING_get0_data(aki->keyid),
                                                          (size_t)ASN1_STRING_length(aki->keyid)));
    }
    AUTHORITY_KEYID_free(aki);
    ERR_clear_error();
}

static bool take_extension(struct span *in, struct span *oid, struct span *content)
{
    struct der_value extension;
    struct der_value value;

    if (!der_take(in, DER_SEQUENCE, &extension) || !take_oid(&extension.content, oid)) {
        return false;
    }
    if (der_starts_with(extension.content, DER_BOOLEAN) &&
        (!der_take(&extension.content, DER_BOOLEAN, &value) || !span_eq(value.content, is_true))) {
        return false; /* false is the default, and not written */
    }
    if (!der_take(&extension.content, DER_OCTET_STRING, &value) || extension.content.len != 0) {
        return false;
    }
    *content = value.content;
    return true;
}

static bool take_extensions(struct span *tbs, struct arena *arena, struct leaf *out)
{
    struct der_value all;
    struct der_value list;
    struct span named = {0};
    struct span content;
    struct span oid;

    if (!der_take(tbs, DER_EXTENSIONS, &all) || !der_take(&all.content, DER_SEQUENCE, &list) ||
        all.content.len != 0) {
        return false;
    }
    while (list.content.len > 0) {
        if (!take_extension(&list.content, &oid, &content)) {
            return false;
        }
        if (span_eq(oid, oid_authority_key_id)) {
            if (named.ptr != NULL) { /* twice: which of them counts? */
                return false;
            }
            named = content;
        }
    }
    if (named.len > 0) {
        read_authority_key_id(named, arena, out);
    }
    return true;
}

/* ---- the whole ---- */

struct names {
    struct span issuer;
    struct span subject;
};

static bool read_tbs(struct span tbs, struct arena *arena, struct span algorithm,
                     struct names *names, struct leaf *out)
{
    struct span again;
    bool is_3;

    return take_version(&tbs, &is_3) && take_integer(&tbs) && take_algorithm(&tbs, &again) &&
           span_eq(again, algorithm) && take_name(&tbs, &names->issuer) &&
           take_validity(&tbs, out) && take_name(&tbs, &names->subject) && take_public_key(&tbs) &&
           (!is_3 || tbs.len == 0 || take_extensions(&tbs, arena, out)) && tbs.len == 0;
}

bool leaf_read_plain(struct span bytes, struct arena *arena, struct leaf *out)
{
    struct leaf found = {.der = {0}};
    struct names names;
    struct der_value certificate;
    struct der_value tbs;
    struct der_value signature;
    struct span bits;

    if (!der_take(&bytes, DER_SEQUENCE, &certificate) ||
        certificate.whole.len > CERTIFICATE_DER_MAX ||
        !der_take(&certificate.content, DER_SEQUENCE, &tbs) ||
        !take_algorithm(&certificate.content, &found.parts.algorithm) ||
        !take_bits(&certificate.content, &signature, &bits) || certificate.content.len != 0 ||
        !read_tbs(tbs.content, arena, found.parts.algorithm, &names, &found)) {
        return false;
    }
    found.der = certificate.whole;
    found.parts.tbs = tbs.whole;
    found.parts.signature = signature.whole;
    found.subject_der = names.subject;
    if (dn_text(names.issuer, arena, &found.issuer_dn, NULL) != KS_OK ||
        dn_text(names.subject, arena, &found.subject_dn, NULL) != KS_OK) {
        return false;
    }
    found.fingerprint = sha256_of(found.der);
    *out = found;
    return true;
}

enum ks_status leaf_read(struct span bytes, struct arena *arena, struct leaf *out,
                         struct ks_failure *why)
{
    struct certificate certificate;
    enum ks_status st;

    if (leaf_read_plain(bytes, arena, out)) {
        return KS_OK;
    }
    st = certificate_parse(bytes, arena, &certificate, why);
    if (st != KS_OK) {
        return st;
    }
    *out = (struct leaf){.der = certificate.der,
                         .subject_dn = certificate.subject_dn,
                         .issuer_dn = certificate.issuer_dn,
                         .subject_der = certificate.subject_der,
                         .authority_key_id = certificate.authority_key_id,
                         .fingerprint = certificate.fingerprint,
                         .not_before_ms = certificate.not_before_ms,
                         .not_after_ms = certificate.not_after_ms};
    if (!signed_parts_find(certificate.der, &out->parts)) {
        out->parts = (struct signed_parts){.tbs = {0}};
    }
    return KS_OK;
}
