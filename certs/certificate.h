/*
 * certificate: X.509 certificates and public keys as plain values; nothing of OpenSSL gets out.
 *
 * Threads:   any; pure.
 * Ownership: spans of a certificate live in the arena it was parsed into.
 * Errors:    KS_INVALID "not-a-certificate" with OpenSSL's own words; its error queue is left
 *            empty.
 * Source:    RFC 5280.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/span.h"
#include "base/status.h"

enum { CERTIFICATE_DER_MAX = 16 << 10, CERTIFICATE_RSA_BITS_MAX = 8192 };

struct certificate {
    struct span der;              /* exactly the certificate, without what followed it */
    struct span subject_dn;       /* Java's RFC 2253 text */
    struct span issuer_dn;        /* the same */
    struct span subject_der;      /* the Name */
    struct span public_key;       /* DER SubjectPublicKeyInfo */
    struct span algorithm;        /* Java's name: RSA, EC, DSA, EdDSA */
    struct span authority_key_id; /* keyIdentifier of the AKI extension; empty: none */
    struct sha256 fingerprint;    /* over der */
    int64_t not_before_ms;
    int64_t not_after_ms;
};

/* DER, or PEM text of which the first certificate counts; bytes after it are ignored. */
KS_MUST_CHECK enum ks_status certificate_parse(struct span bytes, struct arena *arena,
                                               struct certificate *out, struct ks_failure *why);

struct evp_pkey_st;
/* NULL: not a key that we are willing to verify with. For certs/key_cache. */
struct evp_pkey_st *public_key_decode(struct span public_key);
void public_key_free(struct evp_pkey_st *key);

/* A DER SubjectPublicKeyInfo that decodes as `algorithm` (RSA, EC, DSA, EdDSA, Ed25519 in any
 * letter case; empty means RSA as in Hono) and whose size we are willing to verify with: RSA 1024
 * to CERTIFICATE_RSA_BITS_MAX bits with a short exponent. A trailing byte after the key is
 * accepted. KS_INVALID says what is wrong. */
KS_MUST_CHECK enum ks_status public_key_check(struct span public_key, struct span algorithm,
                                              struct ks_failure *why);
/* SHA-1 over the key bits, as an AKI usually holds it (RFC 5280 section 4.2.1.2, method 1). */
bool public_key_id(struct span public_key, uint8_t out[20]);
