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

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

/* Appends the text of a DER-encoded Name. An empty Name is the empty text. */
KS_MUST_CHECK enum ks_status dn_from_der(struct span der, struct buf *out, struct ks_failure *why);
/* The same, as a text in the arena. */
KS_MUST_CHECK enum ks_status dn_text(struct span der, struct arena *arena, struct span *out,
                                     struct ks_failure *why);
/*
 * The value of the attribute with this keyword (CN, OU, O) that Hono's id templates mean, appended
 * as it is, without escapes. Which one of several: docs/names.md. False, nothing appended: there is
 * none, or the one that is meant is empty or no text.
 */
KS_MUST_CHECK bool dn_find_attribute(struct span der, const char *keyword, struct buf *out);
/* Parses a DN as X500Principal(String) does and appends its normal form. */
KS_MUST_CHECK enum ks_status dn_normalize(struct span text, struct buf *out,
                                          struct ks_failure *why);
