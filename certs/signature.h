/*
 * signature: whether a certificate is signed by a key.
 *
 * Threads:   any; pure.
 * Ownership: parts borrow from the certificate's bytes.
 * Errors:    KS_FORBIDDEN "bad-signature".
 * Source:    RFC 5280 section 4.1.1.
 */
#pragma once

#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"

/* What is signed, how, and the signature: each a whole DER value. */
struct signed_parts {
    struct span tbs;
    struct span algorithm;
    struct span signature;
};

/* Finds the parts of a certificate. The algorithm stands inside what is signed, too, and must be
 * the same there. False: it is not, or this is no certificate. */
bool signed_parts_find(struct span der, struct signed_parts *out);

struct evp_pkey_st;
/* Nothing is signed without parts (zeroed), or without a key (NULL). */
KS_MUST_CHECK enum ks_status signature_verify(const struct signed_parts *parts,
                                              struct evp_pkey_st *key, struct ks_failure *why);
