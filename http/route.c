#include "http/route.h"

#include <stdio.h>

static const struct route_row table[] = {
    {"tenants", 0, HTTP_POST, MANAGEMENT_TENANT_CREATE, false},
    {"tenants", 0, HTTP_GET, MANAGEMENT_TENANT_SEARCH, false},
    {"tenants", 1, HTTP_POST, MANAGEMENT_TENANT_CREATE, false},
    {"tenants", 1, HTTP_GET, MANAGEMENT_TENANT_READ, false},
    {"tenants", 1, HTTP_PUT, MANAGEMENT_TENANT_UPDATE, false},
    {"tenants", 1, HTTP_DELETE, MANAGEMENT_TENANT_DELETE, false},
    {"devices", 1, HTTP_POST, MANAGEMENT_DEVICE_CREATE, false},
    {"devices", 1, HTTP_GET, MANAGEMENT_DEVICE_SEARCH, false},
    {"devices", 1, HTTP_DELETE, MANAGEMENT_DEVICE_DELETE_ALL, false},
    {"devices", 2, HTTP_POST, MANAGEMENT_DEVICE_CREATE, false},
    {"devices", 2, HTTP_GET, MANAGEMENT_DEVICE_READ, false},
    {"devices", 2, HTTP_PUT, MANAGEMENT_DEVICE_UPDATE, false},
    {"devices", 2, HTTP_DELETE, MANAGEMENT_DEVICE_DELETE, false},
    {"credentials", 2, HTTP_GET, MANAGEMENT_CREDENTIALS_READ, false},
    {"credentials", 2, HTTP_PUT, MANAGEMENT_CREDENTIALS_UPDATE, false},
    {.collection = "openapi.json", .method = HTTP_GET, .describes = true},
};

static const char *const method_names[] = {
    [HTTP_GET] = "GET", [HTTP_POST] = "POST", [HTTP_PUT] = "PUT", [HTTP_DELETE] = "DELETE"};

bool route_at(size_t i, struct route_row *out)
{
    bool found = i < sizeof(table) / sizeof(table[0]);

    if (found) {
        *out = table[i];
    }
    return found;
}

enum route_verdict route_find(const struct path *path, enum http_method method, struct route *out)
{
    enum route_verdict verdict = ROUTE_UNKNOWN_PATH;
    size_t allowed = 0;

    *out = (struct route){.writes = method != HTTP_GET,
                          .takes_body = method == HTTP_POST || method == HTTP_PUT,
                          .needs_body = method == HTTP_PUT};
    if (path->count < 2 || !span_eq(path->segment[0], SPAN("v1"))) {
        return ROUTE_UNKNOWN_PATH;
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (path->count != 2 + table[i].ids ||
            !span_eq(path->segment[1], span_cstr(table[i].collection))) {
            continue;
        }
        allowed += (size_t)snprintf(out->allow + allowed, sizeof(out->allow) - allowed, "%s%s",
                                    allowed > 0 ? ", " : "", method_names[table[i].method]);
        out->tenant = table[i].ids > 0 ? path->segment[2] : span_of(NULL, 0);
        out->device = table[i].ids > 1 ? path->segment[3] : span_of(NULL, 0);
        if (table[i].method == method) {
            out->op = table[i].op;
            out->describes = table[i].describes;
            out->searches =
                out->op == MANAGEMENT_TENANT_SEARCH || out->op == MANAGEMENT_DEVICE_SEARCH;
            verdict = ROUTE_OK;
        } else if (verdict == ROUTE_UNKNOWN_PATH) {
            verdict = ROUTE_UNKNOWN_METHOD;
        }
    }
    return verdict;
}
