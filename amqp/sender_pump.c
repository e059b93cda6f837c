/* Which entries are sent when: a walk over each queue gives every entry to its lane once; a lane
 * that cannot send then is behind, and walks on its own when it can. */
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/disposition.h>
#include <proton/link.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/event_message.h"
#include "amqp/sender_state.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "service/event_details.h"

enum {
    READS_A_TURN = 512,  /* entries read, all lanes together */
    PENDING_A_TURN = 64, /* lanes visited */
    LANES_WAIT_MS = 100, /* until the next look when paused lanes are all there is */
};

enum sent {
    SENT,
    NOT_NOW,   /* no credit, no room, paused: the lane falls behind */
    ATTACHING, /* soon: the walk waits for the link */
    HOPELESS,  /* the broker has refused the link again and again: events are parked */
    GONE,      /* the entry has left meanwhile */
};

/* ---- one entry ---- */

static enum ks_status encode(struct sender *sender, uint64_t seq,
                             const struct store_outbox_entry *entry)
{
    struct event_details details = {.ttl_s = 0};
    enum ks_status st = KS_OK;

    arena_reset(&sender->scratch);
    buf_clear(&sender->message);
    if (entry->kind == STORE_OUTBOX_EVENT) {
        st = event_details_get(sender->txn, entry->tenant_id, &sender->scratch, &details, NULL);
    }
    if (st == KS_OK) {
        event_message_encode(entry, seq, &sender->instance, &details, &sender->message);
    }
    return st;
}

static void hand_over(struct sender *sender, struct slot *slot, struct sender_link *link)
{
    char tag[8];
    pn_delivery_t *delivery;

    for (size_t i = 0; i < sizeof(tag); i++) {
        tag[i] = (char)(slot->seq >> (8 * i));
    }
    delivery = pn_delivery(link->engine, pn_dtag(tag, sizeof(tag)));
    pn_delivery_set_context(delivery, slot);
    (void)pn_link_send(link->engine, sender->message.ptr, sender->message.len);
    (void)pn_link_advance(link->engine);
    slot->state = SLOT_SENT;
    slot->link = link;
    link->in_flight++;
    if (slot->seq <= sender->sent_up_to[slot->queue]) {
        counters_add(sender->counters, COUNTER_OUTBOX_RESENT, 1);
    } else {
        sender->sent_up_to[slot->queue] = slot->seq;
    }
}

static enum sent find_link(struct sender *sender, const struct lane *lane, struct sender_link **out)
{
    switch (sender_links_find(&sender->links, lane->address, out)) {
    case SENDER_LINK_READY:
        return sender_link_credit(*out) > 0 ? SENT : NOT_NOW;
    case SENDER_LINK_ATTACHING:
        return ATTACHING;
    case SENDER_LINK_REFUSED:
        return lane->kind == STORE_OUTBOX_EVENT && (*out)->failures >= SENDER_TRIES ? HOPELESS
                                                                                    : NOT_NOW;
    case SENDER_LINK_NONE:
        break;
    }
    return NOT_NOW;
}

static bool is_paused(struct lane *lane)
{
    if (lane->paused_until != 0 && clock_monotonic_ms() >= lane->paused_until) {
        lane->paused_until = 0;
    }
    return lane->paused_until != 0;
}

/* An entry that has no slot yet. */
static enum sent send_new(struct sender *sender, struct lane *lane, enum store_queue queue,
                          uint64_t seq, const struct store_outbox_entry *entry)
{
    struct sender_link *link = NULL;
    enum sent can;

    if (is_paused(lane) || lane->retries > 0 || !sender_lanes_has_room(sender->lanes, lane)) {
        return NOT_NOW;
    }
    can = find_link(sender, lane, &link);
    if (can == HOPELESS) {
        slot_hopeless(sender_lanes_take(sender->lanes, lane, queue, seq, entry->device_id));
        sender_lanes_resolve(sender->lanes, lane);
        return SENT; /* as good as */
    }
    if (can != SENT) {
        return can;
    }
    if (encode(sender, seq, entry) != KS_OK) {
        return NOT_NOW;
    }
    hand_over(sender, sender_lanes_take(sender->lanes, lane, queue, seq, entry->device_id), link);
    return SENT;
}

static enum sent send_again(struct sender *sender, struct slot *slot)
{
    struct store_outbox_entry entry;
    struct sender_link *link = NULL;
    uint64_t seq = 0;
    enum sent can = find_link(sender, slot->lane, &link);
    enum ks_status st;

    if (can != SENT) {
        return can;
    }
    st = store_outbox_next(sender->txn, slot->queue, slot->seq - 1, &seq, &entry, NULL);
    if (st == KS_NOT_FOUND || (st == KS_OK && seq != slot->seq)) {
        return GONE; /* dropped at the bound */
    }
    if (st != KS_OK || encode(sender, seq, &entry) != KS_OK) {
        return NOT_NOW;
    }
    slot->lane->retries--;
    hand_over(sender, slot, link);
    return SENT;
}

