/*
 * credential_answer: the answer to a look-up that found a credential: its secrets that count now,
 * or a refusal. The one place for it, since a look-up ends here on a reader and, after a race for
 * provisioning, on the writer.
 *
 * Threads:   any; the answer is complete when it returns and borrows nothing.
 */
#pragma once

#include <stdint.h>

#include "base/span.h"
#include "service/answer.h"

struct service;
struct store_credential;

/* `context` is the request as JSON text: what it says beside type, auth-id and device-id must not
 * contradict the credential's `ext`. */
void credential_answer(const struct service *service, const struct store_credential *credential,
                       struct span context, int64_t now_ms, struct answer *answer);
/* As answer_refuse; refusals of this API are not to be cached. */
void credential_refuse(struct answer *answer, enum ks_status status, const struct ks_failure *why);
