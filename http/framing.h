/*
 * framing: a second look at the headers of a request, stricter than evhttp's: what two parsers
 * could read differently is refused and the connection closed, so that nothing can be smuggled.
 *
 * Threads: any; pure. Source: RFC 9112 sections 3.2, 5.1 and 6.3.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct framing {
    size_t hosts;
    size_t lengths;
    size_t encodings;
    bool bad_name;     /* not a token: "Content-Length :" is no header to some, one to others */
    bool bad_length;   /* not 1 to 15 digits */
    bool bad_encoding; /* not exactly "chunked" */
};

/* Takes each header in turn. */
void framing_take(struct framing *framing, struct span name, struct span value);
/* NULL: fine; else what is wrong. http_1_0: a request without Host is fine then. */
const char *framing_check(const struct framing *framing, bool http_1_0);
