/*
 * trust: what to think of a device's certificate: which of the tenant's trusted CAs issued it, and
 * whether signature, validity and auth-id stand. The registry checks this itself, so that an
 * adapter's word is not enough to register a device.
 *
 * Several CAs may have the issuer's DN (a roll-over): the key decides. Those whose key the
 * certificate names come first, and at most TRUST_CAS_TRIED are tried.
 *
 * Threads:   pure, but for the memory, which is its reader's.
 * Ownership: a certificate lives in the arena; CAs borrow from the tenant record.
 * Errors:    KS_INVALID "not-a-certificate"; the other refusals are KS_NOT_FOUND with a reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "certs/leaf.h"
#include "service/identity_template.h"
#include "store/store.h"

struct digest_cache;
struct key_cache;

/* What a reader remembers of certificates. */
struct trust_memory {
    struct digest_cache *verdicts; /* leaf and key, verified */
    struct key_cache *keys;        /* of CAs, decoded */
};

enum { TRUST_CAS_TRIED = 8 };

/* The CAs that may have issued a certificate: DN of its issuer, valid now; best guess first. */
struct trust_issuers {
    struct store_ca ca[TRUST_CAS_TRIED];
    size_t count;
    bool provisions;             /* whether any of them, tried or not, may provision */
    struct store_ca provisioner; /* then the first of those */
};

/* `text` is Base64 of DER or PEM, as clients send it in a request. */
KS_MUST_CHECK enum ks_status trust_decode(struct span text, struct arena *arena, struct leaf *leaf,
                                          struct ks_failure *why);
/* KS_NOT_FOUND "no-trusted-ca" if there is none. */
KS_MUST_CHECK enum ks_status trust_find_issuers(const struct store_tenant *tenant,
                                                const struct leaf *leaf, int64_t now_ms,
                                                struct trust_issuers *out, struct ks_failure *why);
/* The issuer whose key signed the certificate; KS_NOT_FOUND "bad-signature" if it is none of them.
 */
KS_MUST_CHECK enum ks_status trust_find_signer(const struct trust_memory *memory,
                                               const struct leaf *leaf,
                                               const struct trust_issuers *issuers,
                                               const struct store_ca **signer,
                                               struct ks_failure *why);
/* The certificate's own validity, and its auth-id under the CA that issued it: KS_NOT_FOUND
 * "not-yet-valid", "expired", or as trust_check_auth_id. */
KS_MUST_CHECK enum ks_status trust_check_leaf(const struct leaf *leaf, const struct store_ca *ca,
                                              struct span auth_id, int64_t now_ms,
                                              struct ks_failure *why);
KS_MUST_CHECK enum ks_status trust_check_validity(int64_t not_before_ms, int64_t not_after_ms,
                                                  int64_t now_ms, struct ks_failure *why);
/* Whether this is the auth-id of the subject: what the CA's auth-id template gives, or without one
 * the subject's DN. KS_NOT_FOUND "subject-mismatch"; KS_INVALID "template-unfilled". */
KS_MUST_CHECK enum ks_status trust_check_auth_id(const struct store_ca *ca,
                                                 const struct identity_subject *subject,
                                                 struct span auth_id, struct ks_failure *why);
/* The auth-id becomes a key as it is, and must come back as it was asked for: a DN in any other
 * form than the normal one would never be found again. KS_NOT_FOUND "subject-mismatch". */
KS_MUST_CHECK enum ks_status trust_check_normal(struct span auth_id, struct ks_failure *why);

static inline struct identity_subject trust_subject_of(const struct leaf *leaf)
{
    return (struct identity_subject){.dn = leaf->subject_dn, .der = leaf->subject_der};
}
