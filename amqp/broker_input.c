/* What a broker sends: bytes to SASL, then whole frames to the engine. */
#include <proton/connection.h>
#include <proton/session.h>
#include <proton/transport.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/broker_state.h"
#include "amqp/codec.h"
#include "net/address.h"

enum {
    IDLE_MS = 10000, /* announced; twice that is waited for */
    FRAME_HEADER = 8,
    TRANSFER = 0x14,
};

static void start_engine(struct broker *broker)
{
    char host[NET_HOST_PORT_MAX];

    if (pn_connection_driver_init(&broker->engine, NULL, NULL) != 0) {
        abort();
    }
    broker->has_engine = true;
    net_host_of(broker->url->host_port, host, sizeof(host));
    (void)pn_transport_set_max_frame(broker->engine.transport, BROKER_FRAME_MAX);
    pn_transport_set_idle_timeout(broker->engine.transport, IDLE_MS);
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

/* The size of the frame in front: 0: not whole yet. The AMQP header counts as one. */
static size_t frame_size(struct broker *broker, struct span in)
{
    const unsigned char *at = (const unsigned char *)in.ptr;
    struct codec_reader body;
    uint64_t descriptor = 0;
    size_t size;

    if (in.len < FRAME_HEADER) {
        return 0;
    }
    if (memcmp(in.ptr, "AMQP", 4) == 0) {
        return FRAME_HEADER;
    }
    size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    if (size < FRAME_HEADER || size > BROKER_FRAME_MAX || at[4] != 2 || at[5] != 0) {
        broker_fail(broker, "the broker sent a malformed frame");
        return 0;
    }
    if (in.len < size) {
        return 0;
    }
    body = codec_reader_of(span_of(in.ptr + FRAME_HEADER, size - FRAME_HEADER));
    if (size > FRAME_HEADER &&
        (!codec_read_descriptor(&body, &descriptor) || descriptor == TRANSFER)) {
        broker_fail(broker, "the broker sent a frame that has no place here");
        return 0;
    }
    return size;
}

static size_t take_frame(struct broker *broker, struct span in)
{
    size_t size = frame_size(broker, in);

    if (size > 0) {
        feed(broker, span_of(in.ptr, size));
    }
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
