#include "amqp/link.h"

#include <assert.h>
#include <proton/condition.h>
#include <proton/delivery.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/connection.h"
#include "amqp/held.h"
#include "amqp/home.h"
#include "base/counters.h"

struct queued_answer {
    struct queued_answer *next;
    struct slot_handle request;
    size_t len;
    char bytes[];
};

/* ---- attach ---- */

struct refusal {
    const char *condition;
    char description[320];
};

static bool refuse(struct refusal *out, const char *condition, const char *format, ...)
    KS_PRINTF(3, 4);

static bool refuse(struct refusal *out, const char *condition, const char *format, ...)
{
    va_list args;

    out->condition = condition;
    va_start(args, format);
    (void)vsnprintf(out->description, sizeof(out->description), format, args);
    va_end(args);
    return false;
}

/* Endpoint and authority, the same for both directions. */
static bool check_endpoint(struct link *link, struct refusal *no)
{
    link->api = api_find(link->connection->home->options->apis, link->address.segment[0]);
    if (link->api == NULL) {
        return refuse(no, "amqp:not-found", "no endpoint registered for address %.200s",
                      link->address_text);
    }
    if (!identity_may_use(link->connection->who, &link->address, link->is_reply ? 'R' : 'W')) {
        return refuse(no, "amqp:unauthorized-access", "unauthorized");
    }
    return true;
}

static bool check_request_link(struct link *link, struct refusal *no)
{
    if (!check_endpoint(link, no)) {
        return false;
    }
    if (pn_link_remote_snd_settle_mode(link->engine) == PN_SND_SETTLED) {
        return refuse(no, "amqp:precondition-failed", "endpoint requires AT_LEAST_ONCE QoS");
    }
    return true;
}

static bool check_reply_link(struct link *link, struct refusal *no)
{
    if (!check_endpoint(link, no)) {
        return false;
    }
    assert(link->api != NULL);
    if (link->address.count < link->api->reply_segments) {
        return refuse(no, "amqp:invalid-field",
                      "reply-to address must have the following format %s/<tenant>/<reply-address>",
                      link->api->endpoint);
    }
    link->reply.address = link->address.text;
    if (!reply_map_add(&link->connection->replies, &link->reply)) {
        return refuse(no, "amqp:illegal-state", "reply-to address [%.*s] is already subscribed",
                      (int)(link->reply.address.len < 200 ? link->reply.address.len : 200),
                      link->reply.address.ptr);
    }
    return true;
}

static bool take_address(struct link *link, pn_terminus_t *terminus, struct refusal *no)
{
    const char *text = pn_terminus_get_address(terminus);

    if (text == NULL || *text == '\0') {
        if (!link->is_reply) {
            return refuse(no, "amqp:not-allowed", "anonymous relay not supported");
        }
        /* A dynamic source, too: a reply address names its tenant, so the client must choose it. */
        return refuse(no, "amqp:not-found", "no endpoint registered for address null");
    }
    link->address_text = strdup(text);
    if (link->address_text == NULL) {
        abort();
    }
    if (!address_parse(span_cstr(link->address_text), &link->address)) {
        return refuse(no, "amqp:not-found", "no endpoint registered for address %.200s", text);
    }
    return true;
}

static void link_free(struct link *link)
{
    free(link->address_text);
    free(link);
}

/* Attach without termini and detach with the error, written back to back (section 2.6.3). */
static void answer_with_refusal(struct link *link, const struct refusal *no)
{
    struct connection *connection = link->connection;
    pn_link_t *engine = link->engine;
    pn_condition_t *condition = pn_link_condition(engine);

    (void)pn_terminus_set_type(pn_link_source(engine), PN_UNSPECIFIED);
    (void)pn_terminus_set_type(pn_link_target(engine), PN_UNSPECIFIED);
    pn_link_set_snd_settle_mode(engine, PN_SND_UNSETTLED);
    pn_link_open(engine);
    (void)pn_condition_set_name(condition, no->condition);
    (void)pn_condition_set_description(condition, no->description);
    pn_link_close(engine);
    guard_link_closed(&connection->guard, link->channel, link->remote_handle);
    link_free(link);
}

