/*
 * call: one management request on its way: framing, login, route, authority, body, operation,
 * answer. Each step either goes on or answers; login and writes come back to the reactor by post.
 *
 * Threads:   the reactor's; posts from pool and writer.
 * Ownership: a call frees itself with its answer. evhttp's request stays evhttp's until the answer
 * is sent; when its connection is gone by then, it is freed instead.
 */
#pragma once

#include "http/server.h"
#include "service/service.h"

struct evhttp_request;
struct reactor;

/* What all calls share. */
struct call_context {
    const struct http_options *options;
    struct service_reader *reader;
    _Atomic unsigned *in_flight;
    struct span description; /* what GET /v1/openapi.json is answered */
};

/* Takes the request through to its answer, now or later. */
void call_begin(const struct call_context *context, struct evhttp_request *request);
/* A JSON answer of our own. */
void call_reply(struct evhttp_request *request, int status, struct span body, bool close);
/* {"error":…,"reason":…} */
void call_reply_error(struct evhttp_request *request, int status, const char *reason,
                      const char *text, bool close);
