/*
 * sasl: the server side of AMQP's SASL layer: header, mechanisms, init, outcome. No challenges. It
 * runs before the engine exists, so that nothing unauthenticated reaches the engine.
 *
 * Threads:   the connection's reactor.
 * Ownership: a login's spans borrow from the input.
 * Source:    AMQP 1.0 part 5 section 3; RFC 4616 (PLAIN); RFC 4422 appendix A (EXTERNAL).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

/* An init frame that is larger is refused: user and password of 1 KiB each fit. */
enum { SASL_FRAME_MAX = 4096 };

enum sasl_state { SASL_HEADER, SASL_INIT, SASL_DECIDING, SASL_DONE };

enum sasl_mechanism { SASL_PLAIN, SASL_EXTERNAL };

/* AMQP 1.0 section 5.3.3.6. */
enum sasl_code { SASL_CODE_OK = 0, SASL_CODE_AUTH = 1, SASL_CODE_SYS = 2, SASL_CODE_SYS_TEMP = 4 };

struct sasl {
    enum sasl_state state;
    bool external; /* a verified client certificate is there: EXTERNAL is offered */
};

struct sasl_login {
    enum sasl_mechanism mechanism;
    struct span authorize_as;
    struct span user;
    struct span password;
};

enum sasl_step {
    SASL_STEP_MORE,    /* needs more bytes; all of `input` but *consumed is to be shown again */
    SASL_STEP_LOGIN,   /* *login is to be checked; then sasl_decide */
    SASL_STEP_REFUSED, /* the outcome is in `out`: flush and close */
    SASL_STEP_BROKEN,  /* not SASL: what is in `out` (our header and mechanisms) is flushed, then
                          close */
};

void sasl_init(struct sasl *sasl, bool external);
/* Takes input until a step is reached. Only complete frames are consumed. */
enum sasl_step sasl_input(struct sasl *sasl, struct span input, size_t *consumed, struct buf *out,
                          struct sasl_login *login);
/* Writes the outcome of the login. */
void sasl_decide(struct sasl *sasl, enum sasl_code code, struct buf *out);
