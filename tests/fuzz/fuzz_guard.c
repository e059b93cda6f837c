/*
 * The guard and the engine behind it, as a connection drives them: every frame that the guard
 * passes goes to Debian's engine, whose events are handled as the service handles them. Neither may
 * abort or leak, and the engine finds nothing wrong with a frame but what is its own to check: the
 * order of delivery-ids, and that a delivery once settled stays so.
 *
 * The input is a program: each byte picks a frame to build from the bytes behind it, so that deep
 * states are reached; one opcode takes raw bytes. An input that begins with the SASL header is what
 * a client sent: its frames as they are.
 *
 * Covers: amqp/guard.c amqp/guard_schema.c
 */
#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/event.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <proton/transport.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/codec.h"
#include "amqp/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAMES_MAX = 200, CREDIT = 5, MESSAGE_MAX = 2048 };

static const struct guard_limits limits = {.max_frame = 4096,
                                           .max_message = MESSAGE_MAX,
                                           .max_sessions = 4,
                                           .max_session_begins = 10,
                                           .max_links = 12};

struct peer {
    struct guard guard;
    pn_connection_driver_t engine;
    struct guard_event frame;
    const uint8_t *at;
    const uint8_t *end;
    uint32_t delivery_id;
};

/* A link's context: where the guard has it; NULL for one that we refused or detached. */
static void *name_of(const struct guard_event *at)
{
    return (void *)(((uintptr_t)at->channel << 32) | ((uintptr_t)at->handle << 1) | 1);
}

static uint8_t next_byte(struct peer *peer)
{
    return peer->at < peer->end ? *peer->at++ : 0;
}

/* ---- building frames ---- */

struct frame {
    struct buf bytes;
    size_t list;
    uint32_t fields;
};

static struct frame start(uint8_t descriptor, uint16_t channel)
{
    const unsigned char head[8] = {
        0, 0, 0, 0, 2, 0, (unsigned char)(channel >> 8), (unsigned char)channel};
    struct frame f = {0};

    buf_init(&f.bytes, 8192);
    buf_add(&f.bytes, head, sizeof(head));
    codec_write_descriptor(&f.bytes, descriptor);
    f.list = codec_begin_list(&f.bytes);
    return f;
}

static void put_null(struct frame *f)
{
    codec_write_null(&f->bytes);
    f->fields++;
}

static void put_uint(struct frame *f, uint32_t value)
{
    const unsigned char bytes[5] = {0x70, (unsigned char)(value >> 24),
                                    (unsigned char)(value >> 16), (unsigned char)(value >> 8),
                                    (unsigned char)value};

    buf_add(&f->bytes, bytes, sizeof(bytes));
    f->fields++;
}

static void put_flag(struct frame *f, bool value)
{
    buf_add_char(&f->bytes, value ? 0x41 : 0x42);
    f->fields++;
}

/* A small number, now and then one at an edge. */
static uint32_t number(struct peer *peer)
{
    static const uint32_t edges[] = {0x7fffffff, 0x80000000, 0xffffffff, 65535, 65536};
    uint8_t byte = next_byte(peer);

    return byte < 250 ? byte % 8 : edges[byte - 250 < 5 ? byte - 250 : 0];
}

static void terminus(struct frame *f, struct peer *peer, uint8_t descriptor)
{
    uint8_t kind = next_byte(peer);
    size_t list;

    f->fields++;
    if (kind % 5 == 0) {
        codec_write_null(&f->bytes);
        return;
    }
    codec_write_descriptor(&f->bytes, kind % 7 == 0 ? 0x30 : descriptor);
    list = codec_begin_list(&f->bytes);
    if (kind % 7 != 0) {
        codec_write_string(&f->bytes, kind % 2 == 0 ? SPAN("tenant") : SPAN("tenant/x"));
        codec_end_compound(&f->bytes, list, 1);
    } else {
        codec_end_compound(&f->bytes, list, 0);
    }
}

static void attach(struct frame *f, struct peer *peer)
{
    char name[2] = {(char)('a' + next_byte(peer) % 6), '\0'};

    codec_write_string(&f->bytes, span_cstr(name));
    f->fields++;
    put_uint(f, number(peer));
    put_flag(f, next_byte(peer) % 2 == 0);
    put_null(f);
    put_null(f);
    terminus(f, peer, 0x28);
    terminus(f, peer, 0x29);
    put_null(f);
    put_null(f);
    put_uint(f, number(peer));
}

