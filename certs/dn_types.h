/*
 * dn_types: what names are made of: attributes and their keywords, ASN.1 string types, bounds.
 * Internal to certs/.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "certs/der.h"

enum {
    DN_TAG_UTF8 = 0x0C,
    DN_TAG_PRINTABLE = 0x13,
    DN_TAG_T61 = 0x14,
    DN_TAG_IA5 = 0x16,
    DN_TAG_GENERAL = 0x1B,
    DN_TAG_BMP = 0x1E,
};

enum { DN_RDNS_MAX = 64, DN_TEXT_MAX = 4096 };

/* Keywords that Java reads; `printed` are the ones that it writes too. */
struct dn_keyword {
    const char *keyword;
    struct span oid; /* content octets */
    bool printed;
};

extern const struct dn_keyword dn_keywords[];
extern const size_t dn_keyword_count;

/* ---- of a DER-encoded Name ---- */

struct dn_attribute {
    struct span type; /* content octets of the OID */
    struct der_value value;
};

/* The next attribute of the content of an RDN's SET, which is shortened; false if there is none or
 * it is malformed. */
bool dn_next_attribute(struct span *rdn, struct dn_attribute *out);
/* Of an attribute that is printed with one; NULL: every other is printed as OID and hex. */
const char *dn_keyword_of(struct span oid);
/* Whether Java prints the bytes of a value of this string type as text; others come as hex. */
bool dn_is_text(uint8_t tag);
/* '#' and two digits for each byte. */
void dn_add_hex(struct buf *out, struct span bytes);
/* Dotted decimal. False: not an OID. */
bool dn_add_oid(struct buf *out, struct span oid);
