#include "amqp/broker_state.h"

#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/event.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/transport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "net/address.h"
#include "net/dialer.h"
#include "net/stream.h"
#include "net/tls.h"

enum {
    OPEN_WITHIN_MS = 5000, /* from the dial to the OPEN */
    CLOSE_WITHIN_MS = 1000,
    BLOCKED_INPUT = 64 << 10, /* bytes taken in while the socket takes none */
};

/* True once: whoever comes first says why. */
static bool first_failure(struct broker *broker)
{
    bool first = !broker->failed;

    broker->failed = true;
    return first;
}

void broker_fail(struct broker *broker, const char *text)
{
    if (first_failure(broker)) {
        (void)ks_fail(&broker->why, KS_IO, NULL, "%s", text);
    }
}

static void stream_failed(struct broker *broker)
{
    if (first_failure(broker)) {
        stream_explain(broker->stream, &broker->why);
    }
}

/* What has not come before the deadline of the state. */
static const char *overdue(const struct broker *broker)
{
    if (broker->state == BROKER_CLOSING) {
        return "closed";
    }
    if (broker->stream == NULL) {
        return "the broker could not be reached in time";
    }
    if (stream_is_tls(broker->stream) && !stream_is_tls_open(broker->stream)) {
        return "the broker did not shake hands over TLS in time: does it expect TLS at this port?";
    }
    if (broker->state == BROKER_SASL && !stream_is_tls(broker->stream)) {
        return "the broker did not answer the login in time: does it expect TLS (amqps) at this "
               "port?";
    }
    return "the broker did not answer the login and OPEN in time";
}

/* ---- events ---- */

static void add_condition(pn_condition_t *condition, const char *what, struct ks_failure *why)
{
    const char *name = pn_condition_get_name(condition);
    const char *text = pn_condition_get_description(condition);

    (void)ks_fail(why, KS_IO, NULL, "%s%s%.100s%s%.200s", what, name != NULL ? ": " : "",
                  name != NULL ? name : "", text != NULL ? ", " : "", text != NULL ? text : "");
    utf8_mend(why->text); /* whatever the broker sent, and where it was cut */
}

static void on_remote_open(struct broker *broker)
{
    if (broker->state == BROKER_OPENING) {
        broker->state = BROKER_OPEN;
        broker->by = 0;
        broker->tick_at = clock_monotonic_ms();
        broker->handler->opened(broker->arg);
    }
}

static void on_remote_close(struct broker *broker, pn_event_t *event)
{
    pn_connection_close(broker->engine.connection);
    if (first_failure(broker)) {
        add_condition(pn_connection_remote_condition(pn_event_connection(event)),
                      broker->state == BROKER_CLOSING ? "closed"
                                                      : "the broker closed the connection",
                      &broker->why);
    }
}

static void on_link(struct broker *broker, pn_event_t *event, bool ended)
{
    pn_link_t *link = pn_event_link(event);

    if ((pn_link_state(link) & PN_LOCAL_UNINIT) != 0) {
        broker_fail(broker, "the broker attached a link that we did not open");
        return;
    }
    broker->handler->link_changed(broker->arg, link, ended);
    if (ended) {
        pn_link_close(link);
        pn_link_free(link);
    }
}

/* "Received" is a word on the way. */
static bool is_terminal(uint64_t state)
{
    return state != 0 && state != PN_RECEIVED;
}

static void on_delivery(struct broker *broker, pn_event_t *event)
{
    pn_delivery_t *delivery = pn_event_delivery(event);

    if (pn_delivery_link(delivery) == NULL || !pn_link_is_sender(pn_delivery_link(delivery))) {
        return;
    }
    if (pn_delivery_updated(delivery) &&
        (is_terminal(pn_delivery_remote_state(delivery)) || pn_delivery_settled(delivery))) {
        broker->handler->outcome(broker->arg, delivery);
        pn_delivery_settle(delivery);
        broker->touches = broker->touches < BROKER_TOUCHES_MAX - BROKER_OUTCOME_TOUCHES
                              ? broker->touches + BROKER_OUTCOME_TOUCHES
                              : BROKER_TOUCHES_MAX;
    }
}

static void handle_event(struct broker *broker, pn_event_t *event)
{
    switch ((int)pn_event_type(event)) {
    case PN_CONNECTION_REMOTE_OPEN:
        on_remote_open(broker);
        break;
    case PN_CONNECTION_REMOTE_CLOSE:
        on_remote_close(broker, event);
        break;
    case PN_SESSION_REMOTE_CLOSE:
        broker_fail(broker, "the broker ended the session");
        break;
    case PN_LINK_REMOTE_OPEN:
    case PN_LINK_FLOW:
        on_link(broker, event, false);
        break;
    case PN_LINK_REMOTE_CLOSE:
    case PN_LINK_REMOTE_DETACH:
        on_link(broker, event, true);
        break;
    case PN_DELIVERY:
        on_delivery(broker, event);
        break;
    case PN_TRANSPORT_ERROR:
        if (first_failure(broker)) {
            add_condition(pn_transport_condition(broker->engine.transport), "the connection failed",
                          &broker->why);
        }
        break;
    default:
        break;
    }
}

