/* What a connection takes in: bytes to SASL, to the header, to frames; frames through the guard to
 * the engine. */
#include <proton/codec.h>
#include <proton/connection.h>
#include <proton/logger.h>
#include <proton/transport.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/connection.h"
#include "amqp/home.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"

enum {
    HEADER_SIZE = sizeof(amqp_header),
    FED_MAX = 8, /* transfers that the engine is given before what it makes of them is handled */
};

static void connection_feed(struct connection *connection, struct span bytes)
{
    while (bytes.len > 0) {
        pn_rwbytes_t room = pn_connection_driver_read_buffer(&connection->engine);
        size_t n = bytes.len < room.size ? bytes.len : room.size;

        if (n == 0) {
            return; /* the engine has closed its read side: it wants no more */
        }
        memcpy(room.start, bytes.ptr, n);
        pn_connection_driver_read_done(&connection->engine, n);
        bytes = span_of(bytes.ptr + n, bytes.len - n);
    }
}

/* What the OPEN says of us, for whoever reads a trace. */
static void write_properties(pn_data_t *properties)
{
    static const char *const pairs[] = {"product", "koseki", "version", KS_VERSION};

    (void)pn_data_put_map(properties);
    (void)pn_data_enter(properties);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i += 2) {
        (void)pn_data_put_symbol(properties, pn_bytes(strlen(pairs[i]), pairs[i]));
        (void)pn_data_put_string(properties, pn_bytes(strlen(pairs[i + 1]), pairs[i + 1]));
    }
    (void)pn_data_exit(properties);
}

/* What the engine says of frames it does not take is for whoever debugs a client. */
static void log_engine(intptr_t arg, pn_log_subsystem_t subsystem, pn_log_level_t severity,
                       const char *message)
{
    const struct connection *connection = (const struct connection *)arg; // NOLINT
    struct log_text text;

    (void)subsystem;
    log_debug("engine", "peer=%s level=%s text=%s", connection->peer.text,
              pn_logger_level_name(severity), log_text(&text, span_cstr(message)));
}

void connection_start_engine(struct connection *connection)
{
    const struct amqp_limits *limits = &connection->home->options->limits;
    pn_transport_t *transport;
    pn_connection_t *engine;

    if (pn_connection_driver_init(&connection->engine, NULL, NULL) != 0) {
        abort();
    }
    connection->has_engine = true;
    transport = connection->engine.transport;
    engine = connection->engine.connection;
    pn_logger_set_log_sink(pn_transport_logger(transport), log_engine, (intptr_t)connection);
    pn_transport_set_server(transport);
    pn_transport_set_max_frame(transport, limits->max_frame);
    (void)pn_transport_set_channel_max(transport, (uint16_t)(limits->max_sessions - 1));
    pn_transport_set_idle_timeout(transport, (pn_millis_t)(2 * limits->idle_ms));
    pn_connection_set_container(engine, connection->home->container);
    write_properties(pn_connection_properties(engine));
    /* The events at hand bind the transport; bytes fed before that would be lost. */
    while (pn_connection_driver_next_event(&connection->engine) != NULL) {
    }
    connection_feed(connection, span_of(amqp_header, HEADER_SIZE));
}

static size_t connection_take_sasl(struct connection *connection, struct span in)
{
    struct sasl_login login = {0};
    size_t consumed = 0;

    if (connection->sasl.state == SASL_HEADER) { /* a TLS handshake is through by now */
        connection->sasl.external = connection_has_certificate(connection);
    }
    switch (sasl_input(&connection->sasl, in, &consumed, &connection->out, &login)) {
    case SASL_STEP_MORE:
        break;
    case SASL_STEP_LOGIN:
        connection_begin_login(connection, &login);
        break;
    case SASL_STEP_REFUSED:
    case SASL_STEP_BROKEN:
        counters_add(connection->home->counters, COUNTER_LOGINS_FAILED, 1);
        connection->state = CONNECTION_ENDING;
        break;
    }
    return consumed;
}

/* The DETACH that a peer leaves out when it ends the session of the link. */
static void feed_detach(void *arg, uint16_t channel, uint32_t handle)
{
    const unsigned char frame[] = {0,
                                   0,
                                   0,
                                   20,
                                   2,
                                   0,
                                   (unsigned char)(channel >> 8),
                                   (unsigned char)channel,
                                   0x00,
                                   0x53,
                                   0x16,
                                   0xC0,
                                   7,
                                   2,
                                   0x70,
                                   (unsigned char)(handle >> 24),
                                   (unsigned char)(handle >> 16),
                                   (unsigned char)(handle >> 8),
                                   (unsigned char)handle,
                                   0x41};

    connection_feed(arg, span_of(frame, sizeof(frame)));
}

static size_t connection_take_header(struct connection *connection, struct span in)
{
    const struct amqp_limits *limits = &connection->home->options->limits;
    const struct guard_limits guard = {.max_frame = limits->max_frame,
                                       .max_message = limits->max_message,
                                       .max_sessions = limits->max_sessions,
                                       .max_session_begins = limits->max_session_begins,
                                       .max_links = limits->max_links};

    if (in.len < HEADER_SIZE) {
        return 0;
    }
    guard_init(&connection->guard, &guard);
    connection->guard.link_ended = feed_detach;
    connection->guard.link_ended_arg = connection;
    connection->has_guard = true;
    connection->state = CONNECTION_OPEN;
    if (memcmp(in.ptr, amqp_header, HEADER_SIZE) != 0) {
        connection_fail(connection, "amqp:connection:framing-error",
                        "expected the protocol header AMQP 0 1.0.0");
    }
    return HEADER_SIZE;
}

