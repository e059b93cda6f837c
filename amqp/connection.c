#include "amqp/connection.h"

#include <assert.h>
#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/transport.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amqp/held.h"
#include "amqp/home.h"
#include "amqp/link.h"
#include "amqp/response.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "net/stream.h"
#include "net/tls.h"
#include "service/authority.h"

enum {
    LINGER_MS = 1000,             /* half-closed, until the peer ends */
    UNBLOCK_MS = 20000,           /* the socket takes nothing while much is unsent */
    BLOCKED_INPUT = 64 << 10,     /* bytes taken in beyond those that go out, while it is so */
    BLOCKED_PROGRESS = 256 << 10, /* bytes out that are worth another while */
};

const char amqp_header[8] = {'A', 'M', 'Q', 'P', 0, 1, 0, 0};

/* ---- ending ---- */

static void connection_linger(struct connection *connection)
{
    stream_want_write(connection->stream, false);
    stream_shutdown(connection->stream);
    stream_want_read(connection->stream, true);
    connection->state = CONNECTION_LINGER;
    connection->linger_until = clock_monotonic_ms() + LINGER_MS;
}

static void connection_end_engine(struct connection *connection)
{
    if (connection->has_engine) {
        pn_connection_driver_destroy(&connection->engine);
        connection->has_engine = false;
    }
}

/* The engine sends no CLOSE before it has seen an OPEN: then OPEN and CLOSE are written here. */
static void connection_fail_unopened(struct connection *connection, const char *condition,
                                     const char *description)
{
    connection_end_engine(connection);
    if (!connection->header_sent) {
        buf_add(&connection->out, amqp_header, sizeof(amqp_header));
    }
    response_encode_open(span_cstr(connection->home->container), &connection->out);
    response_encode_close(span_cstr(condition), span_cstr(description), &connection->out);
}

void connection_fail(struct connection *connection, const char *condition, const char *description)
{
    struct log_text text;

    log_info("connection-failed", "peer=%s condition=%s description=%s", connection->peer.text,
             condition, log_text(&text, span_cstr(description)));
    if (connection->state == CONNECTION_OPEN && !connection->opened) {
        connection_fail_unopened(connection, condition, description);
    } else if (connection->state == CONNECTION_OPEN) {
        pn_connection_t *engine = connection->engine.connection;
        pn_condition_t *at = pn_connection_condition(engine);

        (void)pn_condition_set_name(at, condition);
        (void)pn_condition_set_description(at, description);
        pn_connection_close(engine);
    }
    connection->state = CONNECTION_ENDING;
}

/* Everything that hangs on links, when the connection ends in whatever way. */
static void connection_drop_links(struct connection *connection)
{
    for (uint32_t i = 0; i < connection->links.count; i++) {
        struct link *link = connection->links.slot[i].item;

        if (link != NULL) {
            link_gone(link);
        }
    }
}

void connection_abandon(struct connection *connection)
{
    struct home *home = connection->home;

    if (connection->dirty) {
        struct connection **at = &home->dirty;

        while (*at != connection) {
            at = &(*at)->next_dirty;
        }
        *at = connection->next_dirty;
    }
    connection_drop_links(connection);
    held_written(connection);
    assert(connection->held_bytes == 0);
    slots_done(&connection->links);
    reply_map_done(&connection->replies);
    connection_end_engine(connection);
    if (connection->has_guard) {
        guard_done(&connection->guard);
    }
    identity_unref(connection->who);
    buf_done_secret(&connection->held);
    buf_done(&connection->out);
    reactor_timer_done(&connection->timer);
    stream_close(connection->stream);
    slots_remove(&home->connections, connection->handle);
    home_connection_gone(home);
    free(connection);
}

/* ---- output ---- */

/* The bytes to write next; empty if there are none. */
static struct span connection_output(struct connection *connection)
{
    if (connection->out_done < connection->out.len) {
        return span_of(connection->out.ptr + connection->out_done,
                       connection->out.len - connection->out_done);
    }
    if (connection->has_engine) {
        pn_bytes_t bytes = pn_connection_driver_write_buffer(&connection->engine);

        return span_of(bytes.start, bytes.size);
    }
    return span_of(NULL, 0);
}

static void connection_output_done(struct connection *connection, size_t n)
{
    if (connection->out_done < connection->out.len) {
        connection->out_done += n;
        if (connection->out_done == connection->out.len) {
            buf_clear(&connection->out);
            connection->out_done = 0;
        }
        return;
    }
    (void)pn_connection_driver_write_done(&connection->engine, n);
    connection->header_sent = true; /* it comes first, and whole */
}

