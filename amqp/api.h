/*
 * api: the request/response APIs by the first segment of their address, and their operations by
 * subject. Decodes the request's payload, checks the authority, calls the service.
 *
 * Threads:   the reactor that owns the reader.
 * Ownership: spans borrow from the request's bytes and the reader's scratch.
 * Source:    Hono's Tenant, Credentials and Device Registration API pages.
 */
#pragma once

#include <stdint.h>

#include "amqp/request.h"
#include "service/answer.h"
#include "service/authority.h"
#include "service/provisioning.h"
#include "service/service.h"

struct api_call {
    struct service_reader *reader; /* renewed */
    const struct identity *who;
    const struct address *address; /* target of the request link */
    const struct request *request;
    int64_t now_ms;
};

struct api {
    const char *endpoint;
    size_t reply_segments;  /* that a reply address must have, at least */
    bool hides_device;      /* answers do not echo the request's device_id */
    bool tenant_in_request; /* it names the tenant; the segments of the link's target do not */
    /* KS_OK: *answer is complete, refusals included. KS_NEEDS_WRITE: submit a job made from *plan.
     */
    enum ks_status (*handle)(const struct api_call *call, struct answer *answer,
                             struct provisioning_plan *plan);
};

/* What the service offers; ends with NULL. */
extern const struct api *const api_all[];
/* NULL: no such endpoint. */
const struct api *api_find(const struct api *const *apis, struct span endpoint);

extern const struct api api_tenant;
extern const struct api api_credentials;
extern const struct api api_registration;
extern const struct api api_device_con;

/* ---- shared by the API files ---- */

/* Refuses with 403 unless `who` may call the request's subject on the link's target. */
bool api_may_call(const struct api_call *call, struct answer *answer);
/* The tenant segment of the link's target; refuses with 400 if there is none. */
bool api_tenant_segment(const struct api_call *call, struct span *tenant, struct answer *answer);
/* 400 for a subject that is no operation of the API. */
void api_refuse_subject(const struct api_call *call, struct answer *answer);
/* The members of the request's JSON body; refuses with 400 if it is not a JSON object. */
struct json_members;
bool api_read_body(const struct api_call *call, struct json_members *members,
                   struct answer *answer);
/* A string member, unescaped into the scratch. False: absent or not a string. */
bool api_string_member(const struct api_call *call, const struct json_members *members,
                       struct span key, struct span *out);
