/*
 * server: the AMQP 1.0 service: listeners, reactors' connection tables, limits.
 *
 * Threads:   open, drain, close on the thread that set up the process; connections live on their
 *            reactors.
 * Ownership: borrows everything in the options.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "net/address.h"

struct accounts;
struct api;
struct amqp_server;
struct reactor;
struct service;
struct tls_context;

struct amqp_limits {
    uint32_t max_frame;          /* bytes, 512 to 1 MiB; our reads and what we advertise */
    uint32_t max_message;        /* bytes of a request */
    uint32_t link_credit;        /* requests in flight on a link */
    uint32_t max_connections;    /* all reactors together */
    uint32_t max_links;          /* live, of a connection */
    uint32_t max_sessions;       /* live, of a connection */
    uint32_t max_session_begins; /* in a connection's life */
    int64_t handshake_ms;        /* until OPEN */
    int64_t idle_ms;             /* advertised; silence of twice that ends the connection */
};

struct amqp_options {
    const char *listen;     /* HOST:PORT or NULL */
    const char *tls_listen; /* HOST:PORT or NULL */
    struct tls_context *tls;
    struct accounts *accounts;
    const struct service *service;
    struct reactor **reactors; /* started later; index 0 accepts */
    size_t reactor_count;
    struct amqp_limits limits;
    const struct api *const *apis; /* ends with NULL; NULL: api_all (amqp/api.h) */
};

extern const struct amqp_limits amqp_default_limits;

/* Binds and listens; connections are taken once the reactors run. */
KS_MUST_CHECK enum ks_status amqp_server_open(struct amqp_server **out,
                                              const struct amqp_options *options,
                                              struct ks_failure *why);
/* Where the ports are bound; NULL if not configured. */
const struct net_address_text *amqp_server_bound(const struct amqp_server *server);
const struct net_address_text *amqp_server_tls_bound(const struct amqp_server *server);
/* Stops accepting, asks every connection to finish (close amqp:connection:forced after its pending
 * answers), waits up to `ms`. Reactors are still running. */
void amqp_server_drain(struct amqp_server *server, int64_t ms);
/* The reactors have stopped. Takes NULL. */
void amqp_server_close(struct amqp_server *server);