/* The socket takes nothing now. What trickles out does not count as an end of that. */
static void connection_blocked(struct connection *connection)
{
    if (connection->unblock_by == 0) {
        connection->blocked_input = 0;
        connection->blocked_output = 0;
        connection->worth = BLOCKED_PROGRESS;
        connection->unblock_by = clock_monotonic_ms() + UNBLOCK_MS;
    } else if (connection->blocked_output >= connection->worth) {
        connection->worth = connection->blocked_output + BLOCKED_PROGRESS;
        connection->unblock_by = clock_monotonic_ms() + UNBLOCK_MS;
    }
}

bool connection_write(struct connection *connection)
{
    struct span bytes = connection_output(connection);

    while (bytes.len > 0) {
        size_t done = 0;
        enum stream_result result = stream_write(connection->stream, bytes.ptr, bytes.len, &done);

        switch (result) {
        case STREAM_OK:
            connection_output_done(connection, done);
            bytes = connection_output(connection);
            connection->blocked_output += done;
            break;
        case STREAM_AGAIN:
            connection_blocked(connection);
            stream_want_write(connection->stream, true);
            return false;
        case STREAM_END:
        case STREAM_ERROR:
            connection->dead = true;
            return false;
        }
    }
    stream_want_write(connection->stream, false);
    connection->unblock_by = 0;
    connection->ends_unwritten = 0;
    held_written(connection);
    return true;
}

bool connection_flush(struct connection *connection)
{
    bool all_out = connection_write(connection);

    while (all_out && connection->waiting != NULL) {
        size_t before = connection->queued_bytes;
        struct link *next;

        for (struct link *link = connection->waiting; link != NULL; link = next) {
            next = link->next_waiting;
            link_pump(link);
        }
        if (connection->queued_bytes == before) {
            break;
        }
        all_out = connection_write(connection);
    }
    return all_out;
}

/* ---- input ---- */

void connection_resume(struct connection *connection)
{
    connection_take_input(connection, span_of(NULL, 0));
    connection_turn(connection);
}

/* Before the OPEN little is needed, and little is taken: an unknown peer gets no large buffers. */
static size_t connection_read_size(const struct connection *connection)
{
    return connection->opened ? REACTOR_READ_BUFFER : SASL_FRAME_MAX;
}

static bool connection_wants_input(struct connection *connection)
{
    switch (connection->state) {
    case CONNECTION_LOGIN:
        return false;
    case CONNECTION_OPEN:
        /* Reading goes on while only credit is missing: the flow that frees us may be behind. */
        return connection->unblock_by == 0 ||
               connection->blocked_input < BLOCKED_INPUT + connection->blocked_output;
    case CONNECTION_SASL:
    case CONNECTION_HEADER:
    case CONNECTION_ENDING:
    case CONNECTION_LINGER:
        return true;
    }
    return true;
}

static void connection_on_readable(void *arg)
{
    struct connection *connection = arg;
    unsigned char *bytes = reactor_read_buffer(connection->home->reactor);
    size_t n = 0;

    switch (stream_read(connection->stream, bytes, connection_read_size(connection), &n)) {
    case STREAM_OK:
        connection->blocked_input += n;
        connection_take_input(connection, span_of(bytes, n));
        break;
    case STREAM_AGAIN:
        break;
    case STREAM_END:
    case STREAM_ERROR:
        connection->dead = true;
        break;
    }
    connection_turn(connection);
}

static void connection_on_writable(void *arg)
{
    connection_turn(arg);
}

/* ---- time ---- */

static void connection_tick(struct connection *connection)
{
    if (connection->has_engine && connection->state == CONNECTION_OPEN) {
        connection->tick_at =
            (int64_t)pn_transport_tick(connection->engine.transport, clock_monotonic_ms());
    } else {
        connection->tick_at = 0;
    }
}

