/*
 * sender_links: the links to the broker: one for everything where the broker relays messages by
 * their `to`, else one by address, a bounded number of them, the one longest unused making room.
 *
 * Threads:   the sender's. All of it ends with the connection.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "amqp/event_message.h"

struct broker;
struct pn_link_t;

enum {
    SENDER_LINKS = 64,
    SENDER_PAUSE_FIRST_MS = 500, /* doubled with each failure in a row */
    SENDER_PAUSE_LONGEST_MS = 30000,
};

enum sender_link_state {
    SENDER_LINK_ATTACHING,
    SENDER_LINK_READY,
    SENDER_LINK_PAUSED, /* ended by the broker not long ago */
    SENDER_LINK_NONE,   /* all are in use: later */
};

/* How the broker ends a link. */
enum sender_link_end {
    SENDER_LINK_REFUSED,    /* before anything could be sent over it */
    SENDER_LINK_UNANSWERED, /* not at all: we let go of it */
    SENDER_LINK_BROKEN,
    SENDER_LINK_RELAY, /* that for all addresses: from now on each has its own */
};

struct sender_link {
    char address[EVENT_ADDRESS_MAX];
    struct pn_link_t *engine; /* NULL: free, or ended */
    bool attached;
    int64_t since_ms;     /* monotonic; attached, or tried to */
    unsigned failures;    /* in a row, since something was accepted on it */
    int64_t paused_until; /* monotonic; not attached again before */
    uint64_t used_at;     /* a counter */
    unsigned in_flight;
};

struct sender_links {
    struct broker *broker;
    bool relays;
    uint64_t clock;
    struct sender_link link[SENDER_LINKS];
};

void sender_links_init(struct sender_links *links, struct broker *broker);
/* The link for an address, attached if need be. */
enum sender_link_state sender_links_find(struct sender_links *links, const char *address,
                                         struct sender_link **out);
/* The engine tells of a link. Not NULL: the broker has ended this one, it is paused. */
struct sender_link *sender_links_changed(struct sender_links *links, struct pn_link_t *engine,
                                         bool gone, enum sender_link_end *how);
/* One that the broker has not attached for so long: we let go of it; else NULL. */
struct sender_link *sender_links_overdue(struct sender_links *links, int64_t ms,
                                         enum sender_link_end *how);
/* How long to pause after so many failures in a row: of that, between half and all. */
int64_t sender_pause_ms(unsigned failures);
/* What may be sent on it now. */
int sender_link_credit(const struct sender_link *link);
/* The longest message that the broker takes on it. */
uint64_t sender_link_message_max(const struct sender_link *link);