static void flow(struct frame *f, struct peer *peer)
{
    uint8_t kind = next_byte(peer);

    put_uint(f, number(peer));
    put_uint(f, number(peer) + 100);
    put_uint(f, number(peer));
    put_uint(f, number(peer) + 100);
    if (kind % 4 != 0) {
        put_uint(f, number(peer));
        put_uint(f, number(peer));
        put_uint(f, number(peer));
        put_null(f);
        put_flag(f, kind % 3 == 0);
    }
}

static void transfer(struct frame *f, struct peer *peer)
{
    uint8_t kind = next_byte(peer);

    put_uint(f, number(peer));
    if (kind % 3 != 0) {
        put_uint(f, kind % 11 == 0 ? number(peer) : peer->delivery_id++);
        codec_write_binary(&f->bytes, SPAN("tag!"));
        f->fields++;
    } else {
        put_null(f);
        put_null(f);
    }
    put_null(f);
    put_flag(f, kind % 13 == 0);
    put_flag(f, kind % 4 == 0); /* more */
    put_null(f);
    put_null(f);
    put_flag(f, false);
    put_flag(f, kind % 17 == 0); /* aborted */
}

static void disposition(struct frame *f, struct peer *peer)
{
    uint8_t kind = next_byte(peer);
    size_t list;

    put_flag(f, kind % 4 != 0);
    put_uint(f, number(peer));
    put_uint(f, number(peer));
    put_flag(f, kind % 2 == 0);
    codec_write_descriptor(&f->bytes, (uint8_t)(0x23 + kind % 5));
    list = codec_begin_list(&f->bytes);
    codec_end_compound(&f->bytes, list, 0);
    f->fields++;
}

static void build(struct frame *f, struct peer *peer, uint8_t descriptor)
{
    switch (descriptor) {
    case 0x10:
        codec_write_string(&f->bytes, SPAN("peer"));
        f->fields++;
        break;
    case 0x11:
        put_null(f);
        put_uint(f, number(peer));
        put_uint(f, 1000);
        put_uint(f, 1000);
        break;
    case 0x12:
        attach(f, peer);
        break;
    case 0x13:
        flow(f, peer);
        break;
    case 0x14:
        transfer(f, peer);
        break;
    case 0x15:
        disposition(f, peer);
        break;
    case 0x16:
        put_uint(f, number(peer));
        put_flag(f, next_byte(peer) % 2 == 0);
        break;
    default:
        break;
    }
}

static void finish(struct frame *f, struct peer *peer, uint8_t descriptor)
{
    codec_end_compound(&f->bytes, f->list, f->fields);
    if (descriptor == 0x14) {
        size_t len = (size_t)next_byte(peer) * 8;

        for (size_t i = 0; i < len; i++) {
            buf_add_char(&f->bytes, 'x');
        }
    }
    for (int i = 0; i < 4; i++) {
        f->bytes.ptr[i] = (char)(f->bytes.len >> (8 * (3 - i)));
    }
}

/* ---- the service's side of the engine ---- */

static void grant(struct peer *peer, pn_link_t *link, uint16_t channel, uint32_t handle)
{
    pn_link_flow(link, CREDIT);
    guard_grant(&peer->guard, channel, handle, CREDIT);
}

static void on_attach(struct peer *peer, pn_link_t *link)
{
    bool refused =
        pn_terminus_get_address(pn_link_is_sender(link) ? pn_link_remote_source(link)
                                                        : pn_link_remote_target(link)) == NULL;

    if (refused) {
        (void)pn_terminus_set_type(
            pn_link_is_sender(link) ? pn_link_source(link) : pn_link_target(link), PN_UNSPECIFIED);
        pn_link_open(link);
        (void)pn_condition_set_name(pn_link_condition(link), "amqp:not-found");
        pn_link_close(link);
        guard_link_closed(&peer->guard, peer->frame.channel, peer->frame.handle);
        return;
    }
    (void)pn_terminus_copy(pn_link_source(link), pn_link_remote_source(link));
    (void)pn_terminus_copy(pn_link_target(link), pn_link_remote_target(link));
    pn_link_set_context(link, name_of(&peer->frame));
    pn_link_open(link);
    if (pn_link_is_receiver(link)) {
        grant(peer, link, peer->frame.channel, peer->frame.handle);
    }
}

static void settle_all(pn_link_t *link)
{
    pn_delivery_t *delivery = pn_unsettled_head(link);

    while (delivery != NULL) {
        pn_delivery_t *next = pn_unsettled_next(delivery);

        pn_delivery_settle(delivery);
        delivery = next;
    }
}

