/*
 * Names, beside OpenSSL. A name in DER that is taken and that OpenSSL reads, too, gives text from
 * which OpenSSL makes the same DER again; where OpenSSL's own RFC 2253 text cannot differ, it is
 * the same. Text that is taken has a normal form, from which OpenSSL makes a name that has this
 * text, and which is taken and stays. The attribute that id templates mean is the first of its
 * type.
 *
 * Covers: certs/dn_parse.c certs/dn_render.c certs/dn_attribute.c
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "certs/dn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 4096 };

static void expect(bool condition)
{
    if (!condition) {
        abort();
    }
}

/* ---- from text to a name: a reader of our own normal form only ---- */

static const struct {
    const char *keyword;
    int nid;
} keywords[] = {
    {"CN", NID_commonName},        {"C", NID_countryName},
    {"L", NID_localityName},       {"ST", NID_stateOrProvinceName},
    {"O", NID_organizationName},   {"OU", NID_organizationalUnitName},
    {"STREET", NID_streetAddress}, {"DC", NID_domainComponent},
    {"UID", NID_userId},
};

static ASN1_OBJECT *type_of(struct span name)
{
    char oid[TEXT_MAX + 1];

    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        if (span_eq(name, span_cstr(keywords[i].keyword))) {
            return OBJ_dup(OBJ_nid2obj(keywords[i].nid));
        }
    }
    memcpy(oid, name.ptr, name.len);
    oid[name.len] = '\0';
    return OBJ_txt2obj(oid, 1);
}

struct reader {
    const char *at;
    const char *end;
};

static struct span take_until(struct reader *r, char stop)
{
    const char *from = r->at;

    while (r->at < r->end && *r->at != stop) {
        r->at++;
    }
    return span_of(from, (size_t)(r->at - from));
}

/* A value up to the next bare separator, without its backslashes. */
static size_t take_value(struct reader *r, unsigned char value[TEXT_MAX])
{
    size_t len = 0;

    while (r->at < r->end && *r->at != ',' && *r->at != '+') {
        if (*r->at == '\\') {
            r->at++;
            if (r->end - r->at >= 2 && r->at[0] == '0' && r->at[1] == '0') { /* a NUL */
                value[len++] = 0;
                r->at += 2;
                continue;
            }
        }
        expect(r->at < r->end);
        value[len++] = (unsigned char)*r->at++;
    }
    return len;
}

static size_t take_hex(struct reader *r, unsigned char value[TEXT_MAX])
{
    size_t len = 0;

    r->at++;
    while (r->at < r->end && *r->at != ',' && *r->at != '+') {
        expect(r->end - r->at >= 2 && hex_digit(r->at[0]) >= 0 && hex_digit(r->at[1]) >= 0);
        value[len++] = (unsigned char)(hex_digit(r->at[0]) << 4 | hex_digit(r->at[1]));
        r->at += 2;
    }
    return len;
}

/* Adds TYPE=VALUE in front of all that is there, or into the set that is in front. `tag` is for
 * what stands there as text. False: OpenSSL cannot have such a value. */
