/*
 * outbox_settle: what the broker said, written down: accepted entries leave the store, events that
 * it keeps rejecting are parked; and parked ones are put back into the queue, at each connection
 * and when somebody asks for it.
 *
 * Threads:   submitted on the sender's thread; `done` is called on the writer's, after the commit.
 * Ownership: a job is the sender's, at the writer between the submit and `done`.
 * Errors:    of the submit: the writer's. In `status`: nothing was changed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "store/store.h"
#include "store/writer.h"

enum { OUTBOX_SETTLE_MAX = 256, OUTBOX_REQUEUE_MAX = 500 };

struct outbox_verdict {
    uint64_t seq;
    enum store_queue queue;
    bool park; /* else it was accepted */
};

struct outbox_settlement {
    struct writer_job writer; /* first */
    struct outbox_verdict verdict[OUTBOX_SETTLE_MAX];
    size_t count;
    uint64_t parked;
    uint64_t discarded; /* were to be parked, but their device or tenant has gone */
    uint64_t waiting;   /* events that are left in the queue */
    enum ks_status status;
    void (*done)(struct outbox_settlement *settlement);
    void *owner;
};

KS_MUST_CHECK enum ks_status
outbox_settle(struct writer *writer, struct outbox_settlement *settlement, struct ks_failure *why);

struct outbox_requeue {
    struct writer_job writer; /* first */
    size_t moved;             /* OUTBOX_REQUEUE_MAX: there may be more */
    enum ks_status status;
    void (*done)(struct outbox_requeue *requeue);
    void *owner;
};

KS_MUST_CHECK enum ks_status outbox_requeue(struct writer *writer, struct outbox_requeue *requeue,
                                            struct ks_failure *why);
