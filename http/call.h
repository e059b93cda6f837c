/*
 * call: one management request on its way: route, login, origin, method, authority, body,
 * operation, answer. Each step either goes on or answers; logins and writes come back to the
 * reactor later.
 *
 * Threads:   the reactor's; posts from pool and writer.
 * Ownership: a call frees itself with its answer. evhttp's request stays evhttp's until the answer
 *            is sent; when its connection is gone by then, it is freed instead.
 */
#pragma once

#include "http/login.h"
#include "http/server.h"
#include "service/service.h"

struct cors;
struct evhttp_request;

/* What all calls share. */
struct call_context {
    const struct http_options *options;
    struct service_reader *reader;
    struct logins logins;
    struct cors *cors;
    _Atomic unsigned in_flight;
    struct span description; /* what GET /v1/openapi.json is answered */
};

/* Takes the request through to its answer, now or later. */
void call_begin(struct call_context *context, struct evhttp_request *request);
