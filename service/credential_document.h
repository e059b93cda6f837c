/*
 * credential_document: one element of a device's credentials set as it is stored, as the management
 * API shows it, and as the Credentials API answers it.
 *
 * The stored form is the management document in normal form with all that is hidden from its
 * readers: every secret has its id, passwords their hash, PSK secrets their key.
 *
 * Threads:   any; pure.
 * Ownership: what is rendered lives in the arena.
 * Errors:    KS_TOO_LARGE; KS_CORRUPT for a stored form that is none.
 * Source:    Hono's Device Registry Management API, `CommonCredential` and its kinds.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "store/store.h"

/* What the management API shows of a stored credential, in *out (a new object, the caller's): no
 * password hash, no PSK key. */
KS_MUST_CHECK enum ks_status credential_document_show(struct span stored, json_t **out,
                                                      struct ks_failure *why);

/* Fills all of *out. What adapters get has no ids and no comments; its segments are the secrets. */
KS_MUST_CHECK enum ks_status credential_document_render(struct arena *arena, json_t *stored,
                                                        struct span device_id,
                                                        struct store_credential *out,
                                                        struct ks_failure *why);
