/*
 * operations: the operations port: liveness, readiness, started, as MicroProfile Health 3 JSON.
 *
 * Threads: the reactor's.
 */
#pragma once

#include "http/server.h"

struct evhttp_request;

void operations_begin(const struct http_health *health, struct evhttp_request *request);
