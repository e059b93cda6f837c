/*
 * device_document: a device as the management API takes and shows it, and as "assert" answers it.
 *
 * The stored form is the management document without `status`: checked, in normal form, without
 * what is empty or default.
 *
 * Threads:   any; pure.
 * Ownership: a read document is the caller's to json_decref; what is rendered lives in the arena.
 * Errors:    KS_INVALID naming the member; KS_TOO_LARGE.
 * Source:    Hono's Device Registry Management API, `Device`.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "store/store.h"

/* The one authority that means something: devices behind this gateway are provisioned. */
#define DEVICE_AUTHORITY_PROVISION "auto-provisioning-enabled"

/* The stored form of a request's body; an empty body is an empty object. */
KS_MUST_CHECK enum ks_status device_document_read(struct span body, json_t **out,
                                                  struct ks_failure *why);

/* Fills what follows from the document: id, document, answer, via, via_groups, member_of and the
 * flags STORE_DEVICE_ENABLED, STORE_DEVICE_PROVISIONER. All else in *out, other flags included,
 * stays as it is. */
KS_MUST_CHECK enum ks_status device_document_render(struct arena *arena, json_t *document,
                                                    struct span id, struct store_device *out,
                                                    struct ks_failure *why);
