#include "service/outbox.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/lock.h"
#include "base/log.h"
#include "service/reasons.h"
#include "store/store.h"

struct outbox {
    struct outbox_options options;
    void (*wake)(void *arg); /* NULL: no sender yet */
    void *wake_arg;
    _Atomic bool flowing;
    struct counters_slot *counters; /* the writer's */
    uint64_t waiting;               /* the writer's: events, when one was refused last */
    _Atomic bool told_full;

    struct lock lock; /* guards the two below */
    struct outbox_waiter *first;
    struct outbox_waiter *last;
};

struct outbox *outbox_open(const struct outbox_options *options)
{
    struct outbox *outbox = calloc(1, sizeof(*outbox));

    if (outbox == NULL) {
        abort();
    }
    outbox->options = *options;
    outbox->counters = counters_slot_open();
    lock_init(&outbox->lock);
    return outbox;
}

void outbox_close(struct outbox *outbox)
{
    if (outbox == NULL) {
        return;
    }
    assert(outbox->first == NULL);
    lock_done(&outbox->lock);
    free(outbox);
}

/* ---- in a transaction ---- */

enum ks_status outbox_has_room(struct outbox *outbox, struct store_txn *txn, uint32_t space,
                               struct ks_failure *why)
{
    struct store_outbox_depth depth;
    uint64_t parked = 0;
    enum ks_status st;

    if (outbox == NULL) {
        return KS_OK;
    }
    st = store_outbox_depth(txn, &depth, why);
    if (st == KS_OK) {
        st = store_parked_count(txn, space, &parked, why);
    }
    if (st != KS_OK) {
        return st;
    }
    outbox->waiting = depth.waiting[STORE_EVENTS];
    if (outbox->waiting >= outbox->options.max_events) {
        return ks_fail(why, KS_UNAVAILABLE, REASON_OUTBOX_FULL,
                       "too many events wait for the message broker: no new devices until it takes "
                       "them (messaging.max-events is %llu)",
                       (unsigned long long)outbox->options.max_events);
    }
    if (parked >= OUTBOX_PARKED_MAX) {
        return ks_fail(why, KS_UNAVAILABLE, REASON_OUTBOX_FULL,
                       "the message broker has rejected the events of %d devices of this tenant: "
                       "no new devices until it takes them",
                       OUTBOX_PARKED_MAX);
    }
    return KS_OK;
}

enum ks_status outbox_add_event(struct outbox *outbox, struct store_txn *txn,
                                const struct outbox_event *event, uint64_t *seq,
                                struct ks_failure *why)
{
    const struct store_outbox_entry entry = {.kind = STORE_OUTBOX_EVENT,
                                             .space = event->space,
                                             .created_ms = event->created_ms,
                                             .tenant_id = event->tenant_id,
                                             .device_id = event->device_id,
                                             .gateway_id = event->gateway_id};

    if (outbox == NULL) {
        *seq = 0;
        return KS_OK;
    }
    return store_outbox_append(txn, &entry, seq, why);
}

static enum ks_status make_room(const struct outbox *outbox, struct store_txn *txn,
                                struct ks_failure *why)
{
    struct store_outbox_depth depth;
    enum ks_status st = store_outbox_depth(txn, &depth, why);

    if (st != KS_OK || depth.waiting[STORE_NOTIFICATIONS] < outbox->options.max_notifications) {
        return st;
    }
    return store_outbox_drop_oldest(txn, why);
}

enum ks_status outbox_add_notification(struct outbox *outbox, struct store_txn *txn, uint32_t space,
                                       const struct notification *notification,
                                       struct ks_failure *why)
{
    struct store_outbox_entry entry = {.kind = notification->type == NOTIFICATION_TENANT
                                                   ? STORE_OUTBOX_TENANT_CHANGE
                                                   : STORE_OUTBOX_DEVICE_CHANGE,
                                       .space = space,
                                       .created_ms = notification->created_ms,
                                       .tenant_id = notification->tenant_id,
                                       .device_id = notification->device_id};
    struct buf body;
    uint64_t seq;
    enum ks_status st;

    if (outbox == NULL) {
        return KS_OK;
    }
    st = make_room(outbox, txn, why);
    if (st != KS_OK) {
        return st;
    }
    buf_init(&body, STORE_OUTBOX_BODY_MAX);
    notification_body(notification, &body);
    assert(!body.overflow); /* ids are bounded */
    entry.body = buf_span(&body);
    st = store_outbox_append(txn, &entry, &seq, why);
    buf_done(&body);
    return st;
}

/* ---- after the transaction ---- */

void outbox_note_refused(struct outbox *outbox)
{
    counters_add(outbox->counters, COUNTER_OUTBOX_REFUSED, 1);
    if (outbox->waiting >= outbox->options.max_events &&
        !atomic_exchange(&outbox->told_full, true)) {
        log_warn("outbox-full",
                 "events=%llu action=\"new devices are refused until the broker takes events: is "
                 "it there, does it accept? Or raise messaging.max-events\"",
                 (unsigned long long)outbox->waiting);
    }
}

void outbox_note_discarded(struct outbox *outbox, uint64_t count, const char *why)
{
    if (count == 0) {
        return;
    }
    if (outbox != NULL) {
        counters_add(outbox->counters, COUNTER_OUTBOX_DISCARDED, count);
    }
    log_warn("events-discarded", "count=%llu why=\"%s\"", (unsigned long long)count, why);
}

/* Some way below the bound, or there would be two lines for each event that leaves. */
void outbox_note_waiting(struct outbox *outbox, uint64_t events)
{
    uint64_t max = outbox->options.max_events;

    if (events < max - max / 10 && atomic_exchange(&outbox->told_full, false)) {
        log_info("outbox-has-room", "events=%llu", (unsigned long long)events);
    }
}

void outbox_wake(struct outbox *outbox)
{
    if (outbox != NULL && outbox->wake != NULL) {
        outbox->wake(outbox->wake_arg);
    }
}

bool outbox_wait(struct outbox *outbox, struct outbox_waiter *waiter)
{
    if (outbox == NULL || outbox->wake == NULL || outbox->options.event_wait_ms == 0 ||
        !atomic_load(&outbox->flowing)) {
        return false;
    }
    waiter->until_ms = clock_monotonic_ms() + outbox->options.event_wait_ms;
    waiter->accepted = false;
    waiter->next = NULL;
    lock_take(&outbox->lock);
    if (outbox->first == NULL) {
        outbox->first = waiter;
    } else {
        outbox->last->next = waiter;
    }
    outbox->last = waiter;
    lock_give(&outbox->lock);
    outbox_wake(outbox);
    return true;
}

/* ---- for the sender ---- */

void outbox_attach(struct outbox *outbox, void (*wake)(void *arg), void *arg)
{
    outbox->wake = wake;
    outbox->wake_arg = arg;
}

void outbox_set_flowing(struct outbox *outbox, bool flowing)
{
    atomic_store(&outbox->flowing, flowing);
}

struct outbox_waiter *outbox_take_waiters(struct outbox *outbox)
{
    struct outbox_waiter *first;

    lock_take(&outbox->lock);
    first = outbox->first;
    outbox->first = NULL;
    outbox->last = NULL;
    lock_give(&outbox->lock);
    return first;
}
