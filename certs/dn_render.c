/* The text of a DER-encoded Name, as Java's X500Principal.getName(RFC2253) prints it. */
#include <string.h>

#include "base/utf8.h"
#include "certs/der.h"
#include "certs/dn.h"
#include "certs/dn_types.h"

const char *dn_keyword_of(struct span oid)
{
    for (size_t i = 0; i < dn_keyword_count; i++) {
        if (dn_keywords[i].printed && span_eq(oid, dn_keywords[i].oid)) {
            return dn_keywords[i].keyword;
        }
    }
    return NULL;
}

bool dn_is_text(uint8_t tag)
{
    return tag == DN_TAG_UTF8 || tag == DN_TAG_PRINTABLE || tag == DN_TAG_T61 ||
           tag == DN_TAG_IA5 || tag == DN_TAG_GENERAL || tag == DN_TAG_BMP;
}

void dn_add_hex(struct buf *out, struct span bytes)
{
    static const char hex[] = "0123456789abcdef";

    buf_add_char(out, '#');
    for (size_t i = 0; i < bytes.len; i++) {
        buf_add_char(out, hex[(unsigned char)bytes.ptr[i] >> 4]);
        buf_add_char(out, hex[bytes.ptr[i] & 15]);
    }
}

bool dn_add_oid(struct buf *out, struct span oid)
{
    uint64_t arc = 0;
    bool first = true;

    if (oid.len == 0 || ((unsigned char)oid.ptr[oid.len - 1] & 0x80) != 0) {
        return false;
    }
    for (size_t i = 0; i < oid.len; i++) {
        unsigned char c = (unsigned char)oid.ptr[i];

        if (arc > UINT64_MAX >> 7) {
            return false;
        }
        arc = arc << 7 | (c & 0x7F);
        if ((c & 0x80) != 0) {
            continue;
        }
        if (first) {
            uint64_t top = arc < 80 ? arc / 40 : 2;

            buf_printf(out, "%llu.%llu", (unsigned long long)top,
                       (unsigned long long)(arc - top * 40));
            first = false;
        } else {
            buf_printf(out, ".%llu", (unsigned long long)arc);
        }
        arc = 0;
    }
    return true;
}

/* One character of a value; returns how many bytes it took. */
static size_t add_character(struct buf *out, struct span value, size_t at)
{
    const unsigned char *p = (const unsigned char *)value.ptr + at;
    size_t len = utf8_length(p, value.len - at);

    if (len == 0) {
        buf_add_cstr(out, "\xEF\xBF\xBD"); /* U+FFFD for each byte that is no UTF-8 */
        return 1;
    }
    if (p[0] == 0) {
        buf_add_cstr(out, "\\00");
        return 1;
    }
    if (strchr(",=+<>#;\"\\", p[0]) != NULL) {
        buf_add_char(out, '\\');
    }
    buf_add(out, p, len);
    return len;
}

static void add_text(struct buf *out, struct span value)
{
    size_t first = 0;
    size_t last = value.len;

    while (first < last && value.ptr[first] == ' ') {
        first++;
    }
    while (last > first && value.ptr[last - 1] == ' ') {
        last--;
    }
    for (size_t i = 0; i < value.len;) {
        if (i < first || i >= last) { /* leading and trailing blanks, each of them */
            buf_add_cstr(out, "\\ ");
            i++;
        } else {
            i += add_character(out, value, i);
        }
    }
}

bool dn_next_attribute(struct span *rdn, struct dn_attribute *out)
{
    struct der_value pair;
    struct der_value type;

    if (!der_next(rdn, &pair) || pair.tag != DER_SEQUENCE || !der_next(&pair.content, &type) ||
        type.tag != DER_OID || !der_next(&pair.content, &out->value) || pair.content.len != 0) {
        return false;
    }
    out->type = type.content;
    return true;
}

static bool add_attribute(struct buf *out, const struct dn_attribute *attribute)
{
    const char *keyword = dn_keyword_of(attribute->type);

    if (keyword != NULL) {
        buf_add_cstr(out, keyword);
    } else if (!dn_add_oid(out, attribute->type)) {
        return false;
    }
    buf_add_char(out, '=');
    if (keyword != NULL && dn_is_text(attribute->value.tag)) {
        add_text(out, attribute->value.content);
    } else {
        dn_add_hex(out, attribute->value.whole);
    }
    return true;
}

/* The attributes of one RDN, in the order of the encoding. */
static bool add_rdn(struct buf *out, struct span rdn)
{
    struct dn_attribute attribute;
    bool first = true;

    while (rdn.len > 0) {
        if (!dn_next_attribute(&rdn, &attribute)) {
            return false;
        }
        if (!first) {
            buf_add_char(out, '+');
        }
        first = false;
        if (!add_attribute(out, &attribute)) {
            return false;
        }
    }
    return !first;
}

enum ks_status dn_from_der(struct span der, struct buf *out, struct ks_failure *why)
{
    struct span rdns[DN_RDNS_MAX];
    struct der_value name;
    struct span in = der;
    size_t count = 0;

    if (!der_next(&in, &name) || name.tag != DER_SEQUENCE || in.len != 0) {
        return ks_fail(why, KS_INVALID, NULL, "a name is not a DER sequence");
    }
    in = name.content;
    while (in.len > 0) {
        struct der_value rdn;

        if (count == DN_RDNS_MAX || !der_next(&in, &rdn) || rdn.tag != DER_SET) {
            return ks_fail(why, KS_INVALID, NULL,
                           "a name has a malformed part, or more than %d of them", DN_RDNS_MAX);
        }
        rdns[count++] = rdn.content;
    }
    while (count > 0) { /* the last one comes first */
        if (!add_rdn(out, rdns[--count])) {
            return ks_fail(why, KS_INVALID, NULL, "a name has a malformed attribute");
        }
        if (count > 0) {
            buf_add_char(out, ',');
        }
    }
    if (out->overflow) {
        return ks_fail(why, KS_INVALID, NULL, "a name is too long");
    }
    return KS_OK;
}

enum ks_status dn_text(struct span der, struct arena *arena, struct span *out,
                       struct ks_failure *why)
{
    struct buf text;
    enum ks_status st;

    buf_init(&text, 0);
    st = dn_from_der(der, &text, why);
    if (st == KS_OK) {
        *out = arena_span(arena, buf_span(&text));
    }
    buf_done(&text);
    return st;
}
