/*
 * cors: from which origins browsers may call.
 *
 * Threads:   opened and closed by one thread; asked by any.
 * Ownership: cors_open hands out, cors_close takes.
 * Source:    the Fetch standard; Hono's CORS handler (Vert.x Web): an origin must be one whatever
 *            is allowed; a pattern must match all of it.
 */
#pragma once

#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"

struct cors;

/* `allowed`: "*", or a POSIX extended regular expression. KS_INVALID: it is none. */
KS_MUST_CHECK enum ks_status cors_open(struct cors **out, const char *allowed,
                                       struct ks_failure *why);
/* Takes NULL. */
void cors_close(struct cors *cors);
/* The text of a header; the answer names the origin if it is not just anybody's. */
bool cors_allows(const struct cors *cors, const char *origin);
bool cors_allows_all(const struct cors *cors);