static void on_received(pn_link_t *link, pn_delivery_t *delivery)
{
    char bytes[MESSAGE_MAX];
    pn_link_t *sender = pn_link_head(pn_session_connection(pn_link_session(link)), 0);

    if (!pn_delivery_readable(delivery) ||
        (pn_delivery_partial(delivery) && !pn_delivery_aborted(delivery))) {
        return;
    }
    if (!pn_delivery_aborted(delivery)) {
        if (pn_delivery_pending(delivery) > sizeof(bytes)) {
            abort(); /* the guard bounds messages */
        }
        (void)pn_link_recv(link, bytes, sizeof(bytes));
    }
    (void)pn_link_advance(link);
    pn_delivery_update(delivery, PN_ACCEPTED);
    pn_delivery_settle(delivery);
    while (sender != NULL && !(pn_link_is_sender(sender) && pn_link_credit(sender) > 0 &&
                               pn_link_get_context(sender) != NULL)) {
        sender = pn_link_next(sender, 0);
    }
    if (sender != NULL) {
        pn_delivery_t *answer = pn_delivery(sender, pn_dtag("answ", 4));

        if (pn_link_current(sender) != answer) {
            abort(); /* the peer's bytes mixed into ours */
        }
        (void)pn_link_send(sender, "answer", 6);
        (void)pn_link_advance(sender);
    }
}

static void on_delivery(pn_delivery_t *delivery)
{
    pn_link_t *link = pn_delivery_link(delivery);

    if (link == NULL) {
        return;
    }
    if (pn_link_get_context(link) == NULL) {
        pn_delivery_settle(delivery);
    } else if (pn_link_is_sender(link)) {
        if (pn_delivery_settled(delivery) || pn_delivery_remote_state(delivery) != 0) {
            pn_delivery_settle(delivery);
        }
    } else {
        on_received(link, delivery);
    }
}

static void on_event(struct peer *peer, pn_event_t *event)
{
    pn_link_t *link = pn_event_link(event);

    switch ((int)pn_event_type(event)) {
    case PN_CONNECTION_REMOTE_OPEN:
        pn_connection_open(pn_event_connection(event));
        break;
    case PN_CONNECTION_REMOTE_CLOSE:
        pn_connection_close(pn_event_connection(event));
        break;
    case PN_SESSION_REMOTE_OPEN:
        pn_session_set_incoming_capacity(pn_event_session(event), (size_t)1 << 20);
        pn_session_open(pn_event_session(event));
        break;
    case PN_SESSION_REMOTE_CLOSE:
        pn_session_close(pn_event_session(event));
        break;
    case PN_LINK_REMOTE_OPEN:
        on_attach(peer, link);
        break;
    case PN_LINK_REMOTE_CLOSE:
    case PN_LINK_REMOTE_DETACH:
        settle_all(link);
        pn_link_set_context(link, NULL);
        pn_link_close(link);
        pn_link_free(link);
        break;
    case PN_LINK_FLOW:
        if (pn_link_is_sender(link) && pn_link_get_drain(link)) {
            (void)pn_link_drained(link);
        }
        break;
    case PN_DELIVERY:
        on_delivery(pn_event_delivery(event));
        break;
    default:
        break;
    }
}

static void pump(struct peer *peer)
{
    pn_bytes_t out;
    pn_event_t *event;

    do {
        while ((event = pn_connection_driver_next_event(&peer->engine)) != NULL) {
            on_event(peer, event);
        }
        out = pn_connection_driver_write_buffer(&peer->engine);
        if (out.size > 0) {
            (void)pn_connection_driver_write_done(&peer->engine, out.size);
        }
    } while (out.size > 0);
}

static void feed(struct peer *peer, struct span bytes)
{
    while (bytes.len > 0) {
        pn_rwbytes_t room = pn_connection_driver_read_buffer(&peer->engine);
        size_t n = bytes.len < room.size ? bytes.len : room.size;

        if (n == 0) {
            return;
        }
        memcpy(room.start, bytes.ptr, n);
        pn_connection_driver_read_done(&peer->engine, n);
        bytes = span_of(bytes.ptr + n, bytes.len - n);
    }
}

static void link_ended(void *arg, uint16_t channel, uint32_t handle)
{
    struct peer *peer = arg;
    struct frame f = start(0x16, channel);

    put_uint(&f, handle);
    put_flag(&f, true);
    finish(&f, peer, 0x16);
    feed(peer, buf_span(&f.bytes));
    buf_done(&f.bytes);
}

/* As connection_fail_link: the link forgets what it had. */
static void fail_link(struct peer *peer, const struct guard_event *at)
{
    pn_link_t *link = pn_link_head(peer->engine.connection, 0);

    while (link != NULL &&
           !(pn_link_get_context(link) == name_of(at) && pn_link_is_receiver(link))) {
        link = pn_link_next(link, 0);
    }
    if (link != NULL) {
        pn_link_close(link);
        settle_all(link);
        pn_link_set_context(link, NULL);
    }
    guard_link_closed(&peer->guard, at->channel, at->handle);
}

