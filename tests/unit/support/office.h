/*
 * office: a registry whose management API is used: requests are made and their answers waited for,
 * with a real store, writer and pool.
 *
 * Threads: office_write_later from any; the rest from the test's own.
 */
#pragma once

#include "support/test.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/pool.h"
#include "service/management.h"
#include "support/registry.h"

enum { OFFICE_COST = 4, OFFICE_STATUS_MAX = 600 };

struct office {
    struct registry registry;
    struct pool *pool;
    struct search_worker *search;
    struct management_response response; /* the last one */
    pthread_mutex_t mutex;               /* guards what follows, and response */
    pthread_cond_t answered;
    unsigned asked;
    unsigned answers;
    unsigned by_status[OFFICE_STATUS_MAX];
};

void office_open(struct office *office);
/* Verifies the store. */
void office_close(struct office *office);

/* Any may be NULL: empty. Placeholders of support/documents.h are filled in. */
struct office_request {
    enum management_op op;
    const char *tenant;
    const char *device;
    const char *body;
    const char *if_match;
    const char *query;
};

/* Asks and waits; reads and searches as well as writes. */
void office_ask(struct office *office, const struct office_request *request);
void office_write_later(struct office *office, const struct office_request *request);
/* Until all that was asked is answered. */
void office_wait(struct office *office);

/* The last answer's body with ids written as `#` and times as `@`; overwritten by the next call. */
struct span office_body(struct office *office);

/* The last answer's ETag; overwritten by the next call. */
const char *office_etag(const struct office *office);

/* What requests name: `TENANT(CREATE) = "T1"`, `DEVICE(READ, "T1") = "d"`, `CREDENTIALS(…`. */
#define TENANT(verb)          .op = MANAGEMENT_TENANT_##verb, .tenant
#define DEVICE(verb, of)      .op = MANAGEMENT_DEVICE_##verb, .tenant = (of), .device
#define CREDENTIALS(verb, of) .op = MANAGEMENT_CREDENTIALS_##verb, .tenant = (of), .device

#define ask(office, ...) office_ask(office, &(struct office_request){__VA_ARGS__})

#define assert_response(office, code, text)                                                        \
    do {                                                                                           \
        if ((office)->response.status != (code)) {                                                 \
            fail_msg("status %d: %.*s", (office)->response.status,                                 \
                     SPAN_ARG(buf_span(&(office)->response.body)));                                \
        }                                                                                          \
        assert_span(office_body(office), text);                                                    \
    } while (0)
#define assert_error(office, code, why_not)                                                        \
    do {                                                                                           \
        struct span test_body = buf_span(&(office)->response.body);                                \
        if ((office)->response.status != (code) ||                                                 \
            memmem(test_body.ptr, test_body.len, "\"reason\":\"" why_not "\"}",                    \
                   sizeof("\"reason\":\"" why_not "\"}") - 1) == NULL) {                           \
            fail_msg("not %d %s but %d %.*s", code, why_not, (office)->response.status,            \
                     SPAN_ARG(test_body));                                                         \
        }                                                                                          \
        assert_false((office)->response.has_etag);                                                 \
        assert_string_equal((office)->response.location, "");                                      \
    } while (0)
