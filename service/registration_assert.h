/*
 * registration_assert: operation "assert" of the Device Registration API.
 *
 * Threads:   the reader's.
 */
#pragma once

#include "service/answer.h"
#include "service/service.h"

struct assert_query {
    struct span tenant_id;
    struct span device_id;
    struct span gateway_id;
    bool has_gateway_id;
};

/* The reader's transaction has been renewed. Always fills *answer. */
void registration_assert(struct service_reader *reader, const struct assert_query *ask,
                         int64_t now_ms, struct answer *answer);
