#include "amqp/api.h"
#include "base/json_scan.h"
#include "service/credentials_get.h"
#include "service/reasons.h"

static bool read_query(const struct api_call *call, struct credentials_query *ask,
                       struct answer *answer)
{
    struct json_members members;
    const struct json_member *member;
    struct ks_failure why;

    if (!api_read_body(call, &members, answer)) {
        return false;
    }
    if (!api_string_member(call, &members, SPAN("type"), &ask->type)) {
        answer_refuse(answer,
                      ks_fail(&why, KS_INVALID, REASON_BAD_REQUEST,
                              "the request's body has no member type of type string"),
                      &why);
        return false;
    }
    if (!api_string_member(call, &members, SPAN("auth-id"), &ask->auth_id)) {
        answer_refuse(answer,
                      ks_fail(&why, KS_INVALID, REASON_BAD_REQUEST,
                              "the request's body has no member auth-id of type string; "
                              "look-up by device-id is not supported"),
                      &why);
        return false;
    }
    member = json_members_find(&members, SPAN("device-id"));
    if (member != NULL && member->kind == JSON_KIND_STRING) {
        answer_refuse(answer,
                      ks_fail(&why, KS_INVALID, REASON_BAD_REQUEST,
                              "auth-id and device-id exclude each other"),
                      &why);
        return false;
    }
    member = json_members_find(&members, SPAN("client-certificate"));
    if (member != NULL && member->kind != JSON_KIND_NULL) {
        ask->has_client_certificate = true;
        ask->certificate_not_text = !api_string_member(call, &members, SPAN("client-certificate"),
                                                       &ask->client_certificate);
    }
    ask->context = call->request->body;
    return true;
}

static enum ks_status handle(const struct api_call *call, struct answer *answer,
                             struct provisioning_plan *plan)
{
    struct credentials_query ask = {0};

    if (!api_may_call(call, answer) || !api_tenant_segment(call, &ask.tenant_id, answer)) {
        return KS_OK;
    }
    if (!span_eq(call->request->subject, SPAN("get"))) {
        api_refuse_subject(call, answer);
        return KS_OK;
    }
    if (!read_query(call, &ask, answer)) {
        return KS_OK;
    }
    return credentials_get(call->reader, &ask, call->now_ms, answer, plan);
}

const struct api api_credentials = {
    .endpoint = "credentials", .reply_segments = 3, .handle = handle};
