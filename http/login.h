/*
 * login: who sends a request: HTTP Basic against the accounts, with failed logins slowed down
 * (service/login_pace.h). Waiting is done by timers.
 *
 * Threads:   the reactor's; the outcome of a hash comes back to it by post.
 * Ownership: a login is embedded in its owner, who keeps it until `done`; the identity is the
 *            owner's then. Passwords are wiped.
 * Source:    RFC 7617; Hono: a header that cannot be read at all is 400, all else 401.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "net/reactor.h"
#include "service/login_pace.h"

struct accounts;
struct identity;
struct login;

enum login_outcome {
    LOGIN_OK,
    LOGIN_MISSING,   /* no credentials, or of another scheme: 401 */
    LOGIN_MALFORMED, /* 400 */
    LOGIN_REFUSED,   /* 401 */
    LOGIN_BUSY,      /* 503 */
    LOGIN_DROPPED,   /* the server closes: no answer any more */
};

typedef void login_done(struct login *login, enum login_outcome outcome, struct identity *who);

/* What all logins share. */
struct logins {
    struct reactor *reactor;
    struct accounts *accounts;
    struct login_pace *pace;
    struct login *waiting; /* those that a timer holds */
    bool hurrying;         /* none is held any more */
};

struct login_wait; /* of one that is held or hashed */

struct login {
    struct logins *logins;
    login_done *done;
    struct login_wait *wait; /* NULL: answered at once */
};

void logins_open(struct logins *logins, struct reactor *reactor, struct accounts *accounts);
/* Lets go of all that is held, now and from now on. On the reactor. */
void logins_hurry(struct logins *logins);
/* The reactor has stopped: what is held is done with LOGIN_DROPPED. Takes a zeroed one. */
void logins_close(struct logins *logins);

struct login_request {
    const char *authorization; /* the header; NULL: none */
    const char *peer;          /* its address, without port */
};

/* `done` is called once, from within or later. */
void login_begin(struct login *login, struct logins *logins, const struct login_request *request,
                 login_done *done);
