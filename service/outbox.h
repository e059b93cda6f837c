/*
 * outbox: what the rest of the world is told: provisioning events, which are never lost, and change
 * notifications, which may be when nobody takes them for long. Each is written in the transaction
 * of its cause; a sender (amqp/sender.h) takes them from the store in order, and an entry leaves
 * only when the broker has accepted it.
 *
 * Threads:   the outbox_add functions on the writer, in its transaction. outbox_wake and
 *            outbox_wait from any thread after a commit. What the sender uses: on the sender's.
 * Ownership: a waiter is its owner's again when it has been released.
 * Errors:    KS_UNAVAILABLE "outbox-full" when no event may be added: the caller writes nothing.
 *
 * A service without an outbox (NULL) makes no events and no notifications.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "service/notification.h"

struct outbox;
struct store_txn;

enum { OUTBOX_PARKED_MAX = 1000 }; /* parked events of a tenant: it gets no new devices beyond */

struct outbox_options {
    uint64_t max_events;        /* messaging.max-events */
    uint64_t max_notifications; /* messaging.max-notifications */
    int64_t event_wait_ms;      /* provisioning.event-wait; 0: no login waits */
};

struct outbox *outbox_open(const struct outbox_options *options);
/* No thread uses it any more, nobody waits. Takes NULL. */
void outbox_close(struct outbox *outbox);

/* ---- in a transaction ---- */

struct outbox_event {
    uint32_t space;
    struct span tenant_id;
    struct span device_id;
    struct span gateway_id; /* empty: none */
    int64_t created_ms;
};

/* Whether an event may be added for the tenant: asked before the first write. NULL: yes. */
KS_MUST_CHECK enum ks_status outbox_has_room(struct outbox *outbox, struct store_txn *txn,
                                             uint32_t space, struct ks_failure *why);
/* *seq: what goes into the device's record; 0 without an outbox. */
KS_MUST_CHECK enum ks_status outbox_add_event(struct outbox *outbox, struct store_txn *txn,
                                              const struct outbox_event *event, uint64_t *seq,
                                              struct ks_failure *why);
/* At the bound the oldest goes. `space` is the tenant's, 0 if it is gone. */
KS_MUST_CHECK enum ks_status outbox_add_notification(struct outbox *outbox, struct store_txn *txn,
                                                     uint32_t space,
                                                     const struct notification *notification,
                                                     struct ks_failure *why);

/* ---- after the transaction ---- */

/* On the writer: a device was refused for want of room. Logged when the outbox has become full.
 */
void outbox_note_refused(struct outbox *outbox);
/* On the writer: so many events have gone with their device or tenant. Takes NULL. */
void outbox_note_discarded(struct outbox *outbox, uint64_t count, const char *why);
/* On any thread: so many events wait. Logged when a full outbox has room again. */
void outbox_note_waiting(struct outbox *outbox, uint64_t events);

/* There may be something to send. Takes NULL. */
void outbox_wake(struct outbox *outbox);

/* Waits for the broker to accept an event. */
struct outbox_waiter {
    uint64_t seq;
    int64_t until_ms;                               /* monotonic; set by outbox_wait */
    bool accepted;                                  /* by the broker, and gone from the store */
    void (*released)(struct outbox_waiter *waiter); /* on the sender's thread, once */
    struct outbox_waiter *next;
    struct outbox_waiter *previous; /* the sender's, and so is: */
    void *place;
};

/* False: waiting would be in vain (no outbox, no broker, no credit, no event-wait); the waiter
 * stays the caller's. */
bool outbox_wait(struct outbox *outbox, struct outbox_waiter *waiter);

/* ---- for the sender ---- */

/* Before any thread can wake it: what outbox_wake calls, from any thread. */
void outbox_attach(struct outbox *outbox, void (*wake)(void *arg), void *arg);
/* Whether events leave at the moment; a new sender's do not. */
void outbox_set_flowing(struct outbox *outbox, bool flowing);
/* The waiters that have come since, first come first. */
struct outbox_waiter *outbox_take_waiters(struct outbox *outbox);
