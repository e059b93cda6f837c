/*
 * permissions: a permissions.json in Hono's format as an immutable table of users, each with the
 * identity its roles add up to.
 *
 * What Hono would fail at, at start or at a login, is refused here. Differences: "password-hash"
 * (bcrypt) beside "password"; the same key in two roles is united, not overwritten; duplicate JSON
 * members are refused.
 *
 * Threads:   immutable and counted; any thread.
 * Ownership: who got permissions gives them back with permissions_unref; users live as long.
 *            Passwords are wiped with them.
 * Errors:    KS_IO (cannot be read), KS_INVALID with file and line, role or user.
 * Source:    Hono's authentication server, permissions file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "base/status.h"

struct identity;
struct permissions;

enum {
    PERMISSIONS_FILE_MAX = 1 << 20,
    PERMISSIONS_GRANTS_MAX = 1 << 16, /* of one user, over all its roles */
    PERMISSIONS_COST_MAX = 16,        /* of a bcrypt hash: 3 s a login */
};

enum login_mechanism { LOGIN_NONE, LOGIN_PLAIN, LOGIN_EXTERNAL };

struct permissions_user {
    struct span name;
    enum login_mechanism mechanism;
    char *password; /* in clear; NULL: none */
    size_t password_len;
    const char *password_hash; /* bcrypt, NUL-terminated; NULL: none */
    bool may_impersonate;      /* holds the authority hono-component */
    const char *unknown_role;  /* the first that the file does not define; NULL: none */
    struct identity *identity;
};

KS_MUST_CHECK enum ks_status permissions_load(const char *path, struct permissions **out,
                                              struct ks_failure *why);
/* `name` stands for the file in failures. */
KS_MUST_CHECK enum ks_status permissions_parse(struct span text, const char *name,
                                               struct permissions **out, struct ks_failure *why);
struct permissions *permissions_ref(struct permissions *permissions);
/* Takes NULL. */
void permissions_unref(struct permissions *permissions);

/* NULL: no such user. */
const struct permissions_user *permissions_find(const struct permissions *permissions,
                                                struct span name);
/* What is allowed, as in Hono, but hardly meant: a user who cannot log in, or has a role that is
 * not there. Call with *at 0 at first; false: no more. `user` is empty for the file as a whole. */
bool permissions_next_doubt(const struct permissions *permissions, size_t *at, struct span *user,
                            const char **doubt);
/* A bcrypt setting that costs as much as the dearest hash of the file and that no password
 * matches: what a refused login hashes, so that its time does not tell whether the user exists.
 * NULL when no user has a hash. */
const char *permissions_decoy(const struct permissions *permissions);
