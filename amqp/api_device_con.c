#include "amqp/api.h"
#include "base/json_walk.h"
#include "service/device_connection.h"
#include "service/reasons.h"

enum { STATUS_NO_CONTENT = 204 };

/* What the operations have in common. */
struct device_con_call {
    const struct api_call *call;
    struct device_connections *all;
    struct span tenant;
    struct span device;
    struct json_members members; /* of the body; none if there is no body */
    struct answer *answer;
    struct ks_failure why;
};

static enum ks_status bad(struct device_con_call *c, const char *text)
{
    return ks_fail(&c->why, KS_INVALID, REASON_BAD_REQUEST, "%s", text);
}

static enum ks_status set_last_gw(struct device_con_call *c)
{
    const struct request *request = c->call->request;

    if (!request->has_gateway_id) {
        return bad(c, "the request has no application property gateway_id of type string");
    }
    return device_connection_set_gateway(c->all, c->tenant, c->device, request->gateway_id,
                                         c->call->now_ms, &c->why);
}

static enum ks_status get_last_gw(struct device_con_call *c)
{
    return device_connection_get_gateway(c->all, c->tenant, c->device, c->call->now_ms,
                                         &c->answer->body, &c->why);
}

static enum ks_status no_adapter(struct device_con_call *c)
{
    return bad(c, "the request has no application property adapter_instance_id of type string");
}

static enum ks_status set_adapter(struct device_con_call *c)
{
    const struct request *request = c->call->request;

    if (!request->has_adapter_instance_id) {
        return no_adapter(c);
    }
    return device_connection_set_adapter(c->all, c->tenant, c->device, request->adapter_instance_id,
                                         request->has_lifespan ? request->lifespan_s : -1,
                                         c->call->now_ms, &c->why);
}

static enum ks_status remove_adapter(struct device_con_call *c)
{
    const struct request *request = c->call->request;

    if (!request->has_adapter_instance_id) {
        return no_adapter(c);
    }
    return device_connection_remove_adapter(c->all, c->tenant, c->device,
                                            request->adapter_instance_id, c->call->now_ms, &c->why);
}

static enum ks_status get_adapters(struct device_con_call *c)
{
    struct arena *scratch = &c->call->reader->scratch;
    const struct json_member *member = json_members_find(&c->members, SPAN("gateway-ids"));
    struct json_walk walk;
    struct span *gateways;
    struct span no_key;
    struct span element;
    size_t count = 0;

    if (member == NULL || member->kind != JSON_KIND_ARRAY ||
        !json_walk_begin(&walk, member->value)) {
        return bad(c, "the request has no body with the member gateway-ids, an array of strings");
    }
    gateways = arena_alloc(scratch, DEVICE_CONNECTION_GATEWAYS * sizeof(*gateways));
    while (json_walk_next(&walk, &no_key, &element)) {
        if (*element.ptr != '"' || count == DEVICE_CONNECTION_GATEWAYS) {
            return ks_fail(&c->why, KS_INVALID, REASON_BAD_REQUEST,
                           "gateway-ids must be an array of at most %d strings",
                           DEVICE_CONNECTION_GATEWAYS);
        }
        json_scan_string(element, arena_alloc(scratch, element.len), &gateways[count++]);
    }
    return device_connection_get_adapters(c->all, c->tenant, c->device, gateways, count,
                                          c->call->now_ms, &c->answer->body, &c->why);
}

static const struct operation {
    const char *subject;
    enum ks_status (*run)(struct device_con_call *c);
} operations[] = {
    {"set-last-gw", set_last_gw},
    {"get-last-gw", get_last_gw},
    {"set-cmd-handling-adapter-instance", set_adapter},
    {"remove-cmd-handling-adapter-instance", remove_adapter},
    {"get-cmd-handling-adapter-instances", get_adapters},
};

static const struct operation *find_operation(struct span subject)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (span_eq(subject, span_cstr(operations[i].subject))) {
            return &operations[i];
        }
    }
    return NULL;
}

static enum ks_status handle(const struct api_call *call, struct answer *answer,
                             struct provisioning_plan *plan)
{
    const struct request *request = call->request;
    const struct operation *operation = find_operation(request->subject);
    struct device_con_call c = {.call = call,
                                .all = call->reader->service->device_connections,
                                .device = request->device_id,
                                .answer = answer};
    enum ks_status st;

    (void)plan;
    if (!api_may_call(call, answer) || !api_tenant_segment(call, &c.tenant, answer)) {
        return KS_OK;
    }
    if (operation == NULL) {
        api_refuse_subject(call, answer);
        return KS_OK;
    }
    if (request->has_body && request->body.len > 0 && !api_read_body(call, &c.members, answer)) {
        return KS_OK;
    }
    st = request->has_device_id
             ? operation->run(&c)
             : bad(&c, "the request has no application property device_id of type string");
    if (st != KS_OK) {
        answer_refuse(answer, st, &c.why);
    } else {
        answer->status = answer->body.len > 0 ? answer_status_code(KS_OK) : STATUS_NO_CONTENT;
    }
    return KS_OK;
}

const struct api api_device_con = {
    .endpoint = "device_con", .reply_segments = 3, .hides_device = true, .handle = handle};
