/*
 * credentials_get: operation "get" of the Credentials API (Hono's Credentials API page).
 *
 * Threads:   the reader's; `plan` lives in the reader's scratch until it is reset.
 */
#pragma once

#include "service/answer.h"
#include "service/provisioning.h"
#include "service/service.h"

struct credentials_query {
    struct span tenant_id;
    struct span type;
    struct span auth_id;
    struct span context;            /* the whole request object as JSON text, for `ext` matching */
    struct span client_certificate; /* the member's decoded text; empty if absent */
    bool has_client_certificate;
    bool certificate_not_text; /* present, but not a string: 400 */
};

/* The reader's transaction has been renewed. KS_OK: *answer is complete (refusals too).
 * KS_NEEDS_WRITE: the device is unknown and its certificate passed every check: submit a
 * provisioning job made from *plan; its answer is the answer. */
KS_MUST_CHECK enum ks_status credentials_get(struct service_reader *reader,
                                             const struct credentials_query *ask, int64_t now_ms,
                                             struct answer *answer, struct provisioning_plan *plan);
