/*
 * registration_assert: operation "assert" of the Device Registration API.
 *
 * Threads:   the reader's; the parts that take a transaction also run on the writer, where a race
 *            for a device behind gateways is decided (service/provisioning_edge.c).
 * Source:    Hono's Device Registration API page.
 */
#pragma once

#include "service/answer.h"
#include "service/provisioning.h"
#include "service/service.h"

struct store_device;

struct assert_query {
    struct span tenant_id;
    struct span device_id;
    struct span gateway_id;
    bool has_gateway_id;
};

/* The reader's transaction has been renewed. KS_OK: *answer is complete (refusals too).
 * KS_NEEDS_WRITE: the device is unknown and its gateway may have it registered: submit a
 * provisioning job made from *plan; its answer is the answer. */
KS_MUST_CHECK enum ks_status registration_assert(struct service_reader *reader,
                                                 const struct assert_query *ask, int64_t now_ms,
                                                 struct answer *answer,
                                                 struct provisioning_plan *plan);

/* What is to be said of a device in this key space. KS_OK: it is registered, enabled, and the
 * gateway, if any, may act for it: *device. KS_NEEDS_WRITE: it is not registered, but the gateway
 * has the authority to let devices be. Otherwise a refusal. */
KS_MUST_CHECK enum ks_status registration_decide(struct store_txn *txn, uint32_t space,
                                                 const struct assert_query *ask,
                                                 struct store_device *device,
                                                 struct ks_failure *why);
/* The answer for a device that was found. */
KS_MUST_CHECK enum ks_status registration_answer(const struct service *service,
                                                 struct store_txn *txn, uint32_t space,
                                                 const struct store_device *device,
                                                 struct answer *answer, struct ks_failure *why);
