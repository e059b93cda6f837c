#include "http/server.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/call.h"
#include "http/openapi.h"
#include "http/operations.h"
#include "net/reactor.h"
#include "net/tls.h"

enum {
    HEADERS_MAX = 8 << 10,
    BODY_SLACK = 64 << 10,      /* above our own limit, so that our own 413 is the answer */
    READ_AHEAD_MAX = 128 << 10, /* while an answer is written evhttp reads on */
    IDLE_S = 30,                /* silence that ends a connection */
    REQUEST_BY_MS = 60000,      /* from the connect, or the last answer, to a whole request */
    SWEEP_MS = 250,
    OPERATIONS_CONNECTIONS = 64,
};

/*
 * A connection of any port. evhttp tells of a connection when it makes its bufferevent, but not
 * when it ends: so a reference of ours keeps the bufferevent, and one whose callbacks evhttp has
 * taken off is one that it is done with.
 */
struct peer {
    struct peer *next;
    struct bufferevent *bev;
    int64_t waiting_since; /* for a whole request; 0: one is being served */
    bool operations;       /* of the operations port */
    bool refused;          /* over the cap: to be closed at once */
};

struct port {
    struct http_server *server;
    struct evhttp *http;
    struct evhttp_bound_socket *socket;
    struct net_address_text bound;
    bool tls;
    bool operations;
};

struct http_server {
    struct http_options options;
    struct service_reader reader;
    bool has_reader;
    struct call_context calls;
    struct buf description; /* the OpenAPI document */
    _Atomic unsigned in_flight;
    _Atomic bool draining;
    struct port plain;
    struct port secure;
    struct port operations;
    struct peer *peers;
    size_t peer_count;       /* of the management ports */
    size_t operations_count; /* of the operations port: probes get in when the others are full */
    struct reactor_timer sweep;
};

/* ---- connections ---- */

static bool peer_is_gone(const struct peer *peer)
{
    bufferevent_data_cb read = NULL;
    bufferevent_data_cb write = NULL;
    bufferevent_event_cb event = NULL;

    bufferevent_getcb(peer->bev, &read, &write, &event, NULL);
    return read == NULL && write == NULL && event == NULL;
}

static void drop_peer(struct http_server *server, struct peer **at)
{
    struct peer *peer = *at;

    *at = peer->next;
    *(peer->operations ? &server->operations_count : &server->peer_count) -= 1;
    (void)bufferevent_decref(peer->bev); /* closes the socket if it was the last */
    free(peer);
}

/* Lets go of what has ended, and ends what was refused or whose request does not arrive: byte by
 * byte is no way around the idle time. */
static void sweep(void *arg)
{
    struct http_server *server = arg;
    int64_t now = clock_monotonic_ms();
    struct peer **at = &server->peers;

    while (*at != NULL) {
        struct peer *peer = *at;

        if (peer_is_gone(peer)) {
            drop_peer(server, at);
            continue;
        }
        if (peer->refused ||
            (peer->waiting_since != 0 && now - peer->waiting_since > REQUEST_BY_MS)) {
            (void)shutdown(bufferevent_getfd(peer->bev), SHUT_RDWR); /* evhttp sees the end */
        }
        at = &peer->next;
    }
    reactor_timer_set(&server->sweep, SWEEP_MS);
}

static struct bufferevent *make_bufferevent(struct event_base *base, void *arg)
{
    struct port *port = arg;
    struct http_server *server = port->server;
    struct bufferevent *bev = port->tls ? tls_bufferevent(server->options.tls, base)
                                        : bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct peer *peer = calloc(1, sizeof(*peer));

    if (bev == NULL || peer == NULL) {
        abort();
    }
    bufferevent_setwatermark(bev, EV_READ, 0, READ_AHEAD_MAX);
    bufferevent_incref(bev);
    peer->bev = bev;
    peer->waiting_since = clock_monotonic_ms();
    peer->operations = port->operations;
    peer->refused = port->operations ? server->operations_count >= OPERATIONS_CONNECTIONS
                                     : server->peer_count >= server->options.max_connections ||
                                           atomic_load(&server->draining);
    peer->next = server->peers;
    server->peers = peer;
    *(peer->operations ? &server->operations_count : &server->peer_count) += 1;
    if (peer->refused) {
        reactor_timer_set(&server->sweep, 0); /* evhttp has set the socket by then */
    }
    return bev;
}

static struct peer *peer_of(struct http_server *server, struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct bufferevent *bev =
        connection == NULL ? NULL : evhttp_connection_get_bufferevent(connection);
    struct peer *peer = server->peers;

    while (peer != NULL && peer->bev != bev) {
        peer = peer->next;
    }
    return peer;
}

static void on_answered(struct evhttp_request *request, void *arg)
{
    struct peer *peer = peer_of(arg, request);

    if (peer != NULL) {
        peer->waiting_since = clock_monotonic_ms();
    }
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct port *port = arg;
    struct http_server *server = port->server;
    struct peer *peer = peer_of(server, request);

    if (peer != NULL) {
        peer->waiting_since = 0;
        evhttp_request_set_on_complete_cb(request, on_answered, server);
    }
    if (port->operations) {
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
                                       EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH;
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
    evhttp_set_max_headers_size(port->http, HEADERS_MAX);
    evhttp_set_max_body_size(port->http, (ev_ssize_t)server->options.max_payload + BODY_SLACK);
    evhttp_set_timeout(port->http, IDLE_S);
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

enum ks_status http_server_open(struct http_server **out, const struct http_options *options,
                                struct ks_failure *why)
{
    struct http_server *server = calloc(1, sizeof(*server));
    enum ks_status st;

    if (server == NULL) {
        abort();
    }
    server->options = *options;
    server->secure.tls = true;
    server->operations.operations = true;
    reactor_timer_init(&server->sweep, options->reactor, sweep, server);
    reactor_timer_set(&server->sweep, SWEEP_MS);
    openapi_add(&server->description);
    server->calls = (struct call_context){.options = &server->options,
                                          .reader = &server->reader,
                                          .in_flight = &server->in_flight,
                                          .description = buf_span(&server->description)};
    st = service_reader_open(&server->reader, options->service, reactor_counters(options->reactor),
                             why);
    server->has_reader = st == KS_OK;
    if (st == KS_OK) {
        st = open_port(server, &server->plain, options->listen, why);
    }
    if (st == KS_OK) {
        st = open_port(server, &server->secure, options->tls_listen, why);
    }
    if (st == KS_OK) {
        st = open_port(server, &server->operations, options->ops_listen, why);
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
        stop_accepting(&drain->server->plain);
        stop_accepting(
            &drain->server->secure); /* the operations port tells of the stop to the end */
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
    atomic_store(&server->draining, true);
    drain->post.run = drain_on_reactor;
    drain->server = server;
    reactor_post(server->options.reactor, &drain->post);
    while (atomic_load(&server->in_flight) > 0 && clock_monotonic_ms() < until) {
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
    close_port(&server->plain);
    close_port(&server->secure);
    close_port(&server->operations);
    while (server->peers != NULL) {
        drop_peer(server, &server->peers);
    }
    reactor_timer_done(&server->sweep);
    buf_done(&server->description);
    if (server->has_reader) {
        service_reader_close(&server->reader);
    }
    free(server);
}
