/*
 * link: request links (the peer sends) and reply links (we send): attach rules, credit, the queue
 * of answers that wait for credit.
 *
 * Threads:   its connection's reactor.
 * Ownership: a link belongs to its connection's table; gone with link_gone. Others name it by its
 *            handle.
 * Source:    AMQP 1.0 section 2.6; Hono's rules for addresses.
 */
#pragma once

#include <proton/link.h>
#include <stdbool.h>
#include <stdint.h>

#include "amqp/api.h"
#include "amqp/reply_map.h"
#include "amqp/slots.h"
#include "base/span.h"
#include "service/authority.h"

struct connection;
struct queued_answer;

enum {
    LINK_UNSETTLED_MAX = 1000,         /* answers that the peer has not settled */
    LINK_ANSWER_TOUCHES = 8,           /* that dispositions may touch an answer, on average */
    CONNECTION_TOUCHES_MAX = 64 << 10, /* such touches saved up */
    CONNECTION_QUEUE_MAX = 4 << 20,    /* bytes of answers that wait for credit */
    ALL_QUEUES_MAX = 32 << 20,         /* the same, of all connections together */
};

struct link {
    struct reply_entry reply; /* reply link: its entry in the connection's map; first member */
    struct connection *connection;
    pn_link_t *engine;
    struct slot_handle handle;
    uint16_t channel; /* as the guard names it */
    uint32_t remote_handle;
    const struct api *api;
    char *address_text;
    struct address address;
    bool is_reply;

    uint32_t unanswered; /* request link: answers that wait for the writer or for credit */

    bool settled; /* reply link: the peer wants settled answers */
    uint32_t next_tag;
    uint32_t unsettled;
    struct queued_answer *first; /* answers that wait for credit */
    struct queued_answer *last;
    struct link *next_waiting; /* connection->waiting, while the queue is not empty */
};

/* The peer's ATTACH: accepts or refuses it. channel and handle are the guard's names for it. */
void link_attached(struct connection *connection, pn_link_t *engine);
/* The peer detached, or its session ended: forgets everything of it. */
void link_gone(struct link *link);
/* Detaches from our side with an error. */
void link_fail(struct link *link, const char *condition, const char *description);

/* Grants credit up to the limit less what is unanswered. */
void link_top_up(struct link *link);
/* Sends an answer, or queues it until the peer gives credit. `request` is the request link's
 * handle. */
void link_answer(struct link *link, struct slot_handle request, struct span message);
/* Sends what is queued as far as credit and socket go; honours drain. */
void link_pump(struct link *link);
/* The peer settled or decided one of our answers. */
void link_answer_updated(struct link *link, pn_delivery_t *delivery);
/* An answer of this request link has gone out (or was given up). */
void link_answered(struct connection *connection, struct slot_handle request);
