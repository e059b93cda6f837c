#include "amqp/dispatch.h"

#include <proton/condition.h>
#include <proton/disposition.h>
#include <proton/link.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/api.h"
#include "amqp/connection.h"
#include "amqp/home.h"
#include "amqp/link.h"
#include "amqp/request.h"
#include "amqp/response.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "service/provisioning.h"
#include "service/reasons.h"
#include "service/service.h"
#include "store/writer.h"

enum { LOG_EVERY_MS = 1000 };

/* What an answer needs of its request; copied when the answer has to wait for the writer. */
struct return_address {
    struct slot_handle reply;
    struct slot_handle request;
    const struct api *api;
    struct span tenant_id;   /* of the link's target, or the requested one; empty: none */
    struct span device_id;   /* echoed */
    struct span correlation; /* the encoded AMQP value, echoed with its type */
};

/* A job at the writer, and where its answer goes. */
struct pending {
    struct reactor_post post; /* first */
    struct home *home;
    struct slot_handle connection;
    struct return_address to;
    struct provisioning_job *job;
    struct arena arena; /* holds to's spans */
};

/* ---- answers ---- */

static void log_failure(struct home *home, const struct answer *answer)
{
    int64_t now = clock_monotonic_ms();
    struct log_text text;

    if (answer->status < 500 || now - home->logged_at < LOG_EVERY_MS) {
        return;
    }
    home->logged_at = now;
    log_warn("request-failed", "status=%d answer=%s", answer->status,
             log_text(&text, buf_span(&answer->body)));
}

/* Devices that were to be provisioned, and logins that were refused for more than being unknown. */
static bool is_worth_a_line(const struct return_address *to, const struct answer *answer)
{
    if (answer->status >= 500) {
        return false; /* log_failure's */
    }
    return answer->provisioning != ANSWER_ORDINARY ||
           (to->api == &api_credentials && answer->status >= 400 &&
            strcmp(answer->reason, REASON_UNKNOWN_CREDENTIAL) != 0);
}

/* What became of a device: a line a second at most, which tells how many were left out. */
static void log_device(struct home *home, const struct return_address *to,
                       const struct answer *answer)
{
    bool refused = answer->status >= 400;
    int64_t now = clock_monotonic_ms();
    struct log_text tenant;
    struct log_text text;

    if (!is_worth_a_line(to, answer)) {
        return;
    }
    if (now - home->login_logged_at < LOG_EVERY_MS) {
        home->logins_not_logged++;
        return;
    }
    log_info(refused ? "device-refused" : "device-provisioned",
             "tenant=%s status=%d reason=%s answer=%s left-out=%u",
             log_text(&tenant, to->tenant_id), answer->status, refused ? answer->reason : "none",
             log_text(&text, buf_span(&answer->body)), home->logins_not_logged);
    home->login_logged_at = now;
    home->logins_not_logged = 0;
}

/* Encodes the answer and gives it to the reply link, if that is still there. */
static void send_answer(struct connection *connection, const struct return_address *to,
                        const struct answer *answer)
{
    struct home *home = connection->home;
    struct link *reply = slots_find(&connection->links, to->reply);
    const struct response response = {
        .endpoint = span_cstr(to->api->endpoint),
        .tenant_id = answer->tenant_id.len > 0 ? buf_span(&answer->tenant_id) : to->tenant_id,
        .device_id = to->device_id,
        .correlation = to->correlation,
        .status = answer->status,
        .max_age_s = answer->max_age_s,
        .body = buf_span(&answer->body),
    };

    log_failure(home, answer);
    log_device(home, to, answer);
    if (reply == NULL) {
        counters_add(home->counters, COUNTER_ANSWERS_DROPPED, 1);
        return;
    }
    buf_clear(&home->response);
    response_encode(&response, &home->response);
    link_answer(reply, to->request, buf_span(&home->response));
}

/* ---- jobs ---- */

static void pending_free(struct pending *pending)
{
    provisioning_job_free(pending->job);
    arena_done(&pending->arena);
    free(pending);
}

static void pending_answered_on_reactor(struct reactor_post *post, bool discard)
{
    struct pending *pending = (struct pending *)post;
    struct home *home = pending->home;
    struct connection *connection =
        discard ? NULL : slots_find(&home->connections, pending->connection);

    if (connection == NULL) {
        counters_add(home->counters, COUNTER_ANSWERS_DROPPED, 1);
    } else {
        const struct answer *answer = &pending->job->answer;

        connection->jobs--;
        provisioning_job_count(pending->job, home->counters);
        send_answer(connection, &pending->to, answer);
        link_answered(connection, pending->to.request);
        connection_turn_later(connection);
    }
    pending_free(pending);
}

/* On the writer's thread. */
static void pending_answered(struct provisioning_job *job)
{
    struct pending *pending = job->owner;

    reactor_post(pending->home->reactor, &pending->post);
}

