#include "amqp/server.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "amqp/api.h"
#include "amqp/connection.h"
#include "amqp/home.h"
#include "base/clock.h"
#include "base/counters.h"
#include "net/listener.h"

const struct amqp_limits amqp_default_limits = {
    .max_frame = 32 << 10,
    .max_message = 64 << 10,
    .link_credit = 500,
    .max_connections = 20000,
    .max_links = 4096,
    .max_sessions = 32,
    .max_session_begins = 1024,
    .handshake_ms = 10000,
    .idle_ms = 10000,
};

struct port {
    struct amqp_server *server;
    bool tls;
    struct listener *listener;
    struct net_address_text bound;
};

struct amqp_server {
    struct amqp_options options;
    char container[96];
    struct port plain;
    struct port secure;
    struct home *homes;
    _Atomic unsigned connections;
    _Atomic bool draining;
};

/* ---- accepting ---- */

struct handed_socket {
    struct reactor_post post; /* first */
    struct home *home;
    int fd;
    bool tls;
};

static void take_socket(struct reactor_post *post, bool discard)
{
    struct handed_socket *handed = (struct handed_socket *)post;

    if (discard || atomic_load(&handed->home->server->draining)) {
        close(handed->fd);
        home_connection_gone(handed->home);
    } else {
        connection_accept(handed->home, handed->fd, handed->tls);
    }
    free(handed);
}

static struct home *least_loaded(struct amqp_server *server)
{
    struct home *best = &server->homes[0];

    for (size_t i = 1; i < server->options.reactor_count; i++) {
        if (atomic_load(reactor_load(server->homes[i].reactor)) <
            atomic_load(reactor_load(best->reactor))) {
            best = &server->homes[i];
        }
    }
    return best;
}

static void on_accepted(void *arg, int fd)
{
    struct port *port = arg;
    struct amqp_server *server = port->server;
    struct handed_socket *handed;
    struct home *home;

    if (atomic_fetch_add(&server->connections, 1) >= server->options.limits.max_connections) {
        atomic_fetch_sub(&server->connections, 1);
        counters_add(server->homes[0].counters, COUNTER_CONNECTIONS_REFUSED, 1);
        close(fd);
        return;
    }
    home = least_loaded(server);
    atomic_fetch_add(reactor_load(home->reactor), 1);
    handed = calloc(1, sizeof(*handed));
    if (handed == NULL) {
        abort();
    }
    handed->post.run = take_socket;
    handed->home = home;
    handed->fd = fd;
    handed->tls = port->tls;
    if (home == &server->homes[0]) { /* the accepting reactor itself */
        take_socket(&handed->post, false);
    } else {
        reactor_post(home->reactor, &handed->post);
    }
}

static enum ks_status open_port(struct amqp_server *server, struct port *port, const char *address,
                                bool tls, struct ks_failure *why)
{
    enum ks_status st;
    int fd = -1;

    port->server = server;
    port->tls = tls;
    if (address == NULL) {
        return KS_OK;
    }
    st = net_listen(address, &fd, &port->bound, why);
    if (st == KS_OK) {
        port->listener = listener_open(server->homes[0].reactor, fd, on_accepted, port);
    }
    return st;
}

/* ---- the server ---- */

enum ks_status amqp_server_open(struct amqp_server **out, const struct amqp_options *options,
                                struct ks_failure *why)
{
    struct amqp_server *server = calloc(1, sizeof(*server));
    enum ks_status st = KS_OK;

    if (server == NULL) {
        abort();
    }
    assert(options->reactor_count > 0);
    server->options = *options;
    if (options->apis == NULL) {
        server->options.apis = api_all;
    }
    server->homes = calloc(options->reactor_count, sizeof(struct home));
    if (server->homes == NULL) {
        abort();
    }
    for (size_t i = 0; i < options->reactor_count && st == KS_OK; i++) {
        struct home *home = &server->homes[i];

        home->server = server;
        home->options = &server->options;
        home->container = server->container;
        home->all_connections = &server->connections;
        st = home_open(home, options->reactors[i], why);
    }
    if (st == KS_OK) {
        st = open_port(server, &server->plain, options->listen, false, why);
    }
    if (st == KS_OK) {
        st = open_port(server, &server->secure, options->tls_listen, true, why);
    }
    if (st != KS_OK) {
        amqp_server_close(server);
        return st;
    }
    (void)snprintf(server->container, sizeof(server->container), "koseki-%s",
                   options->tls_listen != NULL ? server->secure.bound.text
                                               : server->plain.bound.text);
    *out = server;
    return KS_OK;
}

const struct net_address_text *amqp_server_bound(const struct amqp_server *server)
{
    return server->plain.listener == NULL ? NULL : &server->plain.bound;
}

const struct net_address_text *amqp_server_tls_bound(const struct amqp_server *server)
{
    return server->secure.listener == NULL ? NULL : &server->secure.bound;
}

/* ---- the end ---- */

struct drain_post {
    struct reactor_post post; /* first */
    struct home *home;
};

static void drain_home(struct reactor_post *post, bool discard)
{
    struct drain_post *drain = (struct drain_post *)post;
    struct home *home = drain->home;

    if (home == &home->server->homes[0]) {
        listener_close(home->server->plain.listener);
        listener_close(home->server->secure.listener);
        home->server->plain.listener = NULL;
        home->server->secure.listener = NULL;
    }
    for (uint32_t i = 0; i < home->connections.count && !discard; i++) {
        if (home->connections.slot[i].item != NULL) {
            connection_drain(home->connections.slot[i].item);
        }
    }
    free(drain);
}

void amqp_server_drain(struct amqp_server *server, int64_t ms)
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    int64_t until = clock_monotonic_ms() + ms;

    atomic_store(&server->draining, true);
    for (size_t i = 0; i < server->options.reactor_count; i++) {
        struct drain_post *drain = calloc(1, sizeof(*drain));

        if (drain == NULL) {
            abort();
        }
        drain->post.run = drain_home;
        drain->home = &server->homes[i];
        reactor_post(server->homes[i].reactor, &drain->post);
    }
    while (atomic_load(&server->connections) > 0 && clock_monotonic_ms() < until) {
        (void)nanosleep(&pause, NULL);
    }
}

void amqp_server_close(struct amqp_server *server)
{
    if (server == NULL) {
        return;
    }
    listener_close(server->plain.listener);
    listener_close(server->secure.listener);
    for (size_t i = 0; i < server->options.reactor_count; i++) {
        home_close(&server->homes[i]);
    }
    free(server->homes);
    free(server);
}
