#include "http/reply.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/management.h"

static const char *phrase_of(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Payload Too Large"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };

    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "Unknown";
}

void reply_header(struct evhttp_request *request, const char *name, const char *value)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
}

/* evhttp reads on while it writes, and drops the answer when it sees that the peer has ended its
 * side. What the peer sends meanwhile can wait. */
static void stop_reading(struct evhttp_request *request)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);

    (void)bufferevent_disable(evhttp_connection_get_bufferevent(connection), EV_READ);
}

void reply_json(struct evhttp_request *request, int status, struct span body)
{
    bool has_body = status != 204 && evhttp_request_get_command(request) != EVHTTP_REQ_HEAD;
    struct evbuffer *out;
    char length[24];

    if (evhttp_request_get_connection(request) == NULL) {
        evhttp_request_free(request); /* the peer has gone */
        return;
    }
    out = evbuffer_new();
    if (out == NULL || (has_body && evbuffer_add(out, body.ptr, body.len) != 0)) {
        abort();
    }
    if (has_body) {
        (void)snprintf(length, sizeof(length), "%zu", body.len);
        reply_header(request, "content-length", length);
    }
    if (has_body && body.len > 0) {
        reply_header(request, "content-type", "application/json; charset=utf-8");
    }
    evhttp_send_reply(request, status, phrase_of(status), out);
    evbuffer_free(out);
    stop_reading(request);
}

void reply_response(struct evhttp_request *request, const struct management_response *response)
{
    if (response->has_etag) {
        char etag[UUID_TEXT_LEN + 1];

        uuid_format(&response->etag, etag);
        reply_header(request, "etag", etag);
    }
    if (response->location[0] != '\0') {
        reply_header(request, "location", response->location);
    }
    reply_json(request, response->status, buf_span(&response->body));
}

void reply_error(struct evhttp_request *request, int status, const char *reason, const char *text)
{
    struct management_response response;

    management_response_init(&response);
    management_refuse(&response, status, reason, text);
    reply_response(request, &response);
    management_response_done(&response);
}