/* Whether events of this frame must be handled before the next one is judged. */
static bool is_control(enum guard_frame_kind kind)
{
    switch (kind) {
    case GUARD_FRAME_TRANSFER:
    case GUARD_FRAME_FLOW:
    case GUARD_FRAME_DISPOSITION:
    case GUARD_FRAME_EMPTY:
        return false;
    case GUARD_FRAME_OPEN:
    case GUARD_FRAME_BEGIN:
    case GUARD_FRAME_ATTACH:
    case GUARD_FRAME_DETACH:
    case GUARD_FRAME_END:
    case GUARD_FRAME_CLOSE:
        return true;
    }
    return true;
}

/* The engine answers a BEGIN on a channel of its own, and has one for each session that it
 * announced, but frees it only when it writes the END. */
static bool connection_has_channel(struct connection *connection)
{
    uint32_t limit = connection->home->options->limits.max_sessions;

    if (connection->ends_unwritten > 0) {
        (void)connection_write(connection);
    }
    /* The guard has counted the new session already. */
    return connection->guard.sessions + connection->ends_unwritten <= limit;
}

/* The engine's work for a disposition grows with the answers that it names. */
static bool connection_pays_for(struct connection *connection, uint32_t deliveries)
{
    uint32_t touched = deliveries < connection->unsettled ? deliveries : connection->unsettled;

    if (touched > connection->touches) {
        return false;
    }
    connection->touches -= touched;
    return true;
}

static size_t connection_take_frame(struct connection *connection, struct span in)
{
    const struct amqp_limits *limits = &connection->home->options->limits;
    struct ks_failure why = {0};
    struct guard_event next;
    struct span frame;
    size_t size = 0;

    if (in.len < HEADER_SIZE) {
        return 0;
    }
    if (!guard_frame_size(in, limits->max_frame, &size, &why)) {
        counters_add(connection->home->counters, COUNTER_GUARD_VIOLATIONS, 1);
        connection_fail(connection, "amqp:connection:framing-error", why.text);
        return 0;
    }
    if (in.len < size) {
        return 0;
    }
    frame = span_of(in.ptr, size);
    switch (guard_check(&connection->guard, frame, clock_monotonic_ms(), &next, &why)) {
    case GUARD_PASS:
        break;
    case GUARD_FAIL_LINK:
        counters_add(connection->home->counters, COUNTER_GUARD_VIOLATIONS, 1);
        connection_handle_events(connection); /* of the frames before */
        connection_fail_link(connection, &next, &why);
        break;
    case GUARD_FAIL_CONNECTION:
        counters_add(connection->home->counters, COUNTER_GUARD_VIOLATIONS, 1);
        connection_handle_events(connection);
        connection_fail(connection, why.reason, why.text);
        return size;
    }
    if (is_control(next.kind)) {
        connection_handle_events(connection); /* of the frames before */
    }
    if (next.kind == GUARD_FRAME_BEGIN && !connection_has_channel(connection)) {
        connection_fail(connection, "amqp:resource-limit-exceeded",
                        "sessions are begun while the END of others cannot be written");
        return size;
    }
    if (next.kind == GUARD_FRAME_DISPOSITION && !connection_pays_for(connection, next.deliveries)) {
        connection_fail(connection, "amqp:resource-limit-exceeded",
                        "dispositions name the same answers again and again");
        return size;
    }
    connection->frame = next;
    connection_feed(connection, frame);
    if (is_control(next.kind)) {
        connection_handle_events(connection);
        if (next.kind == GUARD_FRAME_BEGIN) {
            /* The engine opens its window when it makes our BEGIN: a client that does not wait
             * for it may have sent transfers behind. */
            (void)pn_connection_driver_write_buffer(&connection->engine);
        }
    } else if ((next.kind == GUARD_FRAME_TRANSFER || next.kind == GUARD_FRAME_DISPOSITION) &&
               ++connection->fed >= FED_MAX) {
        /* The engine keeps as many deliveries for ever as were once alive together. */
        connection->fed = 0;
        connection_handle_events(connection);
        (void)pn_connection_driver_write_buffer(&connection->engine);
    }
    return size;
}

/* Takes what is complete; returns how much. */
static size_t connection_take(struct connection *connection, struct span in)
{
    size_t total = 0;
    size_t n = 1;

    while (n > 0 && total < in.len) {
        struct span rest = span_of(in.ptr + total, in.len - total);

        n = 0;
        switch (connection->state) {
        case CONNECTION_SASL:
            n = connection_take_sasl(connection, rest);
            break;
        case CONNECTION_HEADER:
            n = connection_take_header(connection, rest);
            break;
        case CONNECTION_OPEN:
            n = connection_take_frame(connection, rest);
            break;
        case CONNECTION_LOGIN:
            break; /* held until the outcome */
        case CONNECTION_ENDING:
        case CONNECTION_LINGER:
            return in.len; /* thrown away */
        }
        total += n;
    }
    return total;
}

/* Input that was not taken is kept: a split frame, or what a client sent behind its login. */
void connection_take_input(struct connection *connection, struct span in)
{
    size_t taken;

    if (connection->held.len > 0) {
        buf_add_span(&connection->held, in);
        in = buf_span(&connection->held);
    }
    taken = connection_take(connection, in);
    if (connection->held.len > 0) {
        memmove(connection->held.ptr, connection->held.ptr + taken, connection->held.len - taken);
        connection->held.len -= taken;
    } else if (taken < in.len) {
        buf_add(&connection->held, in.ptr + taken, in.len - taken);
    }
    if (connection->held.len == 0) {
        buf_done(&connection->held); /* an idle connection holds no buffer */
    }
}
