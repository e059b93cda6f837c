/*
 * connection: one AMQP connection: bytes from its stream go through SASL, the guard and the engine;
 * the engine's events go to its links; what they produce goes back to the stream.
 *
 * Internal to amqp/: the files that make up a connection share this struct.
 *
 * Threads:   its reactor's only (asserted at every entry).
 * Ownership: freed by itself, from connection_turn, when it is dead; others name it by its handle.
 */
#pragma once

#include <proton/connection_driver.h>
#include <stdbool.h>
#include <stdint.h>

#include "amqp/guard.h"
#include "amqp/reply_map.h"
#include "amqp/sasl.h"
#include "amqp/slots.h"
#include "base/buf.h"
#include "net/address.h"
#include "net/reactor.h"

struct identity;
struct link;
struct home;
struct stream;

extern const char amqp_header[8]; /* AMQP 0 1.0.0 */

enum connection_state {
    CONNECTION_SASL,   /* TLS handshake, SASL header and init */
    CONNECTION_LOGIN,  /* the password is being hashed; nothing is read */
    CONNECTION_HEADER, /* waiting for the AMQP header */
    CONNECTION_OPEN,   /* frames */
    CONNECTION_ENDING, /* nothing more is taken in; what is written is flushed, then half-closed */
    CONNECTION_LINGER, /* half-closed; input is thrown away until the peer ends or the time is up */
};

struct connection {
    struct home *home;
    struct slot_handle handle; /* in home->connections */
    struct stream *stream;
    struct net_address_text peer;
    uint64_t peer_key;
    enum connection_state state;
    bool dead; /* to be freed at the end of the turn */

    struct buf held; /* input: a frame that has not arrived whole, or what is behind a login */
    struct buf out;  /* output before the engine's: SASL frames */
    size_t out_done; /* of it, written */

    struct sasl sasl;
    struct identity *who; /* from the login on */
    struct guard guard;
    bool has_guard;
    pn_connection_driver_t engine;
    bool has_engine;
    bool header_sent; /* our AMQP header is on its way */
    bool opened;      /* the peer's OPEN has been answered */
    bool draining;    /* ends when nothing is pending */

    uint32_t
        fed; /* transfers and dispositions since the engine's events were last handled for them */
    /* What the guard said of the frame whose events are being handled. */
    struct guard_event frame;

    struct slots links;
    struct reply_map replies;
    struct link *waiting;    /* reply links with queued answers */
    size_t queued_bytes;     /* of answers, all links */
    size_t held_bytes;       /* of answers that the engine keeps: held.h */
    size_t held_settled;     /* of them, those that are let go when all output is written */
    uint32_t unsettled;      /* answers that the peer has not settled, all links */
    uint32_t touches;        /* of answers by dispositions that may still come */
    uint32_t jobs;           /* at the writer */
    uint64_t blocked_input;  /* bytes since the socket stopped taking output */
    uint64_t blocked_output; /* bytes that trickled out since */
    uint64_t worth;          /* of them, that earn more time */
    uint32_t ends_unwritten; /* END frames that may not be out: each holds a channel until then */

    struct reactor_timer timer;
    int64_t timer_at; /* when it is set for; 0: not set. The soonest of: */
    int64_t open_by;  /* handshake deadline; 0: passed */
    int64_t linger_until;
    int64_t unblock_by; /* the socket must take output again; 0: it does */
    int64_t tick_at;    /* the engine's heartbeats and idle time-out; 0: none */

    struct connection *next_dirty; /* home's list of connections to flush */
    bool dirty;
};

/* Takes an accepted socket. */
void connection_accept(struct home *home, int fd, bool tls);
/* Handles the engine's events, writes, rearms timers, and frees the connection if it is dead. Every
 * entry from outside ends with it. */
void connection_turn(struct connection *connection);
/* A turn soon, after the other posts of this wake-up. */
void connection_turn_later(struct connection *connection);
/* Ends it with an AMQP error after what is pending has been written. */
void connection_fail(struct connection *connection, const char *condition, const char *description);
/* Asks it to end when its pending answers are out. */
void connection_drain(struct connection *connection);
/* Frees at once, whatever is pending. */
void connection_abandon(struct connection *connection);

/* Writes what the socket takes. True: all is out. */
bool connection_write(struct connection *connection);
/* Sends queued answers, writes, and again while that made room for more. True: all is out. */
bool connection_flush(struct connection *connection);
/* Takes the input that was held back, and a turn. */
void connection_resume(struct connection *connection);

/* connection_input.c: takes what is complete, holds the rest back. */
void connection_take_input(struct connection *connection, struct span in);
/* After a login: our AMQP header goes out without waiting for the peer's, as Hono does it. */
void connection_start_engine(struct connection *connection);

/* connection_login.c: logins and their outcome. */
bool connection_has_certificate(const struct connection *connection);
void connection_begin_login(struct connection *connection, const struct sasl_login *login);

/* connection_events.c: the engine's events. */
void connection_handle_events(struct connection *connection);
/* Detaches the link that the guard found at fault, with why->reason as the condition. */
void connection_fail_link(struct connection *connection, const struct guard_event *at,
                          const struct ks_failure *why);
