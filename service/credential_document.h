/*
 * credential_document: one element of a device's credentials set, as the management API takes and
 * shows it, as it is stored, and as the Credentials API answers it.
 *
 * The stored form is the management document in normal form with all that is hidden from its
 * readers: every secret has its id, passwords their hash, PSK secrets their key.
 *
 * Threads:   any; pure.
 * Ownership: a read document is the caller's to json_decref; what is rendered lives in the arena.
 * Errors:    KS_INVALID naming the member; KS_TOO_LARGE; KS_CORRUPT for a stored form that is none.
 * Source:    Hono's Device Registry Management API, `CommonCredential` and its kinds.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "store/store.h"

/* Fills all of *out. What adapters get has no ids and no comments; its segments are the secrets. */
KS_MUST_CHECK enum ks_status credential_document_render(struct arena *arena, json_t *stored,
                                                        struct span device_id,
                                                        struct store_credential *out,
                                                        struct ks_failure *why);
