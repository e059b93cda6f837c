/*
 * credential_read: a device's credentials set as the management API takes it.
 *
 * What is read is the stored form but for what only the stored set and the pool can add: a secret
 * that was given no id has none yet; one that refers to a stored secret by its id has no content
 * yet; a password in clear stands in `pwd-plain` until it is hashed.
 *
 * Threads:   any; pure.
 * Ownership: the set is the caller's to json_decref.
 * Errors:    KS_INVALID naming the member. Source: Hono's Device Registry Management API,
 *            `CommonCredential`, `CommonSecret` and their kinds.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/span.h"
#include "base/status.h"

enum { CREDENTIAL_READ_PLAIN_MAX = 64 }; /* passwords in clear of one request */

/* An array of credentials; `max_bcrypt_cost` bounds the hashes it brings. */
KS_MUST_CHECK enum ks_status credential_read_set(struct span body, int max_bcrypt_cost,
                                                 json_t **out, struct ks_failure *why);
/* All secrets of a set, in order. */
size_t credential_read_count_secrets(const json_t *set);
/* The first secret with a password in clear; NULL: all are hashed. */
json_t *credential_read_next_plain(const json_t *set);
