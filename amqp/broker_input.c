/* What a broker sends: bytes to SASL, then frames through the guard to the engine. */
#include <proton/connection.h>
#include <proton/session.h>
#include <proton/transport.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/broker_state.h"
#include "net/address.h"

enum {
    HEADER_SIZE = 8,  /* that of the protocol, and that of a frame */
    SESSIONS = 32,    /* announced as channel-max: the broker may answer our one on any of these */
    LINKS_MAX = 1024, /* attached, with those that it has not let go of yet */
};

static const char header[HEADER_SIZE] = {'A', 'M', 'Q', 'P', 0, 1, 0, 0};

static void start_engine(struct broker *broker)
{
    static const struct guard_limits limits = {.max_frame = BROKER_FRAME_MAX,
                                               .max_sessions = SESSIONS,
                                               .max_session_begins = 1,
                                               .max_links = LINKS_MAX,
                                               .answers = true};
    char host[NET_HOST_PORT_MAX];

    if (pn_connection_driver_init(&broker->engine, NULL, NULL) != 0) {
        abort();
    }
    broker->has_engine = true;
    guard_init(&broker->guard, &limits);
    net_host_of(broker->url->host_port, host, sizeof(host));
    (void)pn_transport_set_max_frame(broker->engine.transport, BROKER_FRAME_MAX);
    (void)pn_transport_set_channel_max(broker->engine.transport, SESSIONS - 1);
    pn_transport_set_idle_timeout(broker->engine.transport, BROKER_SILENCE_MS);
    pn_connection_set_container(broker->engine.connection, broker->options->container);
    pn_connection_set_hostname(broker->engine.connection, host);
    broker_handle_events(broker); /* binds the transport */
    pn_connection_open(broker->engine.connection);
    broker->session = pn_session(broker->engine.connection);
    pn_session_open(broker->session);
    broker->state = BROKER_OPENING;
}

static size_t take_sasl(struct broker *broker, struct span in)
{
    struct ks_failure why = {0};
    size_t taken = 0;

    if (sasl_client_take(&broker->sasl, in, &taken, &broker->out, &why) != KS_OK) {
        broker_fail(broker, why.text);
    } else if (broker->sasl.done) {
        start_engine(broker);
    }
    return taken;
}

static void feed(struct broker *broker, struct span bytes)
{
    while (bytes.len > 0) {
        pn_rwbytes_t room = pn_connection_driver_read_buffer(&broker->engine);
        size_t n = room.size < bytes.len ? room.size : bytes.len;

        if (n == 0) {
            broker_fail(broker, "the broker sent frames that cannot be read");
            return;
        }
        memcpy(room.start, bytes.ptr, n);
        pn_connection_driver_read_done(&broker->engine, n);
        bytes = span_of(bytes.ptr + n, bytes.len - n);
    }
}

/* What comes in place of a frame that is not taken is not looked at: the connection ends. */
static void refuse(struct broker *broker, const struct ks_failure *what)
{
    struct ks_failure why;

    (void)ks_fail(&why, KS_IO, NULL, "the broker sent what is not taken: %s", what->text);
    broker_fail(broker, why.text);
}

static size_t take_header(struct broker *broker, struct span in)
{
    if (memcmp(in.ptr, header, HEADER_SIZE) != 0) {
        broker_fail(broker, "the broker does not speak AMQP 1.0.0");
        return 0;
    }
    broker->has_header = true;
    feed(broker, span_of(in.ptr, HEADER_SIZE));
    return HEADER_SIZE;
}

/* The engine's work for a disposition grows with the deliveries that it names, and each keeps a
 * copy of the state. */
static bool pays_for(struct broker *broker, uint32_t deliveries, size_t size)
{
    uint64_t work = (uint64_t)deliveries * (1 + size / 1024);

    if (work > broker->touches) {
        return false;
    }
    broker->touches -= (uint32_t)work;
    return true;
}

static size_t take_frame(struct broker *broker, struct span in)
{
    struct guard_event event;
    struct ks_failure why = {0};
    size_t size = 0;

    if (in.len < HEADER_SIZE) {
        return 0;
    }
    if (!broker->has_header) {
        return take_header(broker, in);
    }
    if (!guard_frame_size(in, BROKER_FRAME_MAX, &size, &why)) {
        refuse(broker, &why);
        return 0;
    }
    if (in.len < size) {
        return 0;
    }
    if (guard_check(&broker->guard, span_of(in.ptr, size), 0, &event, &why) != GUARD_PASS) {
        refuse(broker, &why);
        return 0;
    }
    if (event.kind == GUARD_FRAME_DISPOSITION && !pays_for(broker, event.deliveries, size)) {
        broker_fail(broker, "the broker names the same deliveries again and again");
        return 0;
    }
    feed(broker, span_of(in.ptr, size));
    broker_handle_events(broker); /* one frame can make thousands */
    return size;
}

static size_t take(struct broker *broker, struct span in)
{
    size_t total = 0;
    size_t n = 1;

    while (n > 0 && total < in.len && !broker->failed) {
        struct span rest = span_of(in.ptr + total, in.len - total);

        n = broker->state == BROKER_SASL ? take_sasl(broker, rest) : take_frame(broker, rest);
        total += n;
    }
    return total;
}

void broker_take_input(struct broker *broker, struct span in)
{
    size_t taken;

    buf_add_span(&broker->held, in);
    taken = take(broker, buf_span(&broker->held));
    memmove(broker->held.ptr, broker->held.ptr + taken, broker->held.len - taken);
    broker->held.len -= taken;
}
