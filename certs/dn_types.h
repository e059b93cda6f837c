/* dn_types: the ASN.1 string types of names, and bounds. Internal to certs/. */
#pragma once

enum {
    DN_TAG_UTF8 = 0x0C,
    DN_TAG_PRINTABLE = 0x13,
    DN_TAG_T61 = 0x14,
    DN_TAG_IA5 = 0x16,
    DN_TAG_GENERAL = 0x1B,
    DN_TAG_BMP = 0x1E,
};

enum { DN_RDNS_MAX = 64, DN_TEXT_MAX = 4096 };
