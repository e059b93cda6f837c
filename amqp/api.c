#include "amqp/api.h"

#include "base/json_scan.h"
#include "service/reasons.h"

const struct api *const api_all[] = {&api_tenant, &api_credentials, &api_registration,
                                     &api_device_con, NULL};

const struct api *api_find(const struct api *const *apis, struct span endpoint)
{
    while (*apis != NULL && !span_eq(endpoint, span_cstr((*apis)->endpoint))) {
        apis++;
    }
    return *apis;
}

bool api_may_call(const struct api_call *call, struct answer *answer)
{
    struct ks_failure why;
    enum ks_status st;

    if (identity_may_call(call->who, call->address, call->request->subject)) {
        return true;
    }
    st = ks_fail(&why, KS_FORBIDDEN, REASON_NOT_AUTHORIZED, "not authorized to invoke operation");
    answer_refuse(answer, st, &why);
    return false;
}

bool api_tenant_segment(const struct api_call *call, struct span *tenant, struct answer *answer)
{
    struct ks_failure why;
    enum ks_status st;

    *tenant = call->address->segment[1];
    if (tenant->len > 0) {
        return true;
    }
    st = ks_fail(&why, KS_INVALID, REASON_BAD_REQUEST,
                 "the link's target names no tenant; attach to %.*s/<tenant>",
                 SPAN_ARG(call->address->segment[0]));
    answer_refuse(answer, st, &why);
    return false;
}

void api_refuse_subject(const struct api_call *call, struct answer *answer)
{
    struct ks_failure why;
    enum ks_status st =
        ks_fail(&why, KS_INVALID, REASON_UNSUPPORTED, "the %.*s API has no such operation",
                SPAN_ARG(call->address->segment[0]));

    answer_refuse(answer, st, &why);
}

bool api_read_body(const struct api_call *call, struct json_members *members, struct answer *answer)
{
    struct ks_failure why;
    enum ks_status st = KS_OK;

    if (!call->request->has_body) {
        st = ks_fail(&why, KS_INVALID, REASON_BAD_JSON, "the request has no body");
    } else {
        st = json_scan_object(call->request->body, members, &why);
        why.reason = REASON_BAD_JSON;
    }
    if (st != KS_OK) {
        answer_refuse(answer, st, &why);
        return false;
    }
    return true;
}

bool api_string_member(const struct api_call *call, const struct json_members *members,
                       struct span key, struct span *out)
{
    const struct json_member *member = json_members_find(members, key);
    char *room;

    if (member == NULL || member->kind != JSON_KIND_STRING) {
        return false;
    }
    room = arena_alloc(&call->reader->scratch, member->value.len);
    json_scan_string(member->value, room, out);
    return true;
}
