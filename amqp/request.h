/*
 * request: the parts of a request message that the APIs need, read by hand from its bytes (no
 * pn_message_t: half the cost, and none of its surprises).
 *
 * Sections are read in the standard's order, each once; from the first one out of order on the rest
 * is ignored, as Hono does.
 *
 * Threads:   any; pure.
 * Ownership: everything borrows from the message.
 * Source:    AMQP 1.0 part 3 section 2; Hono's request/response rules.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum { REQUEST_ID_MAX = 256 };

struct request {
    struct span correlation; /* the encoded correlation-id, or else message-id, with its type */
    struct span subject;
    struct span reply_to;
    struct span tenant_id; /* application properties of type string */
    struct span device_id;
    struct span gateway_id;
    struct span adapter_instance_id;
    int64_t lifespan_s; /* application property lifespan, an integer */
    bool has_tenant_id;
    bool has_device_id;
    bool has_gateway_id;
    bool has_adapter_instance_id;
    bool has_lifespan;
    struct span body; /* of the first Data section, or an AmqpValue with a string or bytes */
    bool has_body;
};

enum request_verdict {
    REQUEST_OK,
    REQUEST_MALFORMED,   /* no id, subject or reply-to: to be rejected */
    REQUEST_UNDECODABLE, /* not a message: to be modified */
};

enum request_verdict request_parse(struct span message, struct request *out);
