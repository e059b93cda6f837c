/*
 * dn: distinguished names as text, byte for byte as Java's X500Principal.getName(RFC2253) prints
 * them: the text is a database key and is compared with what Java clients send.
 *
 * Threads: any; pure.
 * Errors:  KS_INVALID with the place in the text, for what Java would refuse (or is no DER Name).
 * Source:  RFC 2253, RFC 4514; JDK 17's sun.security.x509.{AVA,RDN,X500Name}; rules and examples in
 *          docs/names.md.
 */
#pragma once

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

/* Appends the text of a DER-encoded Name. An empty Name is the empty text. */
KS_MUST_CHECK enum ks_status dn_from_der(struct span der, struct buf *out, struct ks_failure *why);
/* Parses a DN as X500Principal(String) does and appends its normal form. */
KS_MUST_CHECK enum ks_status dn_normalize(struct span text, struct buf *out,
                                          struct ks_failure *why);
