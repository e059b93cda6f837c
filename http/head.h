/*
 * head: the head of an HTTP/1.0 or 1.1 request: read strictly, so that nothing is left that two
 * parsers could read differently, and written again in one plain form.
 *
 * Threads:   any; pure.
 * Ownership: what is read borrows from the text.
 * Source:    RFC 9112 sections 2.2, 3, 5, 6 and 9.3; RFC 9110 sections 5.5, 5.6.2 and 10.1.1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum head_body {
    HEAD_BODY_NONE,
    HEAD_BODY_LENGTH,
    HEAD_BODY_CHUNKED,
};

struct head {
    struct span method;
    struct span target;
    bool http_1_0;
    struct span fields; /* header lines, each with its CRLF */
    enum head_body body;
    uint64_t length; /* of HEAD_BODY_LENGTH; not 0 */
    bool close;      /* asked for; HTTP/1.0 closes without, unless it asks to be kept */
    bool keep_alive;
    bool expects_continue;
    bool expects_more; /* what nobody knows */
};

/*
 * Names that no peer can send, since they are no tokens: what head_write tells of a request beside
 * what it says itself.
 */
#define HEAD_TOO_LARGE "(body-too-large)" /* its length; the body is left out */
#define HEAD_EXPECTS   "(expects)"        /* something unknown */

/* A request line without its CRLF: method SP target SP version. */
bool head_parse_line(struct span line, struct head *out);
/* A header or trailer line without its CRLF. The value has no blanks around it. */
bool head_parse_field(struct span line, struct span *name, struct span *value);
/* A whole head with the empty line at its end, every line ended by CRLF. False: to be refused. */
bool head_parse(struct span text, struct head *out);
/* Whether operations can have a use for a body: POST and PUT. */
bool head_wants_body(const struct head *head);
/*
 * The request with another body than the one it came with: none, of a length, in chunks.
 *
 * The target becomes a path with one slash in front; what is none becomes "/". Methods other than
 * GET, HEAD, POST, PUT, DELETE and OPTIONS are all the same to everyone: PATCH. Fields that speak
 * of the connection, the body or expectations are not copied but written as they were understood.
 */
void head_write(const struct head *head, enum head_body body, uint64_t length, struct buf *out);