static void answer_with_attach(struct link *link)
{
    struct connection *connection = link->connection;
    pn_link_t *engine = link->engine;

    (void)pn_terminus_copy(pn_link_source(engine), pn_link_remote_source(engine));
    (void)pn_terminus_copy(pn_link_target(engine), pn_link_remote_target(engine));
    link->settled = link->is_reply && pn_link_remote_snd_settle_mode(engine) == PN_SND_SETTLED;
    pn_link_set_snd_settle_mode(engine, link->settled ? PN_SND_SETTLED : PN_SND_UNSETTLED);
    pn_link_set_rcv_settle_mode(engine, PN_RCV_FIRST);
    if (!link->is_reply) {
        pn_link_set_max_message_size(engine, connection->home->options->limits.max_message);
    }
    link->handle = slots_add(&connection->links, link);
    pn_link_set_context(engine, link);
    pn_link_open(engine);
    if (!link->is_reply) {
        link_top_up(link); /* in the same write: clients wait 20 ms for it */
    }
}

void link_attached(struct connection *connection, pn_link_t *engine)
{
    struct link *link = calloc(1, sizeof(*link));
    struct refusal no;
    bool ok;

    if (link == NULL) {
        abort();
    }
    link->connection = connection;
    link->engine = engine;
    link->channel = connection->frame.channel;
    link->remote_handle = connection->frame.handle;
    link->is_reply = pn_link_is_sender(engine);
    ok = take_address(
             link, link->is_reply ? pn_link_remote_source(engine) : pn_link_remote_target(engine),
             &no) &&
         (link->is_reply ? check_reply_link(link, &no) : check_request_link(link, &no));
    if (ok) {
        answer_with_attach(link);
    } else {
        answer_with_refusal(link, &no);
    }
}

/* ---- the end ---- */

static void unlist_waiting(struct link *link)
{
    struct link **at = &link->connection->waiting;

    while (*at != NULL && *at != link) {
        at = &(*at)->next_waiting;
    }
    if (*at != NULL) {
        *at = link->next_waiting;
        link->next_waiting = NULL;
    }
}

static struct queued_answer *dequeue(struct link *link)
{
    struct queued_answer *queued = link->first;

    link->first = queued->next;
    if (link->first == NULL) {
        link->last = NULL;
    }
    link->connection->queued_bytes -= queued->len;
    link->connection->home->queued_bytes -= queued->len;
    return queued;
}

static void drop_queue(struct link *link)
{
    struct connection *connection = link->connection;

    if (link->first != NULL) {
        unlist_waiting(link);
    }
    while (link->first != NULL) {
        struct queued_answer *queued = dequeue(link);

        counters_add(connection->home->counters, COUNTER_ANSWERS_DROPPED, 1);
        link_answered(connection, queued->request);
        free(queued);
    }
}

/* The engine keeps nothing of the answer any more. */
static void settle_answer(struct link *link, pn_delivery_t *delivery)
{
    held_give(link->connection, (size_t)(uintptr_t)pn_delivery_get_context(delivery));
    pn_delivery_set_context(delivery, NULL);
    pn_delivery_settle(delivery);
}

/* So that the engine keeps no message of a link that nobody looks at any more. */
static void settle_all(struct link *link)
{
    pn_delivery_t *delivery = pn_unsettled_head(link->engine);

    while (delivery != NULL) {
        pn_delivery_t *next = pn_unsettled_next(delivery);

        settle_answer(link, delivery);
        delivery = next;
    }
}

/* Forgets our side; the engine's link stays until the peer has detached too. */
void link_gone(struct link *link)
{
    drop_queue(link);
    settle_all(link);
    link->connection->unsettled -= link->unsettled;
    if (link->is_reply) {
        reply_map_remove(&link->connection->replies, &link->reply);
    }
    slots_remove(&link->connection->links, link->handle);
    pn_link_set_context(link->engine, NULL);
    link_free(link);
}

void link_fail(struct link *link, const char *condition, const char *description)
{
    pn_condition_t *at = pn_link_condition(link->engine);

    (void)pn_condition_set_name(at, condition);
    (void)pn_condition_set_description(at, description);
    pn_link_close(link->engine);
    guard_link_closed(&link->connection->guard, link->channel, link->remote_handle);
    link_gone(link);
}

/* ---- credit ---- */

void link_top_up(struct link *link)
{
    struct connection *connection = link->connection;
    uint32_t limit = connection->home->options->limits.link_credit;
    int target = (int)limit - (int)link->unanswered;
    int current = pn_link_credit(link->engine);

    /* In halves, so that a pipelining client costs one flow frame per limit/2 requests. */
    if (connection->draining || target <= current || current > (int)limit / 2) {
        return;
    }
    pn_link_flow(link->engine, target - current);
    guard_grant(&connection->guard, link->channel, link->remote_handle,
                (uint32_t)(target - current));
}

