/*
 * secret_read: the secrets of credentials by their kind (service/secret.def): the elements of
 * `secrets`.
 *
 * Threads: pure. Ownership, errors, form of what is read: as service/credential_read.h.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "base/status.h"
#include "certs/certificate.h"
#include "service/member.h"

/* The certificate in the member `cert` of the object at `at`. */
KS_MUST_CHECK enum ks_status secret_read_certificate(const struct member_path *at,
                                                     struct arena *arena, const json_t *base64,
                                                     struct certificate *out,
                                                     struct ks_failure *why);
