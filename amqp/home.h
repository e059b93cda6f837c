/*
 * home: what the connections of one reactor share: their table, the reader, scratch buffers.
 *
 * Threads:   the reactor's only, but for what server.c sets up before it starts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "amqp/server.h"
#include "amqp/slots.h"
#include "base/buf.h"
#include "net/reactor.h"
#include "service/answer.h"
#include "service/service.h"

struct connection;

struct home {
    /* Set by the server before home_open: */
    struct amqp_server *server;
    const struct amqp_options *options;
    const char *container;             /* our container-id */
    _Atomic unsigned *all_connections; /* of the whole server, for the cap */

    struct reactor *reactor;
    struct counters_slot *counters;
    struct slots connections;
    struct service_reader reader;
    bool has_reader;

    /* Scratch of one request. */
    struct answer answer;
    struct buf response;
    unsigned char *message; /* options->limits.max_message bytes */

    struct connection *dirty; /* to be turned when the posts of this wake-up are through */
    struct reactor_timer turn_dirty;
    size_t queued_bytes;     /* answers that wait for credit, all connections */
    size_t held_bytes;       /* answers in the engine, all connections, beyond their shares */
    int64_t logged_at;       /* last line about a failed request: one a second */
    int64_t login_logged_at; /* the same about a device's login */
    uint32_t logins_not_logged;
};

KS_MUST_CHECK enum ks_status home_open(struct home *home, struct reactor *reactor,
                                       struct ks_failure *why);
/* The reactor has stopped: frees the connections that are left. Takes one that was never opened. */
void home_close(struct home *home);

/* The connection count of the whole server, for the cap: one less. */
void home_connection_gone(struct home *home);
/* Makes room when the answers that wait for credit pass the bound of this reactor: the connection
 * with most of them loses its reply links with queues. */
void home_reclaim(struct home *home);
