/*
 * credential_merge: what a request's credentials set becomes on top of the stored one: secrets
 * that refer to a stored one by their id take its content over; those without an id get one.
 *
 * All else of the stored set is replaced: credentials and secrets that are not named again are
 * gone, and `enabled`, validity and comment of a secret come from the request alone.
 *
 * Threads:   pure: the writer may run it twice.
 * Ownership: the merged set is the caller's to json_decref; the others stay untouched.
 * Errors:    KS_INVALID naming the member. Source: Hono's Device Registry Management API, update
 *            of credentials; ids of nothing in a new credential are refused where content lacks.
 */
#pragma once

#include <jansson.h>

#include "base/status.h"
#include "base/uuid.h"

/* `set` as credential_read_set made it, all passwords hashed; `stored`: an array of credentials in
 * stored form. `ids`: one for each secret of `set`. */
KS_MUST_CHECK enum ks_status credential_merge(const json_t *set, const json_t *stored,
                                              const struct uuid *ids, json_t **out,
                                              struct ks_failure *why);

/* A set that stands for itself, as an import brings it: every secret must have its content, those
 * without an id get one. No password may be in clear. */
KS_MUST_CHECK enum ks_status credential_complete(json_t *set, struct ks_failure *why);
