/*
 * leaf: what decides about a device's certificate: who signed it, for whom, and until when. Read
 * straight from DER: OpenSSL takes longer to decode a certificate than to check its signature,
 * mostly over the device's public key, which nobody asks for here.
 *
 * Only the plain form that certificates have is read so. Whatever else it may be (PEM, BER, keys
 * and strings of rare kinds) is OpenSSL's to read or to refuse: see docs/decisions/.
 *
 * Threads:   any; pure.
 * Ownership: spans live in the arena, or borrow from the bytes that were given.
 * Errors:    KS_INVALID "not-a-certificate".
 * Source:    RFC 5280 section 4.1, X.690 section 10.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/span.h"
#include "base/status.h"
#include "certs/signature.h"

struct leaf {
    struct span der;           /* exactly the certificate, without what followed it */
    struct signed_parts parts; /* of it; zeroed if they contradict each other */
    struct span subject_dn;    /* Java's RFC 2253 text */
    struct span issuer_dn;     /* the same */
    struct span subject_der;   /* the Name */
    struct span authority_key_id;
    struct sha256 fingerprint; /* over der */
    int64_t not_before_ms;
    int64_t not_after_ms;
};

/* DER, or PEM text of which the first certificate counts; bytes after it are ignored. */
KS_MUST_CHECK enum ks_status leaf_read(struct span bytes, struct arena *arena, struct leaf *out,
                                       struct ks_failure *why);
/* The first half of it: false for all but the plain form, with *out as it was. For tests. */
bool leaf_read_plain(struct span bytes, struct arena *arena, struct leaf *out);
