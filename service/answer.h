/*
 * answer: what an operation leaves for the wire, in Hono's terms but in no wire format.
 *
 * Threads:   one owner at a time; travels with its job.
 * Ownership: answer_init / answer_done by the caller; `body` is kept and reused over answer_clear.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

enum { ANSWER_NO_DIRECTIVE = -1, ANSWER_NO_CACHE = 0 };

/* Whether a device was to be registered on the spot, and what came of it: for counters and log. */
enum answer_provisioning { ANSWER_ORDINARY, ANSWER_PROVISIONED, ANSWER_NOT_PROVISIONED };

struct answer {
    int status;      /* 200, 201, 204, 4xx, 5xx */
    int max_age_s;   /* > 0, or one of the two above */
    struct buf body; /* compact JSON; empty: no body */
    struct buf
        tenant_id; /* of the tenant found, when the request did not name it by id; else empty */
    const char *reason; /* of a refusal, else NULL */
    enum answer_provisioning provisioning;
};

void answer_init(struct answer *answer);
void answer_done(struct answer *answer);
void answer_clear(struct answer *answer);

/* The status code that stands for a ks_status: one table for AMQP and HTTP. KS_OK is 200. */
int answer_status_code(enum ks_status status);
/* The reason of a failure, or the one that stands for its status. */
const char *answer_reason(enum ks_status status, const struct ks_failure *why);
/* Appends failure text as a JSON string; what is no UTF-8 in it (text that was cut) becomes '?'. */
void answer_add_text(struct buf *out, const char *text);
/* Turns a failure into a refusal: status code, reason, body {"description":…,"reason":…}; no
 * directive, no tenant. A failure without reason or text (why may be NULL) gets those of its
 * status. */
void answer_refuse(struct answer *answer, enum ks_status status, const struct ks_failure *why);
