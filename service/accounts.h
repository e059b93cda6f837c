/*
 * accounts: the users and roles of a permissions.json in Hono's format, with "password-hash"
 * (bcrypt) beside "password", and logins against them.
 *
 * A login that needs a hash runs on the pool. Successful logins are cached (bounded, keyed by an
 * HMAC of user and password under a random key, dropped at reload), and equal logins in flight
 * share one hash: a fleet of adapters comes back all at once.
 *
 * Threads:   accounts_login from any thread; `done` is called on a pool thread. Reload from any.
 * Ownership: identities handed out are the receiver's to unref.
 * Errors:    a file that cannot be used: KS_INVALID or KS_IO with file and place ("line 12: …").
 *            Login: KS_UNAUTHORIZED (who or what was wrong is not told), KS_BUSY when the hash
 * queue is full.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct accounts;
struct identity;
struct pool;

KS_MUST_CHECK enum ks_status accounts_open(struct accounts **out, const char *path,
                                           struct pool *pool, struct ks_failure *why);
/* Reads the file again; on failure the old accounts stay. */
KS_MUST_CHECK enum ks_status accounts_reload(struct accounts *accounts, struct ks_failure *why);
/* Logs what the file allows but can hardly mean; a few lines at most. */
void accounts_log_doubts(struct accounts *accounts);
/* No login is in flight. Takes NULL. */
void accounts_close(struct accounts *accounts);

struct accounts_login {
    struct span user;
    struct span password;
    struct span authorize_as; /* authzid; empty: none */
    uint64_t peer;            /* fairness key of the pool */
    bool urgent;              /* SASL before HTTP */
};

/* identity is handed over on KS_OK, NULL otherwise. */
typedef void accounts_done(void *arg, enum ks_status status, struct identity *identity);

enum accounts_progress { ACCOUNTS_ANSWERED, ACCOUNTS_PENDING };

/* ACCOUNTS_ANSWERED: *status and *identity hold the outcome (a cache hit, a refusal that needs no
 * hash, a full queue) and `done` is not called. ACCOUNTS_PENDING: `done` will be called exactly
 * once. The login's spans are copied. */
enum accounts_progress accounts_login(struct accounts *accounts, const struct accounts_login *login,
                                      accounts_done *done, void *arg, enum ks_status *status,
                                      struct identity **identity);
/* The mechanism EXTERNAL: the user named by the CN that comes first in the certificate's subject
 * (RFC 2253 text). Never waits. */
KS_MUST_CHECK enum ks_status accounts_login_external(struct accounts *accounts, struct span subject,
                                                     struct span authorize_as,
                                                     struct identity **identity,
                                                     struct ks_failure *why);
