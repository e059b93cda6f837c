/* Which entries are sent when: a walk over each queue gives every entry to its lane once; a lane
 * that cannot send then is behind, and walks on its own when it can. */
#include <proton/delivery.h>
#include <proton/link.h>

#include "amqp/event_extras.h"
#include "amqp/event_message.h"
#include "amqp/sender_state.h"
#include "base/clock.h"

enum {
    READS_A_TURN = 512,   /* entries, of the walk; as many of the lanes that are behind */
    PENDING_A_TURN = 512, /* lanes visited */
    LANES_WAIT_MS = 100,  /* until the next look when paused lanes are all there is */
    ATTACH_WAIT_MS = 200, /* the walk waits for a link */
};

enum sent {
    SENT,
    NOT_NOW,   /* the lane cannot: no credit, paused, … It falls behind */
    FULL,      /* no lane can: no slot, no link, no credit for all */
    ATTACHING, /* soon */
    HOPELESS,  /* never: parked */
};

/* ---- one entry ---- */

static void look_at_pause(struct lane *lane)
{
    if (lane->paused_until != 0 && clock_monotonic_ms() >= lane->paused_until) {
        lane->paused_until = 0;
        lane->hopeless = false;
    }
}

static void encode(struct sender *sender, uint64_t seq, const struct store_outbox_entry *entry)
{
    struct event_extras extras = {.ttl_s = 0};

    if (entry->kind == STORE_OUTBOX_EVENT &&
        event_extras_get(&sender->extras, &sender->scratch, sender->txn, entry->space, &extras,
                         NULL) != KS_OK) {
        extras = (struct event_extras){.ttl_s = 0}; /* the tenant is damaged: without them */
    }
    event_message_encode(entry, seq, &sender->instance, &extras, &sender->message);
}

static void hand_over(struct sender *sender, struct slot *slot, struct sender_link *link)
{
    char tag[8];

    for (size_t i = 0; i < sizeof(tag); i++) {
        tag[i] = (char)(slot->seq >> (8 * i));
    }
    slot->delivery = pn_delivery(link->engine, pn_dtag(tag, sizeof(tag)));
    slot->link = link;
    slot->sent_ms = clock_monotonic_ms();
    pn_delivery_set_context(slot->delivery, slot);
    (void)pn_link_send(link->engine, sender->message.ptr, sender->message.len);
    (void)pn_link_advance(link->engine);
    link->in_flight++;
}

static enum sent find_link(struct sender *sender, const struct lane *lane, struct sender_link **out)
{
    bool relays = sender->links.relays;

    switch (sender_links_find(&sender->links, lane->address, out)) {
    case SENDER_LINK_READY:
        return sender_link_credit(*out) > 0 ? SENT : relays ? FULL : NOT_NOW;
    case SENDER_LINK_ATTACHING:
        return relays || (lane->failures == 0 &&
                          clock_monotonic_ms() - (*out)->since_ms < ATTACH_WAIT_MS)
                   ? ATTACHING
                   : NOT_NOW;
    case SENDER_LINK_PAUSED:
        break;
    case SENDER_LINK_NONE:
        return FULL;
    }
    return NOT_NOW;
}

/* Sends the entry if that can be now. */
static enum sent send_entry(struct sender *sender, struct lane *lane, enum store_queue queue,
                            uint64_t seq, const struct store_outbox_entry *entry)
{
    struct sender_link *link = NULL;
    enum sent can = SENT;

    look_at_pause(lane);
    if (sender_lanes_is_full(sender->lanes) ||
        (sender->careful && sender_lanes_in_use(sender->lanes) > 0)) {
        return FULL;
    }
    if (lane->hopeless && lane->count == 0) {
        can = HOPELESS;
    } else if (!lane_may_send(lane, seq)) {
        can = NOT_NOW;
    } else {
        can = find_link(sender, lane, &link);
    }
    if (can == SENT) {
        encode(sender, seq, entry);
        can = queue == STORE_EVENTS && sender->message.len > sender_link_message_max(link)
                  ? HOPELESS
                  : SENT;
    }
    if (can == SENT || can == HOPELESS) {
        struct slot *slot = sender_lanes_take(sender->lanes, lane, queue, seq, entry);

        if (can == SENT) {
            hand_over(sender, slot, link);
        } else {
            sender_note_parked(sender, lane,
                               lane->hopeless ? NULL : "longer than the broker takes");
            sender_lanes_give_up(sender->lanes, slot);
        }
    }
    return can;
}

/* ---- lanes that are behind ---- */

/* Walks from where the lane fell behind to where the queue's walk is. Whether it has come on. */
static bool catch_up(struct sender *sender, struct lane *lane, size_t *reads)
{
    uint64_t from = lane->from;
    enum store_queue queue = lane->kind == STORE_OUTBOX_EVENT ? STORE_EVENTS : STORE_NOTIFICATIONS;
    struct store_outbox_entry entry;
    uint64_t seq = 0;

    while (lane->behind && *reads > 0) {
        enum ks_status st = store_outbox_next(sender->txn, queue, lane->from, &seq, &entry, NULL);

        (*reads)--;
        if (st != KS_OK || seq > sender->looked_at[queue]) {
            lane->behind = st != KS_OK && st != KS_NOT_FOUND;
            break;
        }
        if (lane_is_of(lane, &entry) && sender_lanes_find(sender->lanes, queue, seq) == NULL) {
            enum sent sent = send_entry(sender, lane, queue, seq, &entry);

            if (sent != SENT && sent != HOPELESS) {
                break;
            }
        }
        lane->from = seq;
    }
    return !lane->behind || lane->from != from;
}