/* ---- lanes that have something to do ---- */

/* False: not all of them could be. */
static bool serve_retries(struct sender *sender, struct lane *lane)
{
    struct slot *slot = lane->first;
    bool all = true;

    while (all && slot != NULL && lane->retries > 0) {
        struct slot *next = slot->next;

        if (slot->state == SLOT_RETRY) {
            switch (send_again(sender, slot)) {
            case SENT:
                break;
            case HOPELESS:
                slot_hopeless(slot);
                break;
            case GONE:
                if (slot->waiter != NULL) {
                    sender_release(sender, slot->waiter, false);
                }
                sender_lanes_free(sender->lanes, slot);
                break;
            case NOT_NOW:
            case ATTACHING:
                all = false;
                break;
            }
        }
        slot = next;
    }
    sender_lanes_resolve(sender->lanes, lane); /* the hopeless ones */
    return all;
}

static bool is_of(const struct lane *lane, const struct store_outbox_entry *entry)
{
    return entry->kind == lane->kind &&
           span_eq(entry->tenant_id, span_of(lane->tenant, lane->tenant_len));
}

/* Walks from where the lane fell behind to where the queue's walk is. */
static void catch_up(struct sender *sender, struct lane *lane, size_t *reads)
{
    enum store_queue queue = lane->kind == STORE_OUTBOX_EVENT ? STORE_EVENTS : STORE_NOTIFICATIONS;
    struct store_outbox_entry entry;
    uint64_t seq = 0;

    while (lane->behind && *reads > 0) {
        enum ks_status st = store_outbox_next(sender->txn, queue, lane->from, &seq, &entry, NULL);

        (*reads)--;
        if (st != KS_OK || seq > sender->looked_at[queue]) {
            lane->behind = st != KS_OK && st != KS_NOT_FOUND;
            return;
        }
        if (is_of(lane, &entry) && sender_lanes_find(sender->lanes, queue, seq) == NULL &&
            send_new(sender, lane, queue, seq, &entry) != SENT) {
            return;
        }
        lane->from = seq;
    }
}

static void serve_pending(struct sender *sender, size_t *reads)
{
    struct lane *lane = sender_lanes_first_pending(sender->lanes);

    for (unsigned i = 0; lane != NULL && i<PENDING_A_TURN && * reads> 0; i++) {
        struct lane *next = lane->next_pending;

        if (!is_paused(lane) && serve_retries(sender, lane)) {
            catch_up(sender, lane, reads);
        }
        sender_lanes_note_last(sender->lanes, lane); /* others get their turn */
        sender_lanes_rest(sender->lanes, lane);
        lane = next;
    }
}

/* ---- the walk over a queue ---- */

/* False: it waits. */
static bool take_next(struct sender *sender, enum store_queue queue)
{
    struct store_outbox_entry entry;
    struct lane *lane;
    uint64_t seq = 0;
    bool waits = false;

    if (store_outbox_next(sender->txn, queue, sender->looked_at[queue], &seq, &entry, NULL) !=
        KS_OK) {
        return false;
    }
    if (sender_lanes_find(sender->lanes, queue, seq) == NULL) { /* else it is leaving */
        lane = sender_lanes_of(sender->lanes, &entry);
        if (lane == NULL) {
            return false; /* all lanes are in use */
        }
        if (!lane->behind) {
            enum sent sent = send_new(sender, lane, queue, seq, &entry);

            waits = sent == ATTACHING;
            if (sent == NOT_NOW) {
                lane->behind = true;
                lane->from = seq - 1;
            }
        }
        sender_lanes_rest(sender->lanes, lane);
    }
    if (!waits) {
        sender->looked_at[queue] = seq;
    }
    sender->walk_waits |= waits;
    return !waits;
}

static void walk(struct sender *sender, size_t *reads)
{
    for (int queue = 0; queue < STORE_QUEUES; queue++) {
        while (*reads > 0 && take_next(sender, (enum store_queue)queue)) {
            (*reads)--;
        }
    }
}

/* What waits, for the report; the age is told from the oldest event. */
static void look(struct sender *sender)
{
    struct store_outbox_depth depth;
    struct store_outbox_entry oldest;
    uint64_t seq = 0;
    bool has_oldest;

    if (store_outbox_depth(sender->txn, &depth, NULL) != KS_OK) {
        return;
    }
    has_oldest = store_outbox_next(sender->txn, STORE_EVENTS, 0, &seq, &oldest, NULL) == KS_OK;
    lock_take(&sender->lock);
    sender->report.events = depth.waiting[STORE_EVENTS];
    sender->report.notifications = depth.waiting[STORE_NOTIFICATIONS];
    sender->report.parked = depth.parked;
    sender->report.dropped = depth.dropped;
    sender->oldest_created_ms = has_oldest ? oldest.created_ms : 0;
    lock_give(&sender->lock);
}

