/*
 * management: the operations of the Device Registry Management API, without HTTP: one entry for
 * the reads, jobs for the writes.
 *
 * Threads:   management_read on the thread that owns the reader, inline. management_write on the
 * asking thread checks and renders the document; passwords in clear are hashed on the pool; the
 *            writer applies it and `answered` is called.
 * Ownership: a write owns copies of all it needs and frees them after `answered`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include "base/uuid.h"

struct service;
struct service_reader;

enum management_op {
    MANAGEMENT_TENANT_CREATE,
    MANAGEMENT_TENANT_READ,
    MANAGEMENT_TENANT_UPDATE,
    MANAGEMENT_TENANT_DELETE,
    MANAGEMENT_TENANT_SEARCH,
    MANAGEMENT_DEVICE_CREATE,
    MANAGEMENT_DEVICE_READ,
    MANAGEMENT_DEVICE_UPDATE,
    MANAGEMENT_DEVICE_DELETE,
    MANAGEMENT_DEVICE_SEARCH,
    MANAGEMENT_DEVICE_DELETE_ALL,
    MANAGEMENT_CREDENTIALS_READ,
    MANAGEMENT_CREDENTIALS_UPDATE,
};

/* What a client may expect of an operation. */
struct management_traits {
    int status;     /* of success */
    bool of_device; /* or of its credentials */
    bool needs_body;
    bool heeds_version; /* If-Match counts */
    bool has_etag;
};

struct management_traits management_traits_of(enum management_op op);

struct management_request {
    enum management_op op;
    struct span tenant_id; /* percent-decoded; empty in a create: one is generated */
    struct span device_id; /* the same */
    struct span query;     /* of a search: what follows the `?`, as it came */
    struct span body;      /* JSON text; empty: none */
    struct span if_match;  /* header value; empty: no precondition; quotes are taken off here */
};

struct management_response {
    int status;      /* 200, 201, 204, 4xx, 5xx */
    struct buf body; /* JSON; a refusal is {"error":…,"reason":…} */
    bool has_etag;
    struct uuid etag;
    char location[640]; /* of a 201, else empty: /v1/tenants/{id}, /v1/devices/{tenant}/{device} */
};

void management_response_init(struct management_response *response);
void management_response_done(struct management_response *response);
/* A refusal made by the HTTP layer itself, in the same form. */
void management_refuse(struct management_response *response, int status, const char *reason,
                       const char *text);

/* Reads; op must be a *_READ. The reader's transaction has been renewed. */
void management_read(struct service_reader *reader, const struct management_request *request,
                     struct management_response *response);

/* Called once, from management_write itself (a refusal that needs neither hash nor writer) or later
 * on a pool or writer thread; from search_begin itself, or later on the search thread. The response
 * is the callee's to read during the call; it may swap the body out. */
typedef void management_answered(void *arg, struct management_response *response);

/* Takes a write through validation, hashing and the writer; the request is copied. */
void management_write(const struct service *service, const struct management_request *request,
                      management_answered *answered, void *arg);