void broker_handle_events(struct broker *broker)
{
    pn_event_t *event = pn_connection_driver_next_event(&broker->engine);

    while (event != NULL) {
        handle_event(broker, event);
        event = pn_connection_driver_next_event(&broker->engine);
    }
}

/* ---- input ---- */

static void on_readable(void *arg)
{
    struct broker *broker = arg;
    unsigned char *bytes = reactor_read_buffer(broker->options->reactor);
    size_t n = 0;

    switch (stream_read(broker->stream, bytes, REACTOR_READ_BUFFER, &n)) {
    case STREAM_OK:
        broker->unread_input += n;
        broker->in_turn = true;
        broker_take_input(broker, span_of(bytes, n));
        broker->in_turn = false;
        break;
    case STREAM_AGAIN:
        break;
    case STREAM_END:
        broker_fail(broker, "the broker ended the connection");
        break;
    case STREAM_ERROR:
        stream_failed(broker);
        break;
    }
    broker_turn(broker);
}

static void on_writable(void *arg)
{
    broker_turn(arg);
}

/* ---- output ---- */

static struct span output(struct broker *broker)
{
    if (broker->out_done < broker->out.len) {
        return span_of(broker->out.ptr + broker->out_done, broker->out.len - broker->out_done);
    }
    if (broker->has_engine) {
        pn_bytes_t bytes = pn_connection_driver_write_buffer(&broker->engine);

        return span_of(bytes.start, bytes.size);
    }
    return span_of(NULL, 0);
}

static void output_done(struct broker *broker, size_t n)
{
    if (broker->out_done == broker->out.len) {
        (void)pn_connection_driver_write_done(&broker->engine, n);
        return;
    }
    broker->out_done += n;
    if (broker->out_done == broker->out.len) {
        buf_done_secret(&broker->out); /* it held the password */
        broker->out_done = 0;
    }
}

/* While the socket takes nothing, little is taken in: what is answered would pile up. */
static void watch_output(struct broker *broker, bool moved, bool blocked)
{
    if (moved || !blocked) {
        broker->unblock_by = 0;
        broker->unread_input = 0;
    }
    if (blocked && broker->unblock_by == 0) {
        broker->unblock_by = clock_monotonic_ms() + BROKER_SILENCE_MS;
    }
    stream_want_write(broker->stream, blocked);
    stream_want_read(broker->stream, !blocked || broker->unread_input < BLOCKED_INPUT);
}

static void write_out(struct broker *broker)
{
    struct span bytes = output(broker);
    bool blocked = false;
    bool moved = false;

    while (bytes.len > 0 && !blocked && !broker->failed) {
        size_t done = 0;

        switch (stream_write(broker->stream, bytes.ptr, bytes.len, &done)) {
        case STREAM_OK:
            output_done(broker, done);
            bytes = output(broker);
            moved = true;
            break;
        case STREAM_AGAIN:
            blocked = true;
            break;
        case STREAM_END:
            broker_fail(broker, "the broker ended the connection");
            break;
        case STREAM_ERROR:
            stream_failed(broker);
            break;
        }
    }
    watch_output(broker, moved, blocked);
}

/* ---- time ---- */

static void sooner(int64_t *at, int64_t candidate)
{
    if (candidate != 0 && (*at == 0 || candidate < *at)) {
        *at = candidate;
    }
}

static void schedule(struct broker *broker)
{
    int64_t at = broker->by;

    sooner(&at, broker->unblock_by);
    sooner(&at, broker->tick_at);
    if (at == 0) {
        reactor_timer_clear(&broker->timer);
    } else {
        reactor_timer_set(&broker->timer, at - clock_monotonic_ms());
    }
}

/* Heartbeats. Nothing fails in it but for the broker's own. */
static void tick(struct broker *broker, int64_t now)
{
    pn_transport_t *transport = broker->engine.transport;

    broker->tick_at = (int64_t)pn_transport_tick(transport, now);
    if (pn_condition_is_set(pn_transport_condition(transport))) {
        broker_fail(broker, "the broker was silent for 10 s");
    }
}

static void on_timer(void *arg)
{
    struct broker *broker = arg;
    int64_t now = clock_monotonic_ms();

    if (broker->by != 0 && now >= broker->by) {
        broker_fail(broker, overdue(broker));
    }
    if (broker->unblock_by != 0 && now >= broker->unblock_by) {
        broker_fail(broker, "the broker took nothing for 10 s");
    }
    if (broker->tick_at != 0 && now >= broker->tick_at && broker->has_engine) {
        tick(broker, now);
    }
    broker_turn(broker);
}

/* ---- turns ---- */

/* Credit that is to be used at once and was not goes back to the peer. */
static void give_back_credit(struct broker *broker)
{
    pn_link_t *link = pn_link_head(broker->engine.connection, PN_LOCAL_ACTIVE | PN_REMOTE_ACTIVE);

    while (link != NULL) {
        if (pn_link_get_drain(link) && pn_link_credit(link) > 0) {
            (void)pn_link_drained(link);
        }
        link = pn_link_next(link, PN_LOCAL_ACTIVE | PN_REMOTE_ACTIVE);
    }
}

