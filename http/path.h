/*
 * path: the path of a request target as decoded segments.
 *
 * Threads:   any; pure.
 * Ownership: segments lie in the caller's struct.
 * Source:    RFC 3986; Hono's router: empty and dot segments vanish, %2F is no separator, query
 *            parameters never override what the path says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

enum { PATH_SEGMENTS_MAX = 8, PATH_MAX_LEN = 4096 };

struct path {
    struct span segment[PATH_SEGMENTS_MAX]; /* percent-decoded */
    size_t count;
    char text[PATH_MAX_LEN];
};

enum path_verdict {
    PATH_OK,
    PATH_MALFORMED, /* a bad percent escape, a NUL, a control character: 400 */
    PATH_TOO_LONG,  /* 414 */
    PATH_UNKNOWN,   /* more segments than any route has, or no absolute path: 404 */
};

enum path_verdict path_parse(struct span target, struct path *out);
/* What follows the first `?`, as it came. */
struct span path_query(struct span target);