static bool add_attribute(X509_NAME *name, struct reader *r, bool same_set, int tag)
{
    unsigned char value[TEXT_MAX];
    struct span type = take_until(r, '=');
    ASN1_OBJECT *object = type_of(type);
    ASN1_STRING *string = NULL;
    bool added;
    size_t len;

    expect(r->at < r->end && object != NULL);
    r->at++;
    if (r->at < r->end && *r->at == '#') {
        const unsigned char *p = value;
        unsigned char *again = NULL;

        len = take_hex(r, value);
        string = d2i_ASN1_PRINTABLE(NULL, &p, (long)len);
        /* OpenSSL takes a string in parts for the whole, which is another encoding */
        added = string != NULL && i2d_ASN1_PRINTABLE(string, &again) == (int)len &&
                memcmp(again, value, len) == 0;
        OPENSSL_free(again);
    } else {
        len = take_value(r, value);
        string = ASN1_STRING_type_new(tag);
        added = ASN1_STRING_set(string, value, (int)len) == 1;
    }
    if (added) {
        /* at the place 0; in a set, behind the one that came before */
        X509_NAME_ENTRY *entry = X509_NAME_ENTRY_create_by_OBJ(
            NULL, object, ASN1_STRING_type(string), ASN1_STRING_get0_data(string),
            ASN1_STRING_length(string));
        int set = same_set ? X509_NAME_ENTRY_set(X509_NAME_get_entry(name, 0)) : 0;
        int at = 0;

        while (same_set && at < X509_NAME_entry_count(name) &&
               X509_NAME_ENTRY_set(X509_NAME_get_entry(name, at)) == set) {
            at++;
        }
        added = entry != NULL && X509_NAME_add_entry(name, entry, at, same_set ? -1 : 0) == 1;
        X509_NAME_ENTRY_free(entry);
    }
    ASN1_STRING_free(string);
    ASN1_OBJECT_free(object);
    return added;
}

/* NULL: OpenSSL cannot have such a name. */
static X509_NAME *name_of(struct span text, int tag)
{
    struct reader r = {.at = text.ptr, .end = span_end(text)};
    X509_NAME *name = X509_NAME_new();
    bool same_set = false;

    expect(name != NULL);
    while (r.at < r.end) {
        if (!add_attribute(name, &r, same_set, tag)) {
            X509_NAME_free(name);
            return NULL;
        }
        same_set = r.at < r.end && *r.at == '+';
        r.at += r.at < r.end;
    }
    return name;
}

/* ---- the checks ---- */

/* Control characters are printed raw, but skipped or trimmed by the reader in places, and a blank
 * before an escaped NUL at the end is lost: as in Java. */
static bool is_stable(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7E) {
            return false;
        }
    }
    return text.len == 0 || memmem(text.ptr, text.len, "\\00", 3) == NULL;
}

/* OpenSSL sorts a set that it writes, and prints the last of it first. */
static bool has_sets(const X509_NAME *name)
{
    int count = X509_NAME_entry_count(name);

    return count > 1 && X509_NAME_ENTRY_set(X509_NAME_get_entry(name, count - 1)) != count - 1;
}

static void try_text(struct span text)
{
    struct buf once;
    struct buf twice;
    struct buf other;

    buf_init(&once, 0);
    buf_init(&twice, 0);
    buf_init(&other, 0);
    if (dn_normalize(text, &once, NULL) == KS_OK && once.len <= TEXT_MAX) {
        X509_NAME *name = name_of(buf_span(&once), V_ASN1_UTF8STRING);
        unsigned char *der = NULL;
        int len = name == NULL ? -1 : i2d_X509_NAME(name, &der);

        if (len >= 0) {
            expect(dn_from_der(span_of(der, (size_t)len), &other, NULL) == KS_OK &&
                   (has_sets(name) ? other.len == once.len
                                   : span_eq(buf_span(&other), buf_span(&once))));
        }
        OPENSSL_free(der);
        X509_NAME_free(name);
        if (is_stable(buf_span(&once))) {
            expect(dn_normalize(buf_span(&once), &twice, NULL) == KS_OK &&
                   span_eq(buf_span(&once), buf_span(&twice)));
        }
    }
    buf_done(&once);
    buf_done(&twice);
    buf_done(&other);
}

/* A name of which RFC 2253 leaves nothing to choose: known keywords, values of letters and digits.
 */