/* Copies what the answer needs and hands the job to the writer; refuses when that is full. */
static void submit(struct connection *connection, const struct return_address *to,
                   const struct provisioning_plan *plan)
{
    struct home *home = connection->home;
    struct pending *pending = calloc(1, sizeof(*pending));
    struct link *request = slots_find(&connection->links, to->request);
    struct ks_failure why = {0};
    enum ks_status st;

    if (pending == NULL) {
        abort();
    }
    arena_init(&pending->arena);
    pending->post.run = pending_answered_on_reactor;
    pending->home = home;
    pending->connection = connection->handle;
    pending->to = *to;
    pending->to.tenant_id = arena_span(&pending->arena, to->tenant_id);
    pending->to.device_id = arena_span(&pending->arena, to->device_id);
    pending->to.correlation = arena_span(&pending->arena, to->correlation);
    pending->job = provisioning_job_new(home->options->service, plan, clock_now_ns());
    pending->job->answered = pending_answered;
    pending->job->owner = pending;
    st = writer_submit(home->options->service->writer, WRITER_AMQP, &pending->job->writer, &why);
    if (st != KS_OK) {
        provisioning_job_refuse(pending->job, st, &why);
        send_answer(connection, to, &pending->job->answer);
        pending_free(pending);
        return;
    }
    connection->jobs++;
    if (request != NULL) {
        request->unanswered++;
    }
}

/* ---- requests ---- */

static void settle(pn_delivery_t *delivery, uint64_t outcome)
{
    (void)pn_link_advance(pn_delivery_link(delivery)); /* before settling, or one is skipped */
    pn_delivery_update(delivery, outcome);
    pn_delivery_settle(delivery);
}

static void reject(struct link *link, pn_delivery_t *delivery, const char *condition,
                   const char *description)
{
    pn_condition_t *at = pn_disposition_condition(pn_delivery_local(delivery));

    (void)pn_condition_set_name(at, condition);
    (void)pn_condition_set_description(at, description);
    counters_add(link->connection->home->counters, COUNTER_REQUESTS_REJECTED, 1);
    settle(delivery, PN_REJECTED);
}

static void undecodable(struct link *link, pn_delivery_t *delivery)
{
    pn_disposition_t *disposition = pn_delivery_local(delivery);

    pn_disposition_set_failed(disposition, true);
    pn_disposition_set_undeliverable(disposition, true);
    counters_add(link->connection->home->counters, COUNTER_REQUESTS_REJECTED, 1);
    settle(delivery, PN_MODIFIED);
}

static void run(struct link *link, const struct request *request, struct link *reply)
{
    struct connection *connection = link->connection;
    struct home *home = connection->home;
    struct answer *answer = &home->answer;
    const struct return_address to = {
        .reply = reply->handle,
        .request = link->handle,
        .api = link->api,
        .tenant_id = link->api->tenant_in_request ? request->tenant_id : link->address.segment[1],
        .device_id = link->api->hides_device ? span_of(NULL, 0) : request->device_id,
        .correlation = request->correlation,
    };
    const struct api_call call = {.reader = &home->reader,
                                  .who = connection->who,
                                  .address = &link->address,
                                  .request = request,
                                  .now_ms = clock_now_ms()};
    struct provisioning_plan plan;
    struct ks_failure why = {0};
    enum ks_status st = service_reader_renew(&home->reader, &why);

    answer_clear(answer);
    if (st != KS_OK) {
        answer_refuse(answer, st, &why);
    } else {
        st = link->api->handle(&call, answer, &plan);
    }
    if (st == KS_NEEDS_WRITE) {
        submit(connection, &to, &plan);
    } else {
        send_answer(connection, &to, answer);
    }
    service_reader_rest(&home->reader);
}

static void take_request(struct link *link, pn_delivery_t *delivery, struct span message)
{
    struct connection *connection = link->connection;
    struct request request;
    struct reply_entry *reply;

    counters_add(connection->home->counters, COUNTER_REQUESTS, 1);
    switch (request_parse(message, &request)) {
    case REQUEST_OK:
        break;
    case REQUEST_MALFORMED:
        reject(link, delivery, "hono:bad-request", "malformed request message");
        return;
    case REQUEST_UNDECODABLE:
        undecodable(link, delivery);
        return;
    }
    reply = reply_map_find(&connection->replies, request.reply_to);
    if (reply == NULL || ((struct link *)reply)->api != link->api) {
        reject(link, delivery, "amqp:precondition-failed",
               "must open receiver link for reply-to address first");
        return;
    }
    settle(delivery, PN_ACCEPTED);
    run(link, &request, (struct link *)reply);
}

void dispatch_delivery(struct link *link, pn_delivery_t *delivery)
{
    struct home *home = link->connection->home;
    struct slot_handle handle = link->handle;
    struct connection *connection = link->connection;
    size_t size = pn_delivery_pending(delivery);
    ssize_t n = 0;

    if (!pn_delivery_readable(delivery)) {
        return; /* handled already, by an earlier event of the same delivery */
    }
    if (pn_delivery_aborted(delivery)) {
        settle(delivery, PN_RELEASED);
    } else if (pn_delivery_partial(delivery)) {
        return;
    } else {
        /* The guard lets no larger message through. */
        if (size > 0) { /* the engine answers "end" for an empty message */
            n = pn_link_recv(link->engine, (char *)home->message,
                             home->options->limits.max_message);
        }
        if (n < 0 || (size_t)n != size) {
            undecodable(link, delivery);
        } else {
            take_request(link, delivery, span_of(home->message, size));
        }
    }
    link = slots_find(&connection->links, handle); /* answering may have ended it */
    if (link != NULL) {
        link_top_up(link);
    }
}
