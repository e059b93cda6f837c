#include "amqp/client.h"

#include <assert.h>
#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/event.h>
#include <proton/link.h>
#include <proton/message.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <proton/transport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/sasl_client.h"
#include "base/uuid.h"
#include "net/client_stream.h"

enum { ADDRESS_MAX = 512, MESSAGE_MAX = 1 << 20, CREDIT = 10 };

/* What has come and is not read: never more than one SASL frame and what follows it. */
struct early_bytes {
    char bytes[SASL_CLIENT_FRAME_MAX];
    size_t len;
};

/* One request on its way: links, what came of them. */
struct call {
    pn_link_t *sender;
    pn_link_t *receiver;
    bool refused; /* a link was detached, the connection closed, or the request rejected */
    bool sent;
    bool answered;
    char text[256]; /* why it was refused */
};

struct amqp_client {
    struct client_stream *stream;
    pn_connection_driver_t engine;
    bool has_engine;
    pn_session_t *session;
    struct call call;
    struct buf answer; /* bytes of the answer message */
};

/* ---- login ---- */

/* Writes what is ready, which holds the password. */
static enum ks_status write_out(struct amqp_client *client, struct buf *out, struct ks_failure *why)
{
    enum ks_status st = KS_OK;

    if (out->len > 0) {
        st = client_stream_write(client->stream, out->ptr, out->len, why);
    }
    buf_done_secret(out);
    buf_init(out, 0);
    return st;
}

/* Leaves in `early` what the server has sent behind the outcome, which is the engine's. */
static enum ks_status log_in(struct amqp_client *client, const struct amqp_client_options *options,
                             struct early_bytes *early, struct ks_failure *why)
{
    struct sasl_client sasl = {
        .peer = "the server", .user = options->user, .password = options->password};
    struct buf out;
    enum ks_status st;

    buf_init(&out, 0);
    sasl_client_begin(&sasl, &out);
    st = write_out(client, &out, why);
    while (st == KS_OK && !sasl.done) {
        size_t done = 0;

        st = client_stream_read(client->stream, early->bytes + early->len,
                                sizeof(early->bytes) - early->len, &done, why);
        if (st == KS_OK) {
            early->len += done;
            st = sasl_client_take(&sasl, span_of(early->bytes, early->len), &done, &out, why);
            early->len -= done;
            memmove(early->bytes, early->bytes + done, early->len);
        }
        if (st == KS_OK) {
            st = write_out(client, &out, why);
        }
    }
    buf_done_secret(&out);
    return st == KS_INVALID ? KS_IO : st; /* not what we have come to talk to */
}

/* ---- the engine ---- */

static void refuse(struct call *call, const char *what, pn_condition_t *condition)
{
    const char *name = pn_condition_get_name(condition);
    const char *text = pn_condition_get_description(condition);

    call->refused = true;
    (void)snprintf(call->text, sizeof(call->text), "%s%s%s%s%s", what, name != NULL ? ": " : "",
                   name != NULL ? name : "", text != NULL ? ", " : "", text != NULL ? text : "");
}

static void take_answer(struct amqp_client *client, pn_delivery_t *delivery)
{
    pn_link_t *link = pn_delivery_link(delivery);
    size_t size = pn_delivery_pending(delivery);
    char *room;

    if (!pn_delivery_readable(delivery) || pn_delivery_partial(delivery)) {
        return;
    }
    buf_clear(&client->answer);
    room = buf_reserve(&client->answer, size > 0 ? size : 1);
    if (room != NULL) {
        ssize_t n = pn_link_recv(link, room, size);

        buf_commit(&client->answer, n > 0 ? (size_t)n : 0);
    }
    (void)pn_link_advance(link);
    pn_delivery_update(delivery, PN_ACCEPTED);
    pn_delivery_settle(delivery);
    client->call.answered = true;
}

static void take_outcome(struct amqp_client *client, pn_delivery_t *delivery)
{
    if (pn_delivery_remote_state(delivery) == PN_REJECTED) {
        refuse(&client->call, "the request was rejected",
               pn_disposition_condition(pn_delivery_remote(delivery)));
    } else if (pn_delivery_remote_state(delivery) != 0 &&
               pn_delivery_remote_state(delivery) != PN_ACCEPTED) {
        client->call.refused = true;
        (void)snprintf(client->call.text, sizeof(client->call.text), "the request was not taken");
    }
    if (pn_delivery_settled(delivery)) {
        pn_delivery_settle(delivery);
    }
}

/* A link of an earlier call answers our detach; one of this call is refused. */
static void link_ended(struct amqp_client *client, pn_link_t *link)
{
    if (link == client->call.sender || link == client->call.receiver) {
        refuse(&client->call, "a link was refused", pn_link_remote_condition(link));
    } else {
        pn_link_free(link);
    }
}