static void connection_on_timer(void *arg)
{
    struct connection *connection = arg;
    int64_t now = clock_monotonic_ms();

    connection->timer_at = 0; /* fired, perhaps a little early: what is not due is set again */
    if (connection->open_by != 0 && now >= connection->open_by) {
        connection->open_by = 0;
        connection->dead = connection->state != CONNECTION_OPEN;
        if (!connection->dead) {
            connection_fail(connection, "amqp:resource-limit-exceeded", "no OPEN came in time");
        }
    }
    if (connection->linger_until != 0 && now >= connection->linger_until) {
        connection->dead = true;
    }
    if (connection->unblock_by != 0 && now >= connection->unblock_by) {
        connection->dead = true;
    }
    if (connection->tick_at != 0 && now >= connection->tick_at) {
        connection_tick(connection);
    }
    connection_turn(connection);
}

static void sooner(int64_t *at, int64_t candidate)
{
    if (candidate != 0 && (*at == 0 || candidate < *at)) {
        *at = candidate;
    }
}

static void connection_schedule(struct connection *connection)
{
    int64_t at = 0;

    sooner(&at, connection->open_by);
    sooner(&at, connection->linger_until);
    sooner(&at, connection->unblock_by);
    sooner(&at, connection->tick_at);
    if (at == connection->timer_at) {
        return;
    }
    connection->timer_at = at;
    if (at == 0) {
        reactor_timer_clear(&connection->timer);
    } else {
        reactor_timer_set(&connection->timer, at - clock_monotonic_ms());
    }
}

/* ---- turns ---- */

static void connection_settle_state(struct connection *connection, bool all_out)
{
    if (connection->state == CONNECTION_OPEN) {
        if (pn_connection_driver_write_closed(&connection->engine)) {
            connection->state = CONNECTION_ENDING;
        } else if (connection->draining && connection->jobs == 0 && connection->queued_bytes == 0) {
            connection_fail(connection, "amqp:connection:forced", "the registry is shutting down");
            all_out = connection_flush(connection);
        }
    } else if (connection->draining && connection->state < CONNECTION_OPEN) {
        connection->dead = true;
    }
    if (connection->state == CONNECTION_ENDING) {
        connection->open_by = 0;
        sooner(&connection->linger_until, clock_monotonic_ms() + UNBLOCK_MS);
        if (all_out) {
            connection_linger(connection);
        }
    }
}

void connection_turn(struct connection *connection)
{
    bool all_out = false;

    assert(reactor_is_current(connection->home->reactor));
    if (!connection->dead) {
        if (connection->has_engine) {
            connection_handle_events(connection);
        }
        all_out = connection_flush(connection);
    }
    if (!connection->dead && connection->state != CONNECTION_LINGER) {
        connection_settle_state(connection, all_out);
    }
    if (connection->dead) {
        connection_abandon(connection);
        return;
    }
    stream_want_read(connection->stream, connection_wants_input(connection));
    connection_schedule(connection);
}

void connection_turn_later(struct connection *connection)
{
    struct home *home = connection->home;

    if (connection->dirty) {
        return;
    }
    connection->dirty = true;
    connection->next_dirty = home->dirty;
    if (home->dirty == NULL) {
        reactor_timer_set(&home->turn_dirty, 0);
    }
    home->dirty = connection;
}

void connection_drain(struct connection *connection)
{
    connection->draining = true;
    connection_turn(connection);
}

/* ---- the beginning ---- */

void connection_accept(struct home *home, int fd, bool tls)
{
    static const struct stream_handler handler = {.readable = connection_on_readable,
                                                  .writable = connection_on_writable};
    struct connection *connection;
    struct ssl_st *ssl = NULL;

    if (tls) {
        ssl = tls_session(home->options->tls, fd, NULL);
        if (ssl == NULL) {
            close(fd);
            home_connection_gone(home);
            return;
        }
    }
    connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        abort();
    }
    connection->home = home;
    net_peer_text(fd, &connection->peer);
    connection->peer_key = net_peer_key(fd);
    buf_init(&connection->held, (size_t)home->options->limits.max_frame + REACTOR_READ_BUFFER);
    buf_init(&connection->out, (size_t)4 * SASL_FRAME_MAX);
    slots_init(&connection->links);
    connection->touches = CONNECTION_TOUCHES_MAX;
    connection->handle = slots_add(&home->connections, connection);
    connection->stream = stream_open(home->reactor, fd, ssl, &handler, connection);
    reactor_timer_init(&connection->timer, home->reactor, connection_on_timer, connection);
    connection->open_by = clock_monotonic_ms() + home->options->limits.handshake_ms;
    sasl_init(&connection->sasl, false);
    counters_add(home->counters, COUNTER_CONNECTIONS_ACCEPTED, 1);
    connection_schedule(connection);
}
