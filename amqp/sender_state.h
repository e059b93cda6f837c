/*
 * sender_state: what the files of the sender share. Internal to amqp/.
 *
 *   sender.c         the connection: brokers in turn, back-off, wake-ups, the stop, the report
 *   sender_pump.c    which entries are sent when
 *   sender_outcome.c what the broker says, and what it never says
 *   sender_settle.c  what it said, written down; logins that wait for it
 *
 * Threads: the sender's, but for what is marked.
 */
#pragma once

#include <stdatomic.h>

#include "amqp/broker.h"
#include "amqp/event_extras.h"
#include "amqp/sender.h"
#include "amqp/sender_lanes.h"
#include "amqp/sender_links.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/lock.h"
#include "base/uuid.h"
#include "net/reactor.h"
#include "service/outbox.h"
#include "service/outbox_settle.h"
#include "service/service.h"

struct sender {
    struct sender_options options;
    struct broker_options broker_options;
    struct dialer *dialer;
    struct counters_slot *counters;
    struct store_txn *txn;
    struct arena scratch; /* of `extras` */
    struct event_extras_cache extras;
    struct buf message;

    /* the connection */
    struct broker *broker; /* NULL: between two attempts */
    struct sender_links links;
    struct reactor_timer redial;
    size_t url; /* of the broker, or of the next one */

    /* entries on their way */
    struct sender_lanes *lanes;
    uint64_t looked_at[STORE_QUEUES]; /* the last entry that was given to its lane */
    struct reactor_timer pump_later;
    struct reactor_timer watch; /* for what the broker never says */

    /* what leaves */
    struct outbox_settlement settlement;
    struct slot *settled[OUTBOX_SETTLE_MAX]; /* the slots of its verdicts */
    struct reactor_post settled_post;
    struct reactor_timer settle_later;
    struct outbox_requeue requeue;
    struct reactor_post requeue_post;
    struct outbox_waiter *first_waiter; /* by deadline, which is by age */
    struct outbox_waiter *last_waiter;
    struct reactor_timer waits;

    /* from other threads */
    struct reactor_post wake_post;
    struct reactor_post drain_post;
    struct reactor_post retry_post;
    struct lock lock;   /* guards the three below; the sender's thread alone writes the report */
    char *new_password; /* of the next connection; NULL: as before */
    struct sender_report report;
    int64_t oldest_created_ms; /* of the event that waits longest; 0: none */

    char *password; /* NULL: none */
    struct uuid instance;
    char container[UUID_TEXT_LEN + 16];
    unsigned tried;             /* brokers in this round */
    unsigned rounds;            /* without success: the back-off */
    int64_t opened_ms;          /* monotonic; 0: this connection has not been open */
    bool fruitful;              /* it has had something accepted */
    uint64_t told[BROKERS_MAX]; /* what was logged of a broker's trouble, as a hash */
    unsigned barren;     /* connections in a row that were open, and ended while entries were on
                            their way and nothing had been accepted */
    unsigned unanswered; /* attaches of this connection */
    bool careful;        /* an entry may be what they end by: one at a time */
    char refusal[320];   /* the last, in words */
    char parked_address[EVENT_ADDRESS_MAX]; /* of the last event that was parked */
    const char *parked_why;                 /* a literal, or `refusal` */
    bool requeue_wanted;                    /* parked events are to go back into the queue */
    int64_t requeue_at;                     /* monotonic; not before */
    bool walk_waits; /* for a link, or its next turn: what it has not come to may still be sent */
    bool settling;   /* the settlement is at the writer */
    bool requeueing; /* the requeue is: nothing is sent before */
    bool draining;
    _Atomic bool woken;
    _Atomic bool retrying;
    _Atomic bool drained;
};

/* sender_pump.c */
void sender_pump_init(struct sender *sender);
void sender_pump_done(struct sender *sender);
/* Sends what can be sent now. Called from within a turn of the broker. */
void sender_pump(struct sender *sender);
/* Paused lanes are looked at again. */
void sender_pump_soon(struct sender *sender);
/* From the beginning of the queues. */
void sender_pump_reset(struct sender *sender);

/* sender_outcome.c */
void sender_outcome_init(struct sender *sender);
void sender_outcome_done(struct sender *sender);
/* The connection is there, or gone: what was on its way will be sent again. */
void sender_outcome_begin(struct sender *sender);
void sender_outcome_reset(struct sender *sender);
void sender_outcome(struct sender *sender, struct pn_delivery_t *delivery);
void sender_link_changed(struct sender *sender, struct pn_link_t *engine, bool gone);
/* An event of the lane is to be parked. `why`: a literal; NULL: the last refusal. */
void sender_note_parked(struct sender *sender, const struct lane *lane, const char *why);

/* sender_settle.c */
void sender_settle_init(struct sender *sender);
void sender_settle_done(struct sender *sender);
/* Hands what is to leave to the writer, unless it has some already. */
void sender_settle(struct sender *sender);
/* Takes the waiters that have come. */
void sender_take_waiters(struct sender *sender);
/* Ties waiters to the slots of their events, and lets those go whose event is not on its way,
 * unless it may be at once. */
void sender_place_waiters(struct sender *sender);
void sender_release(struct sender *sender, struct outbox_waiter *waiter, bool accepted);
void sender_release_all(struct sender *sender);
/* Parked events are to go back into the queue. */
void sender_requeue_soon(struct sender *sender);
/* Does that, unless it is being done. */
void sender_requeue(struct sender *sender);

/* sender.c */
void sender_turn(struct sender *sender);