void sender_pump(struct sender *sender)
{
    size_t reads = READS_A_TURN;
    bool open = sender->broker != NULL && broker_is_open(sender->broker) && !sender->draining &&
                !sender->requeueing; /* what is put back comes first */

    sender_take_waiters(sender);
    if (store_reader_renew(sender->txn, NULL) != KS_OK) {
        sender_release_idle(sender);
        reactor_timer_set(&sender->pump_later, LANES_WAIT_MS);
        return;
    }
    look(sender);
    sender->walk_waits = false;
    if (open) {
        serve_pending(sender, &reads);
        walk(sender, &reads);
        sender->walk_waits |= reads == 0;
    }
    store_reader_reset(sender->txn);
    if (open && (reads == 0 || sender_lanes_first_pending(sender->lanes) != NULL)) {
        reactor_timer_set(&sender->pump_later, reads == 0 ? 0 : LANES_WAIT_MS);
    }
    sender_release_idle(sender);
    sender_settle(sender);
}

/* ---- what the broker says ---- */

static void warn(const char *address)
{
    log_warn("broker-rejects",
             "address=%s action=\"does the broker know it, and may Koseki send to it?\"", address);
}

static void pause_lane(struct sender *sender, struct lane *lane)
{
    if (lane->paused_until != 0) {
        return; /* another of the same round */
    }
    lane->paused_until = clock_monotonic_ms() + sender_pause_ms(lane->failures);
    lane->failures++;
    if (lane->failures == SENDER_TRIES) {
        warn(lane->address);
    }
    reactor_timer_set(&sender->pump_later, LANES_WAIT_MS);
}

void sender_outcome(struct sender *sender, pn_delivery_t *delivery)
{
    struct slot *slot = pn_delivery_get_context(delivery);
    uint64_t state = pn_delivery_remote_state(delivery);
    struct sender_link *link;
    struct lane *lane;

    if (slot == NULL || slot->state != SLOT_SENT) {
        return;
    }
    pn_delivery_set_context(delivery, NULL);
    lane = slot->lane;
    link = slot->link;
    link->in_flight--;
    slot->link = NULL;
    if (state == PN_ACCEPTED) {
        sender->fruitful = true;
        link->failures = 0;
        slot_accepted(slot);
    } else {
        bool counts = state == PN_REJECTED || state == PN_MODIFIED;

        counters_add(sender->counters, COUNTER_OUTBOX_REJECTED, counts);
        slot_refused(slot, counts);
        pause_lane(sender, lane);
    }
    sender_lanes_resolve(sender->lanes, lane);
    sender_lanes_rest(sender->lanes, lane);
}

struct ended {
    struct sender *sender;
    const struct sender_link *link;
};

/* What was on its way over the link is lost. */
static void end_lane(void *arg, struct lane *lane)
{
    const struct ended *ended = arg;

    for (struct slot *slot = lane->first; slot != NULL; slot = slot->next) {
        if (slot->state == SLOT_SENT && slot->link == ended->link) {
            slot->link = NULL;
            slot_refused(slot, true);
        }
    }
    sender_lanes_resolve(ended->sender->lanes, lane);
    sender_lanes_rest(ended->sender->lanes, lane);
}

void sender_link_changed(struct sender *sender, struct pn_link_t *engine, bool gone)
{
    struct ended ended = {.sender = sender,
                          .link = sender_links_changed(&sender->links, engine, gone)};

    if (ended.link == NULL) {
        return;
    }
    counters_add(sender->counters, COUNTER_OUTBOX_REJECTED, 1);
    if (ended.link->failures == SENDER_TRIES) {
        warn(ended.link->address);
    }
    sender_lanes_each(sender->lanes, end_lane, &ended);
    reactor_timer_set(&sender->pump_later, LANES_WAIT_MS);
}

/* ---- connections ---- */

void sender_pump_begin(struct sender *sender)
{
    sender_links_init(&sender->links, sender->broker);
    sender->fruitful = false;
}

static void forget_lane(void *arg, struct lane *lane)
{
    struct sender *sender = arg;

    while (lane->first != NULL) {
        struct slot *slot = lane->first;

        if (slot->waiter != NULL) {
            sender_release(sender, slot->waiter, false);
        }
        sender_lanes_free(sender->lanes, slot);
    }
    lane->behind = false;
    lane->failures = 0;
    lane->paused_until = 0;
    sender_lanes_rest(sender->lanes, lane);
}

/* From the beginning of the queues: what is leaving is passed over by its slot. */
void sender_pump_reset(struct sender *sender)
{
    sender_lanes_each(sender->lanes, forget_lane, sender);
    for (int queue = 0; queue < STORE_QUEUES; queue++) {
        sender->looked_at[queue] = 0;
    }
    reactor_timer_clear(&sender->pump_later);
}
