/*
 * broker_state: what the files of a broker's connection share. Internal to amqp/.
 *
 *   broker.c       its life: dial, the engine's events, output, deadlines, turns
 *   broker_input.c bytes to SASL, then frames through the guard to the engine
 *
 * Threads: its reactor's.
 */
#pragma once

#include <proton/connection_driver.h>
#include <stdint.h>

#include "amqp/broker.h"
#include "amqp/guard.h"
#include "amqp/sasl_client.h"
#include "base/buf.h"
#include "net/reactor.h"

struct stream;

enum {
    BROKER_FRAME_MAX = 32 << 10,
    BROKER_SILENCE_MS = 10000,     /* the engine announces half of it */
    BROKER_OUTCOME_TOUCHES = 8,    /* that dispositions may touch a delivery, on average */
    BROKER_TOUCHES_MAX = 64 << 10, /* such touches saved up */
};

enum broker_state {
    BROKER_DIALING,
    BROKER_SASL,
    BROKER_OPENING, /* header and OPEN */
    BROKER_OPEN,
    BROKER_CLOSING,
};

struct broker {
    const struct broker_options *options;
    const struct broker_url *url;
    const struct broker_handler *handler;
    void *arg;

    enum broker_state state;
    struct stream *stream;
    struct sasl_client sasl;
    struct buf held; /* input that is not whole */
    struct buf out;  /* of SASL */
    size_t out_done;
    pn_connection_driver_t engine;
    bool has_engine;
    struct guard guard; /* if has_engine */
    bool has_header;    /* the broker's, of AMQP */
    uint32_t touches;   /* of deliveries by dispositions that may still come */
    pn_session_t *session;

    bool failed; /* `why` says */
    struct ks_failure why;
    bool in_turn;
    struct reactor_timer timer;
    int64_t by;          /* deadline of the state; 0: none */
    int64_t tick_at;     /* heartbeats; 0: none */
    int64_t unblock_by;  /* the socket must take output again; 0: it does */
    size_t unread_input; /* bytes taken in while it takes none */
};

/* broker.c. The first failure counts; the turn ends the connection. */
void broker_fail(struct broker *broker, const char *text);
void broker_handle_events(struct broker *broker);

/* broker_input.c: takes what is whole, holds the rest back. */
void broker_take_input(struct broker *broker, struct span in);
