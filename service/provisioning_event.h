/*
 * provisioning_event: what the world is told of a device that was provisioned: the event, which it
 * may wait for, and the notifications of its creation.
 *
 * Threads, errors: the writer's transaction; outbox_has_room is asked before the first write.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct outbox;
struct store_txn;

struct provisioning_event {
    uint32_t space;
    struct span tenant_id;
    struct span device_id;
    struct span gateway_id; /* of an edge device; empty: none */
    bool has_credentials;   /* were made, too */
    int64_t now_ms;
};

/* *seq: for the device's record; 0 without an outbox. */
KS_MUST_CHECK enum ks_status provisioning_event_add(struct outbox *outbox, struct store_txn *txn,
                                                    const struct provisioning_event *event,
                                                    uint64_t *seq, struct ks_failure *why);