void broker_turn(struct broker *broker)
{
    if (broker->in_turn) {
        return; /* the turn under way comes to it */
    }
    broker->in_turn = true;
    if (broker->has_engine) {
        broker_handle_events(broker);
        if (broker->state == BROKER_OPEN && !broker->failed) {
            broker->handler->turned(broker->arg);
            give_back_credit(broker);
        }
    }
    if (broker->stream != NULL) {
        write_out(broker);
    }
    if (broker->has_engine) {
        broker_handle_events(broker); /* of writing */
    }
    broker->in_turn = false;
    if (broker->failed) {
        struct ks_failure why = broker->why;

        broker->handler->ended(broker->arg, &why); /* closes the broker */
        return;
    }
    schedule(broker);
}

/* ---- the beginning ---- */

static void dialed(void *arg, int fd, const struct ks_failure *why)
{
    static const struct stream_handler handler = {.readable = on_readable, .writable = on_writable};
    struct broker *broker = arg;
    struct ssl_st *ssl = NULL;
    char host[NET_HOST_PORT_MAX];

    if (fd < 0) {
        broker_fail(broker, why->text);
        broker_turn(broker);
        return;
    }
    if (broker->url->tls) {
        net_host_of(broker->url->host_port, host, sizeof(host));
        ssl = tls_session(broker->options->tls, fd, host);
        if (ssl == NULL) {
            abort(); /* memory is gone */
        }
    }
    broker->stream = stream_open(broker->options->reactor, fd, ssl, &handler, broker);
    broker->state = BROKER_SASL;
    sasl_client_begin(&broker->sasl, &broker->out);
    broker_turn(broker);
}

struct broker *broker_open(const struct broker_options *options, const struct broker_url *url,
                           const struct broker_handler *handler, void *arg)
{
    struct broker *broker = calloc(1, sizeof(*broker));

    if (broker == NULL) {
        abort();
    }
    broker->options = options;
    broker->url = url;
    broker->handler = handler;
    broker->arg = arg;
    broker->sasl = (struct sasl_client){.peer = "the broker",
                                        .user = options->user,
                                        .password = options->password,
                                        .certificate = options->certificate && url->tls};
    buf_init(&broker->held, (size_t)BROKER_FRAME_MAX + REACTOR_READ_BUFFER);
    buf_init(&broker->out, (size_t)2 * SASL_CLIENT_FRAME_MAX);
    broker->touches = BROKER_TOUCHES_MAX;
    reactor_timer_init(&broker->timer, options->reactor, on_timer, broker);
    broker->by = clock_monotonic_ms() + OPEN_WITHIN_MS;
    dialer_connect(options->dialer, url->host_port, OPEN_WITHIN_MS, dialed, broker);
    schedule(broker);
    return broker;
}

void broker_close(struct broker *broker)
{
    if (broker == NULL) {
        return;
    }
    dialer_cancel(broker->options->dialer);
    if (broker->has_engine) {
        pn_connection_driver_destroy(&broker->engine);
        guard_done(&broker->guard);
    }
    if (broker->stream != NULL) {
        stream_close(broker->stream);
    }
    buf_done(&broker->held);
    buf_done_secret(&broker->out);
    reactor_timer_done(&broker->timer);
    free(broker);
}

void broker_give_up(struct broker *broker, const char *why)
{
    broker_fail(broker, why);
    broker_turn(broker);
}

void broker_shut_down(struct broker *broker)
{
    if (broker->state == BROKER_OPEN) {
        pn_connection_close(broker->engine.connection);
        broker->state = BROKER_CLOSING;
        broker->by = clock_monotonic_ms() + CLOSE_WITHIN_MS;
    } else if (broker->state != BROKER_CLOSING) {
        broker_fail(broker, "closed");
    }
    broker_turn(broker);
}

bool broker_is_open(const struct broker *broker)
{
    return broker->state == BROKER_OPEN && !broker->failed;
}

struct pn_session_t *broker_session(struct broker *broker)
{
    return broker->session;
}

bool broker_relays(struct broker *broker)
{
    pn_data_t *offered = pn_connection_remote_offered_capabilities(broker->engine.connection);
    bool found = false;
    bool several;

    pn_data_rewind(offered);
    if (!pn_data_next(offered)) {
        return false;
    }
    several = pn_data_type(offered) == PN_ARRAY || pn_data_type(offered) == PN_LIST;
    if (several && (!pn_data_enter(offered) || !pn_data_next(offered))) {
        return false;
    }
    do {
        pn_bytes_t symbol = pn_data_get_symbol(offered);

        found = found || (pn_data_type(offered) == PN_SYMBOL &&
                          symbol.size == sizeof("ANONYMOUS-RELAY") - 1 &&
                          memcmp(symbol.start, "ANONYMOUS-RELAY", symbol.size) == 0);
    } while (several && pn_data_next(offered));
    return found;
}
