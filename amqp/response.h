/*
 * response: the bytes of an answer message, and of the two frames that refuse a connection which
 * the engine has not opened.
 *
 * Threads:   any; pure but for the random message-id.
 * Source:    Hono's response messages: properties message-id, to, correlation-id, content-type;
 *            application properties status (AMQP int), tenant_id, device_id, cache_control; one
 * Data section.
 */
#pragma once

#include "base/buf.h"
#include "base/span.h"

struct response {
    struct span endpoint;
    struct span tenant_id;   /* empty: none */
    struct span device_id;   /* echoed from the request; empty: none */
    struct span correlation; /* an encoded AMQP value, sent as it is */
    int status;
    int max_age_s;    /* > 0; 0: no-cache; -1: no directive (service/answer.h) */
    struct span body; /* JSON; empty: no body section, no content-type */
};

void response_encode(const struct response *response, struct buf *out);

/* Whole frames on channel 0. */
void response_encode_open(struct span container, struct buf *out);
void response_encode_close(struct span condition, struct span description, struct buf *out);
