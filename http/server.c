#include "http/server.h"

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/call.h"
#include "http/cors.h"
#include "http/openapi.h"
#include "http/operations.h"
#include "http/peers.h"
#include "net/reactor.h"
#include "net/tls.h"

enum {
    SILENCE_S = 300, /* evhttp's own idea of it: peers are ended long before */
    OPERATIONS_CONNECTIONS = 64,
};

struct port {
    struct http_server *server;
    struct evhttp *http;
    struct evhttp_bound_socket *socket;
    struct net_address_text bound;
    enum peer_kind kind;
    bool tls;
};

struct http_server {
    struct http_options options;
    struct service_reader reader;
    bool has_reader;
    struct call_context calls;
    struct buf description; /* the OpenAPI document */
    struct port plain;
    struct port secure;
    struct port operations;
    struct peers *peers;
};

static struct bufferevent *make_bufferevent(struct event_base *base, void *arg)
{
    struct port *port = arg;
    struct http_server *server = port->server;
    struct bufferevent *bev = port->tls ? tls_bufferevent(server->options.tls, base)
                                        : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

    if (bev == NULL) {
        abort();
    }
    peers_admit(server->peers, bev, port->kind, port->tls);
    return bev;
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct port *port = arg;
    struct http_server *server = port->server;

    peers_serve(server->peers, request);
    if (port->kind == PEER_OPERATIONS) {
        operations_begin(&server->options.health, request);
    } else {
        call_begin(&server->calls, request);
    }
}

/* ---- ports ---- */

static enum ks_status open_port(struct http_server *server, struct port *port, const char *address,
                                struct ks_failure *why)
{
    static const ev_uint16_t methods = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                       EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                       EVHTTP_REQ_PATCH; /* all that head_write can write */
    enum ks_status st;
    int fd = -1;

    port->server = server;
    if (address == NULL) {
        return KS_OK;
    }
    st = net_listen(address, &fd, &port->bound, why);
    if (st != KS_OK) {
        return st;
    }
    port->http = evhttp_new(reactor_base(server->options.reactor));
    if (port->http == NULL) {
        abort();
    }
    evhttp_set_allowed_methods(port->http, methods);
    evhttp_set_max_headers_size(port->http, (ev_ssize_t)peers_head_max());
    evhttp_set_max_body_size(port->http, (ev_ssize_t)peers_body_max(server->peers));
    evhttp_set_timeout(port->http, SILENCE_S);
    evhttp_set_default_content_type(port->http, NULL);
    evhttp_set_bevcb(port->http, make_bufferevent, port);
    evhttp_set_gencb(port->http, on_request, port);
    port->socket = evhttp_accept_socket_with_handle(port->http, fd);
    if (port->socket == NULL) {
        close(fd);
        return ks_fail(why, KS_IO, NULL, "cannot serve HTTP on %s", address);
    }
    return KS_OK;
}

static const struct net_address_text *bound_of(const struct port *port)
{
    return port->http == NULL ? NULL : &port->bound;
}

const struct net_address_text *http_server_bound(const struct http_server *server)
{
    return bound_of(&server->plain);
}

const struct net_address_text *http_server_tls_bound(const struct http_server *server)
{
    return bound_of(&server->secure);
}

const struct net_address_text *http_server_ops_bound(const struct http_server *server)
{
    return bound_of(&server->operations);
}

/* ---- the server ---- */

static enum ks_status open_ports(struct http_server *server, struct ks_failure *why)
{
    const struct http_options *options = &server->options;
    enum ks_status st = open_port(server, &server->plain, options->listen, why);

    if (st == KS_OK) {
        st = open_port(server, &server->secure, options->tls_listen, why);
    }
    return st == KS_OK ? open_port(server, &server->operations, options->ops_listen, why) : st;
}

enum ks_status http_server_open(struct http_server **out, const struct http_options *options,
                                struct ks_failure *why)
{
    const struct peers_options peers = {
        .reactor = options->reactor,
        .max_payload = options->max_payload,
        .max_connections = {[PEER_MANAGEMENT] = options->max_connections,
                            [PEER_OPERATIONS] = OPERATIONS_CONNECTIONS}};
    struct http_server *server = calloc(1, sizeof(*server));
    enum ks_status st;

    if (server == NULL) {
        abort();
    }
    server->options = *options;
    server->secure.tls = true;
    server->operations.kind = PEER_OPERATIONS;
    server->peers = peers_open(&peers);
    openapi_add(&server->description);
    server->calls = (struct call_context){.options = &server->options,
                                          .reader = &server->reader,
                                          .description = buf_span(&server->description)};
    logins_open(&server->calls.logins, options->reactor, options->accounts);
    st = cors_open(&server->calls.cors, options->cors_allowed_origin, why);
    if (st == KS_OK) {
        st = service_reader_open(&server->reader, options->service,
                                 reactor_counters(options->reactor), why);
        server->has_reader = st == KS_OK;
    }
    if (st == KS_OK) {
        st = open_ports(server, why);
    }
    if (st != KS_OK) {
        http_server_close(server);
        return st;
    }
    *out = server;
    return KS_OK;
}

struct drain_post {
    struct reactor_post post; /* first */
    struct http_server *server;
};

static void stop_accepting(struct port *port)
{
    if (port->socket != NULL) {
        evhttp_del_accept_socket(port->http, port->socket);
        port->socket = NULL;
    }
}

static void drain_on_reactor(struct reactor_post *post, bool discard)
{
    struct drain_post *drain = (struct drain_post *)post;

    if (!discard) {
        peers_close_door(drain->server->peers);
        stop_accepting(&drain->server->plain);
        stop_accepting(
            &drain->server->secure); /* the operations port tells of the stop to the end */
        logins_hurry(&drain->server->calls.logins);
    }
    free(drain);
}

void http_server_drain(struct http_server *server, int64_t ms)
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    int64_t until = clock_monotonic_ms() + ms;
    struct drain_post *drain = calloc(1, sizeof(*drain));

    if (drain == NULL) {
        abort();
    }
    drain->post.run = drain_on_reactor;
    drain->server = server;
    reactor_post(server->options.reactor, &drain->post);
    while (atomic_load(&server->calls.in_flight) > 0 && clock_monotonic_ms() < until) {
        (void)nanosleep(&pause, NULL);
    }
}

static void close_port(struct port *port)
{
    if (port->http != NULL) {
        evhttp_free(port->http); /* with its connections */
        port->http = NULL;
    }
}

void http_server_close(struct http_server *server)
{
    if (server == NULL) {
        return;
    }
    logins_close(&server->calls.logins);
    close_port(&server->plain);
    close_port(&server->secure);
    close_port(&server->operations);
    peers_close(server->peers);
    cors_close(server->calls.cors);
    buf_done(&server->description);
    if (server->has_reader) {
        service_reader_close(&server->reader);
    }
    free(server);
}
