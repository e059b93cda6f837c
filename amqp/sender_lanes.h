/*
 * sender_lanes: what the sender keeps of entries on their way. A lane is what waits together: the
 * events of a tenant, the notifications about a tenant, about its devices. A slot is one entry that
 * has been sent and has not left the store yet.
 *
 * Order: a lane sends in the order of the sequence. An entry that was accepted is let go only when
 * all earlier ones about the same device have been; if one of those is rejected, it is sent again
 * behind it. So the last word that a consumer hears about a device is the last one written.
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
struct sender_link;

enum {
    SENDER_WINDOW = 1024,     /* slots */
    SENDER_LANE_WINDOW = 512, /* of a lane */
    SENDER_LANES = 16384,
    SENDER_TRIES = 5, /* rejections after which an event is parked */
};

enum slot_state {
    SLOT_FREE,
    SLOT_SENT,     /* the broker has it */
    SLOT_ACCEPTED, /* waits for an earlier one about the same device */
    SLOT_RETRY,    /* to be sent again when the lane's pause is over */
    SLOT_LEAVING,  /* its end is being written down */
};

struct slot {
    enum slot_state state;
    bool park; /* SLOT_LEAVING: not accepted, but parked */
    enum store_queue queue;
    uint64_t seq;
    uint64_t entity; /* hash of the device; 0: of all */
    unsigned tries;  /* rejections */
    struct lane *lane;
    struct sender_link *link; /* SLOT_SENT */
    struct outbox_waiter *waiter;
    struct slot *next; /* in its lane, by seq; in the list of free ones; of leaving ones */
    struct slot *previous;
    struct slot *next_of_hash;
};

struct lane {
    enum store_outbox_kind kind;
    char tenant[STORE_ID_MAX];
    size_t tenant_len;
    char address[EVENT_ADDRESS_MAX];
    struct slot *first; /* by seq: sent, accepted, to be sent again */
    struct slot *last;
    size_t count;
    size_t retries;       /* of them, SLOT_RETRY */
    unsigned failures;    /* in a row: rounds of rejections, refused links */
    int64_t paused_until; /* monotonic; 0: not paused */
    bool behind;          /* entries from `from` on have been passed over */
    uint64_t from;        /* the last one looked at */
    bool pending;         /* in the list of lanes that have something to do */
    struct lane *next_pending;
    struct lane *previous_pending;
    struct lane *next_of_hash;
};

struct sender_lanes;

struct sender_lanes *sender_lanes_open(void);
void sender_lanes_close(struct sender_lanes *lanes);

/* The lane of an entry, made if need be; NULL: there are SENDER_LANES of them, all in use. */
struct lane *sender_lanes_of(struct sender_lanes *lanes, const struct store_outbox_entry *entry);
/* Frees the lane if nothing is kept in it. */
void sender_lanes_rest(struct sender_lanes *lanes, struct lane *lane);
/* Keeps the lane in the list of pending ones while it is behind or has retries. */
void sender_lanes_note(struct sender_lanes *lanes, struct lane *lane);
/* The same; a pending one goes to the end of the list. */
void sender_lanes_note_last(struct sender_lanes *lanes, struct lane *lane);
struct lane *sender_lanes_first_pending(const struct sender_lanes *lanes);
/* Calls `visit` for each lane; it may rest the lane it is given. */
void sender_lanes_each(struct sender_lanes *lanes, void (*visit)(void *arg, struct lane *lane),
                       void *arg);

/* NULL: the window is full. */
struct slot *sender_lanes_take(struct sender_lanes *lanes, struct lane *lane,
                               enum store_queue queue, uint64_t seq, struct span device_id);
bool sender_lanes_has_room(const struct sender_lanes *lanes, const struct lane *lane);
struct slot *sender_lanes_find(const struct sender_lanes *lanes, enum store_queue queue,
                               uint64_t seq);
/* Of any state; takes it out of its lane first. */
void sender_lanes_free(struct sender_lanes *lanes, struct slot *slot);

/* The broker's word. */
void slot_accepted(struct slot *slot);
/* `counts`: a rejection; else it was only not taken now. */
void slot_refused(struct slot *slot, bool counts);
/* An event that cannot be sent at all, and is parked without another try. */
void slot_hopeless(struct slot *slot);
/* Moves what may leave to the leaving ones: accepted in order, or rejected too often. */
void sender_lanes_resolve(struct sender_lanes *lanes, struct lane *lane);
/* The leaving ones, first come first; taken out of the list, their state stays. NULL: none. */
struct slot *sender_lanes_pop_leaving(struct sender_lanes *lanes);
/* Back to the end of that list. */
void sender_lanes_push_leaving(struct sender_lanes *lanes, struct slot *slot);

/* Slots that are not free. */
size_t sender_lanes_in_use(const struct sender_lanes *lanes);