void link_answered(struct connection *connection, struct slot_handle request)
{
    struct link *link = slots_find(&connection->links, request);

    if (link != NULL) {
        assert(link->unanswered > 0);
        link->unanswered--;
        link_top_up(link);
    }
}

/* ---- answers ---- */

static bool may_send(const struct link *link, size_t len)
{
    return pn_link_credit(link->engine) > 0 && link->unsettled < LINK_UNSETTLED_MAX &&
           held_has_room(link->connection, len);
}

/* A peer decides on an answer once or twice; more is let go by for a while only. */
static uint32_t touches_after_answer(uint32_t touches)
{
    return touches < CONNECTION_TOUCHES_MAX - LINK_ANSWER_TOUCHES ? touches + LINK_ANSWER_TOUCHES
                                                                  : CONNECTION_TOUCHES_MAX;
}

static void send_now(struct link *link, struct span message)
{
    uint32_t n = ++link->next_tag;
    const char tag[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    pn_delivery_t *delivery = pn_delivery(link->engine, pn_dtag(tag, sizeof(tag)));

    /* Ours is the current one: the guard lets no transfer in on a handle where we send. */
    assert(delivery != NULL && pn_link_current(link->engine) == delivery);
    (void)pn_link_send(link->engine, message.ptr, message.len);
    (void)pn_link_advance(link->engine);
    if (link->settled) {
        pn_delivery_settle(delivery);
        held_take_until_written(link->connection, message.len);
    } else {
        size_t cost = held_take(link->connection, message.len);

        pn_delivery_set_context(delivery,
                                (void *)(uintptr_t)cost); // NOLINT(performance-no-int-to-ptr)
        link->unsettled++;
        link->connection->unsettled++;
        link->connection->touches = touches_after_answer(link->connection->touches);
    }
    counters_add(link->connection->home->counters, COUNTER_ANSWERS, 1);
}

static void enqueue(struct link *link, struct slot_handle request, struct span message)
{
    struct connection *connection = link->connection;
    struct link *from = slots_find(&connection->links, request);
    struct queued_answer *queued = malloc(sizeof(*queued) + message.len);

    if (queued == NULL) {
        abort();
    }
    *queued = (struct queued_answer){.request = request, .len = message.len};
    memcpy(queued->bytes, message.ptr, message.len);
    if (link->first == NULL) {
        link->first = queued;
        link->next_waiting = connection->waiting;
        connection->waiting = link;
    } else {
        link->last->next = queued;
    }
    link->last = queued;
    if (from != NULL) {
        from->unanswered++;
    }
    connection->queued_bytes += message.len;
    connection->home->queued_bytes += message.len;
}

void link_answer(struct link *link, struct slot_handle request, struct span message)
{
    struct connection *connection = link->connection;

    if (link->first == NULL && !may_send(link, message.len) && pn_link_credit(link->engine) > 0 &&
        connection->unblock_by == 0) {
        (void)connection_flush(connection); /* a burst of large answers: makes room */
    }
    if (link->first == NULL && may_send(link, message.len)) {
        send_now(link, message);
        return;
    }
    enqueue(link, request, message);
    if (connection->queued_bytes > CONNECTION_QUEUE_MAX) {
        link_fail(link, "amqp:resource-limit-exceeded",
                  "too many answers wait for credit on the reply link");
    } else {
        home_reclaim(connection->home);
    }
}

void link_pump(struct link *link)
{
    struct connection *connection = link->connection;
    bool had = link->first != NULL;

    while (link->first != NULL && may_send(link, link->first->len)) {
        struct queued_answer *queued = dequeue(link);

        send_now(link, span_of(queued->bytes, queued->len));
        link_answered(connection, queued->request);
        free(queued);
    }
    if (had && link->first == NULL) {
        unlist_waiting(link);
    }
    if (link->first == NULL && pn_link_get_drain(link->engine)) {
        (void)pn_link_drained(link->engine);
    }
}

void link_answer_updated(struct link *link, pn_delivery_t *delivery)
{
    if (pn_delivery_get_context(delivery) == NULL) {
        return; /* let go already: sent settled, or decided twice by the peer */
    }
    /* Whatever the outcome: nothing is sent again, as in Hono. */
    if (!pn_delivery_settled(delivery) && pn_delivery_remote_state(delivery) == 0) {
        return;
    }
    settle_answer(link, delivery);
    assert(link->unsettled > 0);
    link->unsettled--;
    link->connection->unsettled--;
    if (link->first != NULL) {
        link_pump(link);
    }
}
