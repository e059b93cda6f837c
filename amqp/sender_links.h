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
    SENDER_LINK_REFUSED, /* by the broker, and not long ago */
    SENDER_LINK_NONE,    /* all are in use: later */
};

struct sender_link {
    char address[EVENT_ADDRESS_MAX];
    struct pn_link_t *engine; /* NULL: free, or refused */
    bool attached;
    unsigned failures;    /* in a row, since something was accepted on it */
    int64_t paused_until; /* monotonic; not attached again before */
    uint64_t used_at;     /* a counter */
    unsigned in_flight;
};

struct sender_links {
    struct broker *broker;
    bool relays;
    uint64_t clock;
    unsigned attaching;
    struct sender_link link[SENDER_LINKS];
};

void sender_links_init(struct sender_links *links, struct broker *broker);
/* The link for an address, attached if need be. */
enum sender_link_state sender_links_find(struct sender_links *links, const char *address,
                                         struct sender_link **out);
/* The engine tells of a link. Not NULL: the broker has ended this one, it is paused. */
struct sender_link *sender_links_changed(struct sender_links *links, struct pn_link_t *engine,
                                         bool gone);
/* How long to pause after so many failures in a row: of that, between half and all. */
int64_t sender_pause_ms(unsigned failures);
/* What may be sent on it now. */
int sender_link_credit(const struct sender_link *link);
