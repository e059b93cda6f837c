/*
 * sender_lanes: what the sender keeps of entries on their way. A lane is what waits together: the
 * events of a tenant; notifications to one address, of all tenants that fall into one of
 * SENDER_NOTE_LANES. A slot is one entry that has been sent and has not left the store yet.
 *
 * Order: a lane sends in the order of the sequence. An entry that was accepted is let go only when
 * all earlier ones about the same device have been; if one of those is refused, it is sent again
 * behind it. So the last word that a consumer hears about a device is the last one written.
 *
 * Trouble: what was refused gives its slot back at once; the lane goes back to it, waits until
 * nothing of it is on its way and its pause is over, and then sends one at a time until something
 * is accepted. So a lane in trouble holds up no other, whatever the broker does with it.
 *
 * Threads:   the sender's; pure bookkeeping, no I/O, no store.
 * Ownership: lanes and slots are the table's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "amqp/event_message.h"
#include "store/store.h"

struct outbox_waiter;
struct pn_delivery_t;
struct sender_link;

enum {
    SENDER_WINDOW = 4096,     /* slots */
    SENDER_LANE_WINDOW = 512, /* of a lane; less while it is in trouble */
    SENDER_LANES = 16384,
    SENDER_NOTE_LANES = 64, /* for each address of notifications */
    SENDER_TRIES = 5,       /* rejections after which an event is parked */
    SENDER_TRIED = 8,       /* rejected entries that a lane remembers */
};

enum slot_state {
    SLOT_FREE,
    SLOT_SENT,     /* the broker has it */
    SLOT_ACCEPTED, /* waits for an earlier one about the same device */
    SLOT_LEAVING,  /* its end is being written down */
    SLOT_LOST,     /* its entry is to be sent again */
};

struct slot {
    enum slot_state state;
    bool again; /* SLOT_SENT: whatever becomes of it, an earlier one was refused */
    bool park;  /* SLOT_LEAVING: not accepted, but parked */
    enum store_queue queue;
    uint64_t seq;
    uint64_t tenant; /* hash */
    uint64_t entity; /* hash of the device; 0: of all */
    int64_t sent_ms; /* monotonic */
    struct lane *lane;
    struct sender_link *link; /* SLOT_SENT */
    struct pn_delivery_t *delivery;
    struct outbox_waiter *waiter;
    struct slot *next; /* in its lane, by seq; in the list of free, leaving, lost ones */
    struct slot *previous;
    struct slot *next_of_hash;
};

/* An entry that was rejected, and how often. */
struct tried {
    uint64_t seq; /* 0: none */
    unsigned tries;
};

struct lane {
    enum store_outbox_kind kind;
    char tenant[STORE_ID_MAX]; /* of events */
    size_t tenant_len;
    uint64_t part; /* of notifications: which of SENDER_NOTE_LANES */
    char address[EVENT_ADDRESS_MAX];
    struct slot *first; /* by seq: sent, accepted */
    struct slot *last;
    size_t count;
    size_t accepted; /* of them */
    size_t window;
    unsigned failures;   /* rounds of entries that were not taken or of refused links, since
                            something was accepted */
    unsigned rejections; /* of them, those with rejections */
    unsigned link_refusals;
    struct tried tried[SENDER_TRIED];
    bool recovering;      /* from a refusal: nothing is sent until `count` is 0 */
    bool hopeless;        /* its link has been refused too often: events are parked for a while */
    int64_t paused_until; /* monotonic; 0: not paused */
    bool behind;          /* entries after `from` have been passed over */
    uint64_t from;        /* the last one looked at */
    bool pending;         /* in the list of lanes that are behind */
    struct lane *next_pending;
    struct lane *previous_pending;
    struct lane *next_of_hash;
};

struct sender_lanes;

struct sender_lanes *sender_lanes_open(void);
void sender_lanes_close(struct sender_lanes *lanes);

/* The lane of an entry, made if need be; NULL: there are SENDER_LANES of them, all in use. */
struct lane *sender_lanes_of(struct sender_lanes *lanes, const struct store_outbox_entry *entry);
bool lane_is_of(const struct lane *lane, const struct store_outbox_entry *entry);
/* Frees the lane if nothing is kept in it. */
void sender_lanes_rest(struct sender_lanes *lanes, struct lane *lane);
/* Keeps the lane in the list of pending ones while it is behind. */
void sender_lanes_update_pending(struct sender_lanes *lanes, struct lane *lane);
/* The same; a pending one goes to the end of the list. */
void sender_lanes_pending_last(struct sender_lanes *lanes, struct lane *lane);
struct lane *sender_lanes_first_pending(const struct sender_lanes *lanes);
size_t sender_lanes_pending(const struct sender_lanes *lanes);
/* Calls `visit` for each lane; it may rest the lane it is given. */
void sender_lanes_each(struct sender_lanes *lanes, void (*visit)(void *arg, struct lane *lane),
                       void *arg);

/* The lane goes back to look at `seq` and what follows. */
void lane_go_back(struct lane *lane, uint64_t seq);

bool sender_lanes_is_full(const struct sender_lanes *lanes);
/* Room for an entry, and nothing on its way that comes behind it. */
bool lane_may_send(const struct lane *lane, uint64_t seq);
/* Whether one of its entries has been rejected, and is not gone. */
bool lane_has_tried(const struct lane *lane);
/* As sent. There is room. */
struct slot *sender_lanes_take(struct sender_lanes *lanes, struct lane *lane,
                               enum store_queue queue, uint64_t seq,
                               const struct store_outbox_entry *entry);
struct slot *sender_lanes_find(const struct sender_lanes *lanes, enum store_queue queue,
                               uint64_t seq);
/* One that is leaving or lost, out of its list. */
void sender_lanes_free(struct sender_lanes *lanes, struct slot *slot);

/* ---- the broker's word on a slot that was sent ---- */

void sender_lanes_accepted(struct sender_lanes *lanes, struct slot *slot);
/* `counts`: a rejection, else it was only not taken now. True: the lane begins to recover from it,
 * and is to be paused. */
KS_MUST_CHECK bool sender_lanes_refused(struct sender_lanes *lanes, struct slot *slot, bool counts);
/* An event that cannot be sent at all: parked without another try. */
void sender_lanes_give_up(struct sender_lanes *lanes, struct slot *slot);
/* The connection has gone: all that the lane has on its way is lost. */
void sender_lanes_lose(struct sender_lanes *lanes, struct lane *lane);

/* What leaves: accepted in order, or parked. First come first; taken out of the list, its state
 * stays. NULL: none. */
struct slot *sender_lanes_pop_leaving(struct sender_lanes *lanes);
/* Back to the end of that list. */
void sender_lanes_push_leaving(struct sender_lanes *lanes, struct slot *slot);
/* What is to be sent again: whoever waits for it is told, then it is freed. */
struct slot *sender_lanes_pop_lost(struct sender_lanes *lanes);

/* Slots that are not free. */
size_t sender_lanes_in_use(const struct sender_lanes *lanes);