static void expect_no_complaint(struct peer *peer)
{
    pn_condition_t *condition = pn_transport_condition(peer->engine.transport);

    if (pn_condition_is_set(condition) &&
        strcmp(pn_condition_get_name(condition), "amqp:session:invalid-field") != 0 &&
        strcmp(pn_condition_get_description(condition),
               "invalid transition from settled to unsettled") != 0) {
        abort();
    }
}

/* False: the connection is over. */
static bool offer(struct peer *peer, struct span frame)
{
    struct guard_event event;
    struct ks_failure why;
    size_t size;

    if (frame.len < 8 || !guard_frame_size(frame, limits.max_frame, &size, &why) ||
        size != frame.len) {
        return true;
    }
    switch (guard_check(&peer->guard, frame, 0, &event, &why)) {
    case GUARD_PASS:
        break;
    case GUARD_FAIL_LINK:
        pump(peer);
        fail_link(peer, &event);
        break;
    case GUARD_FAIL_CONNECTION:
        return false;
    }
    peer->frame = event;
    feed(peer, frame);
    if ((event.kind != GUARD_FRAME_TRANSFER && event.kind != GUARD_FRAME_DISPOSITION) ||
        frame.len % 2 == 0) { /* the service handles some of these in one go with later ones */
        pump(peer);
    }
    expect_no_complaint(peer);
    return !pn_connection_driver_read_closed(&peer->engine);
}

static bool step(struct peer *peer)
{
    static const uint8_t descriptors[] = {0x11, 0x12, 0x12, 0x12, 0x13, 0x13, 0x14, 0x14,
                                          0x14, 0x14, 0x15, 0x15, 0x16, 0x17, 0x18, 0x10};
    uint8_t op = next_byte(peer);
    uint8_t descriptor = descriptors[op % 16];
    struct frame f;
    bool more;

    if (op >= 0xF0) { /* raw bytes up to the end of the input */
        struct span raw = span_of(peer->at, (size_t)(peer->end - peer->at));

        peer->at = peer->end;
        return offer(peer, raw);
    }
    f = start(descriptor, descriptor == 0x10 || descriptor == 0x18 ? 0 : (op >> 4) % 2);
    build(&f, peer, descriptor);
    finish(&f, peer, descriptor);
    more = offer(peer, buf_span(&f.bytes));
    buf_done(&f.bytes);
    return more;
}

/* What a client sent from its first byte on: moves behind SASL and the AMQP header. */
static bool is_stream(struct peer *peer)
{
    size_t size = (size_t)(peer->end - peer->at);
    const uint8_t *header = size < 8 || memcmp(peer->at, "AMQP\3\1\0\0", 8) != 0
                                ? NULL
                                : memmem(peer->at, size, "AMQP\0\1\0\0", 8);

    if (header != NULL) {
        peer->at = header + 8;
    }
    return header != NULL;
}

/* The next frame of a client's stream. */
static bool step_stream(struct peer *peer)
{
    struct span rest = span_of(peer->at, (size_t)(peer->end - peer->at));
    struct ks_failure why;
    size_t size = 0;

    if (rest.len < 8 || !guard_frame_size(rest, limits.max_frame, &size, &why) || size > rest.len) {
        return false;
    }
    peer->at += size;
    return offer(peer, span_of(rest.ptr, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[8] = {'A', 'M', 'Q', 'P', 0, 1, 0, 0};
    struct peer peer = {.at = data, .end = data + size};
    struct frame f = start(0x10, 0);
    bool stream = is_stream(&peer);
    bool more;

    guard_init(&peer.guard, &limits);
    peer.guard.link_ended = link_ended;
    peer.guard.link_ended_arg = &peer;
    if (pn_connection_driver_init(&peer.engine, NULL, NULL) != 0) {
        abort();
    }
    pn_transport_set_server(peer.engine.transport);
    pn_transport_set_max_frame(peer.engine.transport, limits.max_frame);
    (void)pn_transport_set_channel_max(peer.engine.transport, (uint16_t)(limits.max_sessions - 1));
    pump(&peer);
    feed(&peer, span_of(header, sizeof(header)));
    build(&f, &peer, 0x10);
    finish(&f, &peer, 0x10);
    more = stream || size == 0 || data[0] == 0xFF || offer(&peer, buf_span(&f.bytes));
    buf_done(&f.bytes);
    for (int i = 0; i < FRAMES_MAX && more && peer.at < peer.end; i++) {
        more = stream ? step_stream(&peer) : step(&peer);
    }
    pn_connection_driver_destroy(&peer.engine);
    guard_done(&peer.guard);
    return 0;
}
