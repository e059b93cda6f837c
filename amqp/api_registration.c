#include "amqp/api.h"
#include "service/reasons.h"
#include "service/registration_assert.h"

static enum ks_status handle(const struct api_call *call, struct answer *answer,
                             struct provisioning_plan *plan)
{
    const struct request *request = call->request;
    struct assert_query ask = {.device_id = request->device_id,
                               .gateway_id = request->gateway_id,
                               .has_gateway_id = request->has_gateway_id};
    struct ks_failure why;

    if (!api_may_call(call, answer) || !api_tenant_segment(call, &ask.tenant_id, answer)) {
        return KS_OK;
    }
    if (!span_eq(request->subject, SPAN("assert"))) {
        api_refuse_subject(call, answer);
        return KS_OK;
    }
    if (!request->has_device_id) {
        answer_refuse(answer,
                      ks_fail(&why, KS_INVALID, REASON_BAD_REQUEST,
                              "the request has no application property device_id of type string"),
                      &why);
        return KS_OK;
    }
    return registration_assert(call->reader, &ask, call->now_ms, answer, plan);
}

const struct api api_registration = {
    .endpoint = "registration", .reply_segments = 3, .handle = handle};
