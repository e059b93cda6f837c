/*
 * server: the management API and the operations port, on libevent's evhttp, on one reactor.
 *
 * evhttp is tamed in http/peers.h: it gets to see only requests that were read strictly before it.
 *
 * Threads:   open and close on the thread that set up the process; requests on the reactor. Answers
 *            of writes are posted back to it and dropped if their connection has gone.
 * Ownership: borrows everything in the options.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "net/address.h"

struct accounts;
struct http_server;
struct reactor;
struct service;
struct tls_context;

/* Readiness is asked of whoever set up the process. KS_OK: ready. */
struct http_health {
    enum ks_status (*ready)(void *arg, struct ks_failure *why);
    enum ks_status (*started)(void *arg, struct ks_failure *why);
    /* A further check of /readiness that is always up: its members as JSON. NULL: none. */
    const char *note_name;
    void (*note)(void *arg, struct buf *members);
    void *arg;
};

struct http_options {
    const char *listen;     /* management, plain; NULL: closed */
    const char *tls_listen; /* management, TLS; NULL: closed */
    const char *ops_listen; /* operations, plain; NULL: closed */
    struct tls_context *tls;
    struct accounts *accounts;
    bool authentication;             /* http.authentication; false: everyone may do everything */
    const char *cors_allowed_origin; /* "*" or a pattern (http/cors.h) */
    const struct service *service;
    struct reactor *reactor;
    size_t max_payload;     /* bytes of a request body */
    size_t max_connections; /* of the management ports; the operations port has a few of its own */
    struct http_health health;
};

KS_MUST_CHECK enum ks_status http_server_open(struct http_server **out,
                                              const struct http_options *options,
                                              struct ks_failure *why);
const struct net_address_text *http_server_bound(const struct http_server *server);
const struct net_address_text *http_server_tls_bound(const struct http_server *server);
const struct net_address_text *http_server_ops_bound(const struct http_server *server);
/* Stops accepting and waits up to `ms` for the requests in flight. The reactor is still running. */
void http_server_drain(struct http_server *server, int64_t ms);
/* The reactor has stopped. Takes NULL. */
void http_server_close(struct http_server *server);