static bool is_simple(const X509_NAME *name)
{
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
        const unsigned char *p = ASN1_STRING_get0_data(value);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        int type = ASN1_STRING_type(value);
        bool known = type == V_ASN1_UTF8STRING || type == V_ASN1_PRINTABLESTRING ||
                     type == V_ASN1_IA5STRING || type == V_ASN1_T61STRING;
        size_t k = 0;

        while (k < sizeof(keywords) / sizeof(keywords[0]) && keywords[k].nid != nid) {
            k++;
        }
        if (!known || k == sizeof(keywords) / sizeof(keywords[0]) || nid == NID_streetAddress) {
            return false; /* OpenSSL says "street" */
        }
        for (int j = 0; j < ASN1_STRING_length(value); j++) {
            if (!((p[j] >= '0' && p[j] <= '9') || (p[j] >= 'A' && p[j] <= 'Z') ||
                  (p[j] >= 'a' && p[j] <= 'z'))) {
                return false;
            }
        }
    }
    return true;
}

static void expect_printed(struct span text, const X509_NAME *name)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *printed = NULL;
    long len;

    expect(out != NULL && X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) >= 0);
    len = BIO_get_mem_data(out, &printed);
    expect(span_eq(text, span_of(printed, (size_t)len)));
    BIO_free(out);
}

/* The tag that all values have, if they have one; values that are no UTF-8 lose their bytes. */
static int one_tag(const X509_NAME *name)
{
    int tag = V_ASN1_UTF8STRING;

    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i));
        int type = ASN1_STRING_type(value);

        if (type == V_ASN1_BIT_STRING || (i > 0 && type != tag)) {
            return 0;
        }
        tag = type;
    }
    return tag;
}

/* The same for OpenSSL, and the same bytes; BER is longer, and OpenSSL sorts a set that it writes.
 */
static void expect_same(X509_NAME *again, const X509_NAME *theirs, struct span der)
{
    unsigned char *bytes = NULL;
    int len = i2d_X509_NAME(again, &bytes);

    expect(X509_NAME_entry_count(again) == X509_NAME_entry_count(theirs) &&
           X509_NAME_cmp(again, theirs) == 0);
    expect(len > 0 && (size_t)len <= der.len);
    if ((size_t)len == der.len && !has_sets(theirs)) {
        expect(span_eq(span_of(bytes, (size_t)len), der));
    }
    OPENSSL_free(bytes);
}

static bool has_replacement(const struct buf *text)
{
    return text->len > 0 && memmem(text->ptr, text->len, "\xEF\xBF\xBD", 3) != NULL;
}

/* `theirs` may be NULL. In a set it is not the first that counts. */
static void expect_attribute(struct span der, const char *keyword, int nid, X509_NAME *theirs)
{
    struct buf value;
    bool found;

    buf_init(&value, 0);
    found = dn_find_attribute(der, keyword, &value);
    expect(found == (value.len > 0));
    if (found && theirs != NULL) {
        int at = X509_NAME_get_index_by_NID(theirs, nid, -1);
        const ASN1_STRING *first = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(theirs, at));

        expect(at >= 0);
        expect(has_replacement(&value) || has_sets(theirs) ||
               span_eq(buf_span(&value),
                       span_of(ASN1_STRING_get0_data(first), (size_t)ASN1_STRING_length(first))));
    }
    buf_done(&value);
}

static void try_der(struct span der)
{
    const unsigned char *p = (const unsigned char *)der.ptr;
    X509_NAME *theirs = d2i_X509_NAME(NULL, &p, (long)der.len);
    struct buf text;

    buf_init(&text, 0);
    if (dn_from_der(der, &text, NULL) == KS_OK && theirs != NULL &&
        p == (const unsigned char *)span_end(der) && text.len <= TEXT_MAX) {
        int tag = one_tag(theirs);
        X509_NAME *again =
            tag == 0 || has_replacement(&text) ? NULL : name_of(buf_span(&text), tag);

        if (is_simple(theirs) && !has_sets(theirs)) {
            expect_printed(buf_span(&text), theirs);
        }
        if (again != NULL) {
            expect_same(again, theirs, der);
        }
        X509_NAME_free(again);
    }
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        expect_attribute(der, keywords[i].keyword, keywords[i].nid, theirs);
    }
    X509_NAME_free(theirs);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_text(span_of(data, size));
    try_der(span_of(data, size));
    ERR_clear_error();
    return 0;
}
