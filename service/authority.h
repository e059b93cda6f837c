/*
 * authority: who may do what, in the terms of Hono's permissions: READ and WRITE on addresses,
 * EXECUTE on operations.
 *
 * An address is `endpoint[/tenant[/rest]]`, split as Hono's ResourceIdentifier does: trailing empty
 * segments vanish, an empty middle segment is absent.
 *
 * Threads:   an identity is immutable and counted; ref and unref from any thread.
 * Ownership: who got an identity gives it back with identity_unref.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct identity;

enum { ADDRESS_SEGMENTS = 3 };

struct address {
    struct span text;                      /* the printed form, without trailing slashes */
    struct span segment[ADDRESS_SEGMENTS]; /* len 0: absent */
    size_t count;                          /* segments of the printed form, may exceed 3 */
};

/* False: empty or starting with '/'. */
bool address_parse(struct span text, struct address *out);

/* For accounts, before the identity is shared: an identity with room for `grants` grants, counted
 * once. */
struct identity *identity_new(struct span name, size_t grants);
enum identity_activity { ACTIVITY_READ = 1, ACTIVITY_WRITE = 2, ACTIVITY_EXECUTE = 4 };
/* "r:" resource, or "o:" resource ":" operation when an operation is given (ptr not NULL). The
 * activities of equal keys are united. */
void identity_grant(struct identity *identity, struct span resource, struct span operation,
                    unsigned activities);

struct identity *identity_ref(struct identity *identity);
void identity_unref(struct identity *identity);
/* For logs; NUL-terminated. */
const char *identity_name(const struct identity *identity);

/* activity is 'R' or 'W'. Keys tried: the whole address, r:e/t, r:e/x with x = '*', r:e, r:*. */
bool identity_may_use(const struct identity *identity, const struct address *address,
                      char activity);
bool identity_may_call(const struct identity *identity, const struct address *address,
                       struct span operation);
