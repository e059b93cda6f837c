#include "amqp/api.h"
#include "base/json_scan.h"
#include "service/reasons.h"
#include "service/tenant_get.h"

/* With the deprecated application property tenant_id the authority is checked on that tenant before
 * anything else; without it the service checks the tenant found. */
static bool may_ask_for(const struct api_call *call, struct answer *answer)
{
    struct address address;
    struct buf text;
    struct ks_failure why;
    bool may;

    buf_init(&text, 0);
    buf_add_cstr(&text, "tenant/");
    buf_add_span(&text, call->request->tenant_id);
    may = address_parse(buf_span(&text), &address) &&
          identity_may_call(call->who, &address, call->request->subject);
    buf_done(&text);
    if (!may) {
        answer_refuse(answer,
                      ks_fail(&why, KS_FORBIDDEN, REASON_NOT_AUTHORIZED,
                              "not authorized to invoke operation"),
                      &why);
    }
    return may;
}

static bool read_query(const struct api_call *call, struct tenant_query *ask, struct answer *answer)
{
    struct json_members members;

    *ask = (struct tenant_query){0};
    if (call->request->has_tenant_id) {
        ask->tenant_id = call->request->tenant_id;
        ask->has_tenant_id = true;
        return !call->request->has_body || api_read_body(call, &members, answer);
    }
    if (!api_read_body(call, &members, answer)) {
        return false;
    }
    ask->has_tenant_id = api_string_member(call, &members, SPAN("tenant-id"), &ask->tenant_id);
    ask->has_subject_dn = api_string_member(call, &members, SPAN("subject-dn"), &ask->subject_dn);
    return true;
}

static enum ks_status handle(const struct api_call *call, struct answer *answer,
                             struct provisioning_plan *plan)
{
    struct tenant_query ask;

    (void)plan;
    if (call->request->has_tenant_id && !may_ask_for(call, answer)) {
        return KS_OK;
    }
    if (!span_eq(call->request->subject, SPAN("get"))) {
        api_refuse_subject(call, answer);
        return KS_OK;
    }
    if (read_query(call, &ask, answer)) {
        tenant_get(call->reader, call->who, &ask, call->now_ms, answer);
        if (ask.has_tenant_id && answer->tenant_id.len == 0) {
            buf_add_span(&answer->tenant_id, ask.tenant_id); /* echoed as it was asked for */
        }
    }
    return KS_OK;
}

const struct api api_tenant = {
    .endpoint = "tenant", .reply_segments = 2, .tenant_in_request = true, .handle = handle};