static void handle_event(struct amqp_client *client, pn_event_t *event)
{
    pn_delivery_t *delivery;

    switch ((int)pn_event_type(event)) {
    case PN_LINK_REMOTE_CLOSE:
    case PN_LINK_REMOTE_DETACH:
        link_ended(client, pn_event_link(event));
        break;
    case PN_CONNECTION_REMOTE_CLOSE:
        refuse(&client->call, "the connection was closed",
               pn_connection_remote_condition(pn_event_connection(event)));
        break;
    case PN_DELIVERY:
        delivery = pn_event_delivery(event);
        if (pn_link_is_receiver(pn_delivery_link(delivery))) {
            take_answer(client, delivery);
        } else {
            take_outcome(client, delivery);
        }
        break;
    default:
        break;
    }
}

static void handle_events(struct amqp_client *client)
{
    pn_event_t *event = pn_connection_driver_next_event(&client->engine);

    while (event != NULL) {
        handle_event(client, event);
        event = pn_connection_driver_next_event(&client->engine);
    }
}

static enum ks_status flush(struct amqp_client *client, struct ks_failure *why)
{
    pn_bytes_t bytes = pn_connection_driver_write_buffer(&client->engine);

    while (bytes.size > 0) {
        enum ks_status st = client_stream_write(client->stream, bytes.start, bytes.size, why);

        if (st != KS_OK) {
            return st;
        }
        (void)pn_connection_driver_write_done(&client->engine, bytes.size);
        bytes = pn_connection_driver_write_buffer(&client->engine);
    }
    return KS_OK;
}

/* Events, output, input, until `done` says so. */
static enum ks_status pump(struct amqp_client *client, bool (*done)(struct amqp_client *client),
                           struct ks_failure *why)
{
    for (;;) {
        enum ks_status st;
        pn_rwbytes_t room;
        size_t n = 0;

        handle_events(client);
        st = flush(client, why);
        handle_events(client);
        if (st != KS_OK || client->call.refused || done(client)) {
            return st;
        }
        room = pn_connection_driver_read_buffer(&client->engine);
        if (room.size == 0) {
            return ks_fail(why, KS_IO, NULL, "the connection was closed");
        }
        st = client_stream_read(client->stream, room.start, room.size, &n, why);
        if (st != KS_OK) {
            return st;
        }
        pn_connection_driver_read_done(&client->engine, n);
    }
}

static bool is_open(struct amqp_client *client)
{
    return (pn_connection_state(client->engine.connection) & PN_REMOTE_ACTIVE) != 0;
}

static bool has_credit(struct amqp_client *client)
{
    return pn_link_credit(client->call.sender) > 0 &&
           (pn_link_state(client->call.receiver) & PN_REMOTE_ACTIVE) != 0;
}

static bool is_answered(struct amqp_client *client)
{
    return client->call.answered;
}

static enum ks_status start_engine(struct amqp_client *client, const struct early_bytes *early,
                                   struct ks_failure *why)
{
    struct uuid id = uuid_random();
    char text[UUID_TEXT_LEN + 1];
    enum ks_status st;

    if (pn_connection_driver_init(&client->engine, NULL, NULL) != 0) {
        abort();
    }
    client->has_engine = true;
    uuid_format(&id, text);
    pn_connection_set_container(client->engine.connection, text);
    handle_events(client); /* binds the transport */
    pn_connection_open(client->engine.connection);
    client->session = pn_session(client->engine.connection);
    pn_session_open(client->session);
    if (early->len > 0) {
        pn_rwbytes_t room = pn_connection_driver_read_buffer(&client->engine);

        if (early->len > room.size) {
            return ks_fail(why, KS_IO, NULL, "the server sends more than it was asked for");
        }
        memcpy(room.start, early->bytes, early->len);
        pn_connection_driver_read_done(&client->engine, early->len);
    }
    st = pump(client, is_open, why);
    if (st == KS_OK && client->call.refused) {
        st = ks_fail(why, KS_FORBIDDEN, NULL, "%s", client->call.text);
    }
    return st;
}

enum ks_status amqp_client_open(struct amqp_client **out, const struct amqp_client_options *options,
                                struct ks_failure *why)
{
    struct amqp_client *client = calloc(1, sizeof(*client));
    struct early_bytes early = {.len = 0};
    enum ks_status st;

    if (client == NULL) {
        abort();
    }
    buf_init(&client->answer, MESSAGE_MAX);
    st = client_stream_open(&client->stream, options->address, options->tls, options->timeout_ms,
                            why);
    if (st == KS_OK) {
        st = log_in(client, options, &early, why);
    }
    if (st == KS_OK) {
        st = start_engine(client, &early, why);
    }
    if (st != KS_OK) {
        amqp_client_close(client);
        return st;
    }
    *out = client;
    return KS_OK;
}

/* ---- calls ---- */

static void open_links(struct amqp_client *client, const char *target, const char *reply)
{
    struct call *call = &client->call;

    call->receiver = pn_receiver(client->session, reply);
    (void)pn_terminus_set_address(pn_link_source(call->receiver), reply);
    pn_link_open(call->receiver);
    pn_link_flow(call->receiver, CREDIT);
    call->sender = pn_sender(client->session, reply);
    (void)pn_terminus_set_address(pn_link_target(call->sender), target);
    pn_link_open(call->sender);
}