/* Whether one of its entries could be sent, as far as it is the lane's. */
static bool is_able(struct lane *lane)
{
    look_at_pause(lane);
    return lane->hopeless || (lane->paused_until == 0 && lane->count < lane->window &&
                              (!lane->recovering || lane->count == 0));
}

/* Each lane once at most. Whether there is more to look at at once: not while none comes on. */
static bool serve_pending(struct sender *sender)
{
    size_t visits = sender_lanes_pending(sender->lanes);
    size_t reads = READS_A_TURN;
    bool moved = false;

    for (visits = visits < PENDING_A_TURN ? visits : PENDING_A_TURN; visits > 0; visits--) {
        struct lane *lane = sender_lanes_first_pending(sender->lanes);

        if (lane == NULL || reads == 0) {
            break;
        }
        if (is_able(lane)) {
            moved |= catch_up(sender, lane, &reads);
        }
        sender_lanes_pending_last(sender->lanes, lane); /* others get their turn */
        sender_lanes_rest(sender->lanes, lane);
    }
    return moved && (reads == 0 || sender_lanes_pending(sender->lanes) > PENDING_A_TURN);
}

/* ---- the walk over a queue ---- */

/* False: the walk waits here. */
static bool give_to_lane(struct sender *sender, struct lane *lane, enum store_queue queue,
                         uint64_t seq, const struct store_outbox_entry *entry)
{
    if (lane->behind) {
        if (lane->from >= seq) { /* it was put back into the queue */
            lane_go_back(lane, seq);
        }
        return true;
    }
    switch (send_entry(sender, lane, queue, seq, entry)) {
    case SENT:
    case HOPELESS:
        return true;
    case NOT_NOW:
        lane_go_back(lane, seq);
        return true;
    case ATTACHING:
        sender->walk_waits = true;
        return false;
    case FULL:
        break;
    }
    return false;
}

/* False: it waits. */
static bool take_next(struct sender *sender, enum store_queue queue)
{
    struct store_outbox_entry entry;
    uint64_t seq = 0;
    bool given = true;

    if (store_outbox_next(sender->txn, queue, sender->looked_at[queue], &seq, &entry, NULL) !=
        KS_OK) {
        return false;
    }
    if (sender_lanes_find(sender->lanes, queue, seq) == NULL) { /* else it is on its way */
        struct lane *lane = sender_lanes_of(sender->lanes, &entry);

        if (lane == NULL) {
            return false; /* all lanes are in use */
        }
        given = give_to_lane(sender, lane, queue, seq, &entry);
        sender_lanes_rest(sender->lanes, lane);
    }
    if (given) {
        sender->looked_at[queue] = seq;
    }
    return given;
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

/* Sends what can be sent; whether there is more to look at at once. */
static bool send_some(struct sender *sender)
{
    bool more = serve_pending(sender);
    size_t reads = READS_A_TURN;

    walk(sender, &reads);
    sender->walk_waits |= reads == 0;
    return more || reads == 0;
}

void sender_pump(struct sender *sender)
{
    bool open = sender->broker != NULL && broker_is_open(sender->broker) && !sender->draining &&
                !sender->requeueing; /* what is put back comes first */

    sender_take_waiters(sender);
    sender_requeue(sender);
    sender->walk_waits = false;
    if (store_reader_renew(sender->txn, NULL) != KS_OK) {
        sender_place_waiters(sender);
        reactor_timer_set(&sender->pump_later, LANES_WAIT_MS);
        return;
    }
    look(sender);
    if (open) {
        bool more = send_some(sender);

        if (more || sender_lanes_first_pending(sender->lanes) != NULL) {
            reactor_timer_set(&sender->pump_later, more ? 0 : LANES_WAIT_MS);
        }
    }
    store_reader_reset(sender->txn);
    sender_place_waiters(sender);
    sender_settle(sender);
}

static void pump_later(void *arg)
{
    sender_turn(arg);
}

void sender_pump_init(struct sender *sender)
{
    reactor_timer_init(&sender->pump_later, sender->options.reactor, pump_later, sender);
}

void sender_pump_soon(struct sender *sender)
{
    reactor_timer_set(&sender->pump_later, LANES_WAIT_MS);
}

void sender_pump_reset(struct sender *sender)
{
    for (int queue = 0; queue < STORE_QUEUES; queue++) {
        sender->looked_at[queue] = 0;
    }
    reactor_timer_clear(&sender->pump_later);
}

void sender_pump_done(struct sender *sender)
{
    reactor_timer_done(&sender->pump_later);
}
