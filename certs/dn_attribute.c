/*
 * One attribute of a DER-encoded Name, chosen as Hono's id templates choose it: they walk the text
 * of the name with Java's LdapName from its end (the start of the encoding) and take the first part
 * of the wanted type. Of a part with several attributes (a multi-valued RDN) LdapName shows the
 * first only, after sorting them: by type as printed, then by value. Where no part shows the type,
 * an attribute that was hidden so counts here.
 */
#include <string.h>

#include "base/utf8.h"
#include "certs/dn.h"
#include "certs/dn_types.h"

/* The characters; U+FFFD for each byte that is no UTF-8. */
static void add_text(struct buf *out, struct span value)
{
    const unsigned char *p = (const unsigned char *)value.ptr;

    for (size_t i = 0; i < value.len;) {
        size_t len = utf8_length(p + i, value.len - i);

        if (len == 0) {
            buf_add_cstr(out, "\xEF\xBF\xBD");
            i++;
        } else {
            buf_add(out, p + i, len);
            i += len;
        }
    }
}

/* ---- the order of attributes inside one RDN ---- */

static void add_type(struct buf *out, const struct dn_attribute *attribute)
{
    const char *keyword = dn_keyword_of(attribute->type);

    if (keyword != NULL) {
        buf_add_cstr(out, keyword);
    } else {
        (void)dn_add_oid(out, attribute->type);
    }
}

/* Letter case does not count (that of ASCII: Java folds all, which nobody's names depend on). */
static void add_comparable(struct buf *out, const struct dn_attribute *attribute)
{
    if (dn_keyword_of(attribute->type) == NULL || !dn_is_text(attribute->value.tag)) {
        dn_add_hex(out, attribute->value.whole);
        return;
    }
    add_text(out, attribute->value.content);
    for (size_t i = 0; i < out->len; i++) {
        if (out->ptr[i] >= 'a' && out->ptr[i] <= 'z') {
            out->ptr[i] = (char)(out->ptr[i] - 'a' + 'A');
        }
    }
}

static int compare(const struct dn_attribute *a, const struct dn_attribute *b,
                   void (*add)(struct buf *out, const struct dn_attribute *attribute))
{
    struct buf of_a;
    struct buf of_b;
    int order;

    buf_init(&of_a, 0);
    buf_init(&of_b, 0);
    add(&of_a, a);
    add(&of_b, b);
    order = span_cmp(buf_span(&of_a), buf_span(&of_b));
    buf_done(&of_a);
    buf_done(&of_b);
    return order;
}

static bool is_before(const struct dn_attribute *a, const struct dn_attribute *b)
{
    if (!span_eq(a->type, b->type)) {
        return compare(a, b, add_type) < 0;
    }
    return compare(a, b, add_comparable) < 0;
}

/* ---- which one ---- */

static bool is_of(const struct dn_attribute *attribute, const char *keyword)
{
    const char *found = dn_keyword_of(attribute->type);

    return found != NULL && strcmp(found, keyword) == 0;
}

/* Whether the attribute that this RDN shows is of the type. */
static bool shows(struct span rdn, const char *keyword, struct dn_attribute *out)
{
    struct dn_attribute next;

    if (!dn_next_attribute(&rdn, out)) {
        return false;
    }
    while (dn_next_attribute(&rdn, &next)) {
        if (is_before(&next, out)) {
            *out = next;
        }
    }
    return is_of(out, keyword);
}

static bool holds(struct span rdn, const char *keyword, struct dn_attribute *out)
{
    while (dn_next_attribute(&rdn, out)) {
        if (is_of(out, keyword)) {
            return true;
        }
    }
    return false;
}

static bool find(struct span rdns, const char *keyword, struct dn_attribute *out,
                 bool (*has)(struct span rdn, const char *keyword, struct dn_attribute *out))
{
    struct der_value rdn;

    while (der_next(&rdns, &rdn) && rdn.tag == DER_SET) {
        if (has(rdn.content, keyword, out)) {
            return true;
        }
    }
    return false;
}

bool dn_find_attribute(struct span der, const char *keyword, struct buf *out)
{
    struct der_value name;
    struct dn_attribute found;

    if (!der_next(&der, &name) || name.tag != DER_SEQUENCE ||
        (!find(name.content, keyword, &found, shows) &&
         !find(name.content, keyword, &found, holds)) ||
        !dn_is_text(found.value.tag) || found.value.content.len == 0) {
        return false;
    }
    add_text(out, found.value.content);
    return true;
}
