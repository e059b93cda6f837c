/*
 * ca_document: one trusted CA of a tenant: as the management API takes and shows it, as adapters
 * get it, and as provisioning reads it.
 *
 * Given by its certificate, or by subject DN, public key and validity; the certificate wins and is
 * not kept. Every CA has an id, given or drawn; adapters do not see it.
 *
 * Threads:   pure but for the ids it draws.
 * Ownership: as service/tenant_document.h.
 * Errors:    KS_INVALID naming the member; KS_CORRUPT for a stored CA that is none.
 * Source:    Hono's Device Registry Management API, `TrustedCA`.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "service/member.h"
#include "store/store.h"

/* The element of a tenant's `trusted-ca`. */
extern const struct member_rule ca_document_rule;

/* What provisioning needs of a stored CA, in the arena. */
KS_MUST_CHECK enum ks_status ca_document_render(struct arena *arena, const json_t *ca,
                                                struct store_ca *out, struct ks_failure *why);
/* Appends what adapters get; *segment says where it stands and when it counts. */
void ca_document_add_answer(struct buf *text, const json_t *ca, const struct store_ca *rendered,
                            struct store_segment *segment);