static pn_bytes_t bytes_of(struct span s)
{
    return pn_bytes(s.len, s.ptr);
}

/* Encodes and hands the request to the engine. */
static void send_request(struct amqp_client *client, const struct amqp_client_request *request,
                         const char *reply)
{
    pn_message_t *message = pn_message();
    pn_atom_t id = {.type = PN_STRING, .u.as_bytes = pn_bytes(strlen(reply), reply)};
    struct buf bytes;
    size_t size = MESSAGE_MAX;
    char *room;

    buf_init(&bytes, MESSAGE_MAX);
    (void)pn_message_set_id(message, id);
    (void)pn_message_set_subject(message, request->subject);
    (void)pn_message_set_reply_to(message, reply);
    if (request->device_id.len > 0) {
        pn_data_t *properties = pn_message_properties(message);

        (void)pn_data_put_map(properties);
        (void)pn_data_enter(properties);
        (void)pn_data_put_string(properties, pn_bytes(9, "device_id"));
        (void)pn_data_put_string(properties, bytes_of(request->device_id));
        (void)pn_data_exit(properties);
    }
    if (request->body.len > 0) {
        (void)pn_message_set_content_type(message, "application/json");
        (void)pn_message_set_inferred(message, true);
        (void)pn_data_put_binary(pn_message_body(message), bytes_of(request->body));
    }
    room = buf_reserve(&bytes, size);
    assert(room != NULL);
    if (pn_message_encode(message, room, &size) == 0) {
        pn_delivery_t *delivery = pn_delivery(client->call.sender, pn_dtag("1", 1));

        (void)delivery;
        (void)pn_link_send(client->call.sender, room, size);
        (void)pn_link_advance(client->call.sender);
    }
    buf_done(&bytes);
    pn_message_free(message);
}

/* Status and body of the answer message. */
static enum ks_status read_answer(const struct amqp_client *client,
                                  struct amqp_client_answer *answer, struct ks_failure *why)
{
    pn_message_t *message = pn_message();
    enum ks_status st = KS_OK;
    pn_data_t *properties;

    answer->status = 0;
    if (pn_message_decode(message, client->answer.ptr, client->answer.len) != 0) {
        pn_message_free(message);
        return ks_fail(why, KS_IO, NULL, "the answer is no AMQP message");
    }
    properties = pn_message_properties(message);
    pn_data_rewind(properties);
    if (pn_data_next(properties) && pn_data_enter(properties)) {
        while (pn_data_next(properties)) {
            pn_bytes_t key = pn_data_get_string(properties);

            if (pn_data_next(properties) && key.size == 6 && memcmp(key.start, "status", 6) == 0) {
                answer->status = pn_data_get_int(properties);
            }
        }
    }
    pn_data_rewind(pn_message_body(message));
    if (pn_data_next(pn_message_body(message))) {
        pn_bytes_t body = pn_data_get_binary(pn_message_body(message));

        buf_add(&answer->body, body.start, body.size);
    }
    pn_message_free(message);
    if (answer->status == 0) {
        st = ks_fail(why, KS_IO, NULL, "the answer has no status of type int");
    }
    return st;
}

static enum ks_status outcome(const struct amqp_client *client, enum ks_status st,
                              struct ks_failure *why)
{
    if (st == KS_OK && client->call.refused) {
        return ks_fail(why, KS_FORBIDDEN, NULL, "%s", client->call.text);
    }
    return st;
}

enum ks_status amqp_client_call(struct amqp_client *client,
                                const struct amqp_client_request *request,
                                struct amqp_client_answer *answer, struct ks_failure *why)
{
    char target[ADDRESS_MAX];
    char reply[ADDRESS_MAX + UUID_TEXT_LEN + 2];
    char text[UUID_TEXT_LEN + 1];
    struct uuid id = uuid_random();
    enum ks_status st;

    uuid_format(&id, text);
    (void)snprintf(target, sizeof(target), "%s%s%.*s", request->endpoint,
                   request->tenant.len > 0 ? "/" : "", SPAN_ARG(request->tenant));
    (void)snprintf(reply, sizeof(reply), "%s/%s", target, text);
    buf_init(&answer->body, MESSAGE_MAX);
    client->call = (struct call){0};
    open_links(client, target, reply);
    st = outcome(client, pump(client, has_credit, why), why);
    if (st == KS_OK) {
        send_request(client, request, reply);
        st = outcome(client, pump(client, is_answered, why), why);
    }
    if (st == KS_OK) {
        st = read_answer(client, answer, why);
    }
    pn_link_close(client->call.sender);
    pn_link_close(client->call.receiver);
    return st;
}

void amqp_client_close(struct amqp_client *client)
{
    struct ks_failure ignored;

    if (client == NULL) {
        return;
    }
    if (client->has_engine) {
        pn_connection_close(client->engine.connection);
        (void)!flush(client, &ignored);
        pn_connection_driver_destroy(&client->engine);
    }
    client_stream_close(client->stream);
    buf_done(&client->answer);
    free(client);
}
