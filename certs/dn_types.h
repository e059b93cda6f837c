/*
 * dn_types: what names are made of: attribute keywords, ASN.1 string types, bounds. Internal to
 * certs/.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

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
