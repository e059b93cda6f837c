/*
 * credential_members: constants and accessors of the members of credentials
 * (service/credential.def) and of their secrets (service/secret.def), said in
 * service/member_names.h; and the kinds of credentials, each with its tables. Members that all
 * kinds have are reached by CREDENTIAL_… and SECRET_…, whatever the kind.
 *
 * Threads: any; pure.
 */
#pragma once

#include "service/member_names.h"

#include "service/secret.def"

#include "service/member_names.h"

#include "service/credential.def"

struct credential_kind {
    const char *type; /* NULL: all others, whose secrets may have any members */
    const struct member_table *credential;
    const struct member_table *secret;
};

enum { CREDENTIAL_KINDS = 5 };

extern const struct credential_kind credential_kinds[CREDENTIAL_KINDS];

/* The kind of credentials of this type. */
const struct credential_kind *credential_kind_of(struct span type);
/* The kind of a credential by its member `type`. */
const struct credential_kind *credential_kind_at(const json_t *credential);

/* Secrets that have no members but the common ones. */
extern const struct member_table x509_secret_table;
/* Secrets that have any members beside the common ones. */
extern const struct member_table custom_secret_table;
