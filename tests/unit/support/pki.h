/*
 * pki: keys and certificates made for a test, so that none expires in the tree.
 *
 * Subjects and issuers are "CN=<name>,O=Test". Keys are EC P-256: quick to make.
 * Threads: one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct pki_key; /* an EVP_PKEY */

struct pki_key *pki_key_new(void);
void pki_key_free(struct pki_key *key);

struct pki_public {
    unsigned char bytes[256];
    size_t len;
};
/* DER SubjectPublicKeyInfo. */
struct pki_public pki_public_of(const struct pki_key *key);

struct pki_spec {
    const char *subject; /* CN */
    const char *issuer;  /* CN */
    struct pki_key *key;
    struct pki_key *signer;
    const struct pki_key *named; /* whose id the AKI extension holds; NULL: no extension */
    int64_t from_ms;
    int64_t until_ms;
};

struct pki_text {
    char text[4096];
    size_t len;
};
/* DER of the Name "CN=<cn>,O=Test". */
struct pki_text pki_name(const char *cn);

/* The certificate as Base64 of DER. */
struct pki_text pki_certificate(const struct pki_spec *spec);

static inline struct span pki_span(const struct pki_text *text)
{
    return span_of(text->text, text->len);
}
