/* What the broker said, written down by the writer; and logins that wait for it. */
#include "amqp/sender_state.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"

enum { AGAIN_BUSY_MS = 50, AGAIN_REFUSED_MS = 1000 };

/* ---- logins that wait ---- */

void sender_release(struct sender *sender, struct outbox_waiter *waiter, bool accepted)
{
    struct slot *slot = waiter->place;

    *(waiter->previous != NULL ? &waiter->previous->next : &sender->first_waiter) = waiter->next;
    *(waiter->next != NULL ? &waiter->next->previous : &sender->last_waiter) = waiter->previous;
    if (slot != NULL) {
        slot->waiter = NULL;
    }
    waiter->accepted = accepted;
    waiter->released(waiter); /* it is its owner's again */
}

void sender_release_all(struct sender *sender)
{
    sender_take_waiters(sender);
    while (sender->first_waiter != NULL) {
        sender_release(sender, sender->first_waiter, false);
    }
}

void sender_take_waiters(struct sender *sender)
{
    struct outbox_waiter *waiter = outbox_take_waiters(sender->options.service->outbox);

    while (waiter != NULL) {
        struct outbox_waiter *next = waiter->next;

        waiter->place = NULL;
        waiter->next = NULL;
        waiter->previous = sender->last_waiter;
        *(sender->last_waiter != NULL ? &sender->last_waiter->next : &sender->first_waiter) =
            waiter;
        sender->last_waiter = waiter;
        waiter = next;
    }
}

static void watch_deadlines(struct sender *sender)
{
    if (sender->first_waiter == NULL) {
        reactor_timer_clear(&sender->waits);
    } else {
        reactor_timer_set(&sender->waits, sender->first_waiter->until_ms - clock_monotonic_ms());
    }
}

static void wait_is_out(void *arg)
{
    struct sender *sender = arg;
    int64_t now = clock_monotonic_ms();

    while (sender->first_waiter != NULL && sender->first_waiter->until_ms <= now) {
        counters_add(sender->counters, COUNTER_OUTBOX_WAITS_OUT, 1);
        sender_release(sender, sender->first_waiter, false);
    }
    watch_deadlines(sender);
}

void sender_place_waiters(struct sender *sender)
{
    struct outbox_waiter *waiter = sender->first_waiter;

    while (waiter != NULL) {
        struct outbox_waiter *next = waiter->next;

        if (waiter->place == NULL) {
            struct slot *slot = sender_lanes_find(sender->lanes, STORE_EVENTS, waiter->seq);

            if (slot != NULL && slot->waiter == NULL) {
                slot->waiter = waiter;
                waiter->place = slot;
            } else if (!sender->walk_waits) {
                sender_release(sender, waiter, false);
            }
        }
        waiter = next;
    }
    watch_deadlines(sender);
}

/* ---- what leaves ---- */

static void let_go(struct sender *sender, struct slot *slot)
{
    if (slot->waiter != NULL) {
        sender_release(sender, slot->waiter, !slot->park);
    }
    if (!slot->park) {
        counters_add(sender->counters, COUNTER_OUTBOX_SENT, 1);
    }
    sender_lanes_free(sender->lanes, slot);
}

static void settled_on_reactor(struct reactor_post *post, bool discard)
{
    void *start = (char *)post - offsetof(struct sender, settled_post);
    struct sender *sender = start;
    struct outbox_settlement *settlement = &sender->settlement;
    struct log_text text;
    bool written = settlement->status == KS_OK;

    sender->settling = false;
    for (size_t i = 0; i < settlement->count; i++) {
        if (written) {
            let_go(sender, sender->settled[i]);
        } else {
            sender_lanes_push_leaving(sender->lanes, sender->settled[i]);
        }
    }
    if (discard) {
        return;
    }
    if (!written) { /* the disk is full, or the store read-only: known, logged by the writer */
        reactor_timer_set(&sender->settle_later, AGAIN_REFUSED_MS);
        return;
    }
    if (settlement->parked > 0) {
        counters_add(sender->counters, COUNTER_OUTBOX_PARKED, settlement->parked);
        log_warn(
            "events-parked",
            "count=%llu address=%s why=%s action=\"the broker keeps rejecting them; they are tried "
            "again at the next connection, restart or SIGHUP\"",
            (unsigned long long)settlement->parked, sender->parked_address,
            log_text(&text, span_cstr(sender->parked_why)));
    }
    if (settlement->discarded > 0) {
        counters_add(sender->counters, COUNTER_OUTBOX_DISCARDED, settlement->discarded);
        log_warn("events-discarded",
                 "count=%llu why=\"the broker rejects them, and their device or tenant is gone\"",
                 (unsigned long long)settlement->discarded);
    }
    outbox_note_waiting(sender->options.service->outbox, settlement->waiting);
    sender_turn(sender); /* there is room in the window */
}

