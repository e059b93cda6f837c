/*
 * tenant_document: a tenant as the management API takes and shows it, and as the Tenant API
 * answers it.
 *
 * The stored form is what the management API shows: checked, in normal form, certificates taken
 * apart, CA ids drawn.
 *
 * Threads:   any; pure but for the ids that reading draws.
 * Ownership: a read document is the caller's to json_decref; what is rendered lives in the arena.
 * Errors:    KS_INVALID naming the member; KS_TOO_LARGE; KS_CORRUPT for a stored form that is none.
 * Source:    Hono's Device Registry Management API, `Tenant`; Tenant API, `get`.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "store/store.h"

/* The stored form of a request's body; an empty body is an empty object. */
KS_MUST_CHECK enum ks_status tenant_document_read(struct span body, json_t **out,
                                                  struct ks_failure *why);

/* Fills what follows from the document: id, alias, trust_anchor_group, limits, cas, document,
 * answer and the flag STORE_TENANT_ENABLED. All else in *out stays as it is. */
KS_MUST_CHECK enum ks_status tenant_document_render(struct arena *arena, json_t *document,
                                                    struct span id, struct store_tenant *out,
                                                    struct ks_failure *why);
