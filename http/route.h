/*
 * route: which operation a method on a path is: one table.
 *
 * Threads: any; pure.
 */
#pragma once

#include <stdbool.h>

#include "base/span.h"
#include "http/path.h"
#include "service/management.h"

enum http_method {
    HTTP_GET,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OTHER,
};

enum route_verdict {
    ROUTE_OK,
    ROUTE_UNKNOWN_PATH,   /* 404 */
    ROUTE_UNKNOWN_METHOD, /* 405 */
};

struct route {
    enum management_op op;
    bool describes; /* GET /v1/openapi.json: no operation, and for everybody */
    bool writes;
    bool searches;
    bool takes_body; /* POST, PUT */
    bool needs_body; /* PUT */
    struct span tenant;
    struct span device;
    char allow[64]; /* the methods of a known path: "GET, PUT" */
};

/* A row of the table: a method on /v1/{collection} with so many ids behind it. Rows of one path
 * stand together. */
struct route_row {
    const char *collection;
    size_t ids;
    enum http_method method;
    enum management_op op;
    bool describes;
};

/* The row at that place, in *out; false: there are no more. */
bool route_at(size_t i, struct route_row *out);

/* Spans of the result lie in `path`. */
enum route_verdict route_find(const struct path *path, enum http_method method, struct route *out);