/* On the writer's thread. */
static void settled(struct outbox_settlement *settlement)
{
    struct sender *sender = settlement->owner;

    reactor_post(sender->options.reactor, &sender->settled_post);
}

void sender_settle(struct sender *sender)
{
    struct outbox_settlement *settlement = &sender->settlement;
    struct slot *slot;

    if (sender->settling) {
        return;
    }
    settlement->count = 0;
    while (settlement->count < OUTBOX_SETTLE_MAX &&
           (slot = sender_lanes_pop_leaving(sender->lanes)) != NULL) {
        settlement->verdict[settlement->count] =
            (struct outbox_verdict){.seq = slot->seq, .queue = slot->queue, .park = slot->park};
        sender->settled[settlement->count++] = slot;
    }
    if (settlement->count == 0) {
        return;
    }
    sender->settling = outbox_settle(sender->options.service->writer, settlement, NULL) == KS_OK;
    if (!sender->settling) {
        for (size_t i = 0; i < settlement->count; i++) {
            sender_lanes_push_leaving(sender->lanes, sender->settled[i]);
        }
        reactor_timer_set(&sender->settle_later, AGAIN_BUSY_MS);
    }
}

static void settle_later(void *arg)
{
    sender_turn(arg);
}

/* ---- parked events: back into the queue at each connection, and at SIGHUP ---- */

static void requeued_on_reactor(struct reactor_post *post, bool discard)
{
    void *start = (char *)post - offsetof(struct sender, requeue_post);
    struct sender *sender = start;
    const struct outbox_requeue *requeue = &sender->requeue;

    sender->requeueing = false;
    if (discard) {
        return;
    }
    if (requeue->status == KS_OK && requeue->moved > 0) {
        log_info("events-unparked", "count=%zu", requeue->moved);
        sender->looked_at[STORE_EVENTS] = 0; /* they lie before what was looked at */
    }
    if (requeue->status != KS_OK) { /* the disk is full, or the store read-only */
        sender->requeue_wanted = true;
        sender->requeue_at = clock_monotonic_ms() + AGAIN_REFUSED_MS;
        reactor_timer_set(&sender->settle_later, AGAIN_REFUSED_MS);
    } else if (requeue->moved == OUTBOX_REQUEUE_MAX) {
        sender->requeue_wanted = true;
    }
    sender_turn(sender);
}

/* On the writer's thread. */
static void requeued(struct outbox_requeue *requeue)
{
    struct sender *sender = requeue->owner;

    reactor_post(sender->options.reactor, &sender->requeue_post);
}

static enum ks_status count_parked(struct sender *sender, uint64_t *count)
{
    struct store_outbox_depth depth = {.parked = 0};
    enum ks_status st = store_reader_renew(sender->txn, NULL);

    if (st == KS_OK) {
        st = store_outbox_depth(sender->txn, &depth, NULL);
        store_reader_reset(sender->txn);
    }
    *count = depth.parked;
    return st;
}

void sender_requeue_soon(struct sender *sender)
{
    sender->requeue_wanted = true;
    sender->requeue_at = 0;
}

void sender_requeue(struct sender *sender)
{
    uint64_t count = 0;
    enum ks_status st;

    if (!sender->requeue_wanted || sender->requeueing ||
        clock_monotonic_ms() < sender->requeue_at) {
        return;
    }
    st = count_parked(sender, &count);
    if (st == KS_OK && count > 0) {
        st = outbox_requeue(sender->options.service->writer, &sender->requeue, NULL);
        sender->requeueing = st == KS_OK;
    }
    sender->requeue_wanted = st != KS_OK;
    if (sender->requeue_wanted) { /* the writer is busy */
        sender->requeue_at = clock_monotonic_ms() + AGAIN_BUSY_MS;
        reactor_timer_set(&sender->settle_later, AGAIN_BUSY_MS);
    }
}

void sender_settle_init(struct sender *sender)
{
    sender->settlement.done = settled;
    sender->settlement.owner = sender;
    sender->settled_post.run = settled_on_reactor;
    sender->requeue.done = requeued;
    sender->requeue.owner = sender;
    sender->requeue_post.run = requeued_on_reactor;
    reactor_timer_init(&sender->settle_later, sender->options.reactor, settle_later, sender);
    reactor_timer_init(&sender->waits, sender->options.reactor, wait_is_out, sender);
}

void sender_settle_done(struct sender *sender)
{
    reactor_timer_done(&sender->settle_later);
    reactor_timer_done(&sender->waits);
}
