/*
 * reply: answers to a request of evhttp's.
 *
 * Threads:   the reactor's.
 * Ownership: the request is given back to evhttp, or freed if its connection has gone.
 */
#pragma once

#include "base/span.h"

struct evhttp_request;
struct management_response;

/* Before the answer. Names in lower case. */
void reply_header(struct evhttp_request *request, const char *name, const char *value);
/* JSON, or nothing. HEAD is answered without a body. */
void reply_json(struct evhttp_request *request, int status, struct span body);
/* {"error":…,"reason":…} */
void reply_error(struct evhttp_request *request, int status, const char *reason, const char *text);
void reply_response(struct evhttp_request *request, const struct management_response *response);
