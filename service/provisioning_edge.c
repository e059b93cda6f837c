/* By gateway: a device behind one that has the authority. */
#include "service/provisioning_edge.h"

#include <jansson.h>
#include <stdlib.h>

#include "service/device_members.h"
#include "service/ids.h"
#include "service/json_text.h"
#include "service/provisioning_kind.h"
#include "service/reasons.h"
#include "service/registration_assert.h"
#include "service/service.h"

enum ks_status provisioning_edge_plan(struct service_reader *reader, uint32_t space,
                                      const struct assert_query *ask,
                                      struct provisioning_plan *plan, struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    enum ks_status st = store_tenant_get(reader->txn, space, &tenant, why);

    if (st == KS_NOT_FOUND) {
        return ks_fail(why, st, REASON_UNKNOWN_TENANT, "no such tenant");
    }
    if (st == KS_OK && (tenant.flags & STORE_TENANT_ENABLED) == 0) {
        return ks_fail(why, KS_NOT_FOUND, REASON_DISABLED, "the tenant is disabled");
    }
    if (st == KS_OK && !ids_is_device(ask->device_id)) {
        return ks_fail(
            why, KS_INVALID, REASON_BAD_DEVICE_ID,
            "a device id must have 1 to %d of the characters " IDS_OF_DEVICES IDS_NO_STEPS,
            STORE_ID_MAX);
    }
    if (st == KS_OK) {
        *plan = (struct provisioning_plan){
            .kind = &provisioning_by_gateway,
            .tenant_id = ask->tenant_id,
            .edge = {.device_id = ask->device_id, .gateway_id = ask->gateway_id}};
    }
    return st;
}

/* ---- on the writer ---- */

/* The groups that a gateway is in may act for what is behind it. */
static json_t *groups_of(const struct store_device *gateway)
{
    json_t *groups = json_text_must(json_array());
    struct span group;
    size_t at = 0;

    while (store_strings_next(gateway->member_of, &at, &group)) {
        (void)json_array_append_new(groups, json_text_new(group));
    }
    return groups;
}

static json_t *make_document(const struct store_device *gateway)
{
    json_t *document = json_text_must(json_object());
    json_t *via = json_text_must(json_array());
    json_t *groups = groups_of(gateway);

    (void)json_array_append_new(via, json_text_new(gateway->id));
    (void)device_put(document, DEVICE_ENABLED, json_true());
    (void)device_put(document, DEVICE_VIA, via);
    if (json_array_size(groups) > 0) {
        (void)device_put(document, DEVICE_VIA_GROUPS, json_incref(groups));
    }
    json_decref(groups);
    return document;
}

static enum ks_status provision(struct provisioning_details *details, struct store_txn *txn,
                                const struct store_tenant *tenant, struct ks_failure *why)
{
    const struct provisioning_edge *edge = &details->plan.edge;
    struct provisioning_device device = {.id = edge->device_id, .gateway_id = edge->gateway_id};
    struct store_device gateway = {.flags = 0};
    enum ks_status st = provisioning_check_limit(details, txn, tenant, why);

    if (st == KS_OK) {
        st = store_device_get(txn, tenant->space, edge->gateway_id, &gateway, why);
    }
    if (st != KS_OK) {
        return st;
    }
    device.document = make_document(&gateway);
    st = provisioning_register(details, txn, tenant, &device, why);
    json_decref(device.document);
    return st;
}

/* Decides as the reader did. Who was faster with the device decides who may act for it: the
 * ordinary rules tell the others. */
static enum ks_status run(struct provisioning_details *details, struct store_txn *txn,
                          const struct store_tenant *tenant, struct answer *answer,
                          struct ks_failure *why)
{
    const struct provisioning_edge *edge = &details->plan.edge;
    const struct assert_query ask = {.tenant_id = details->plan.tenant_id,
                                     .device_id = edge->device_id,
                                     .gateway_id = edge->gateway_id,
                                     .has_gateway_id = true};
    uint32_t space = tenant->space;
    struct store_device device = {.flags = 0};
    bool provisioned = false;
    enum ks_status st = registration_decide(txn, space, &ask, &device, why);

    if (st == KS_NEEDS_WRITE) {
        st = provision(details, txn, tenant, why);
        provisioned = st == KS_OK;
        if (provisioned) {
            st = store_device_get(txn, space, edge->device_id, &device, why);
        }
    }
    if (st == KS_OK) {
        st = registration_answer(details->service, txn, space, &device, answer, why);
    }
    if (st == KS_OK && provisioned) {
        answer->provisioning = ANSWER_PROVISIONED;
    }
    return st;
}

static void keep(struct provisioning_plan *plan, struct arena *arena)
{
    plan->edge.device_id = arena_span(arena, plan->edge.device_id);
    plan->edge.gateway_id = arena_span(arena, plan->edge.gateway_id);
}

const struct provisioning_kind provisioning_by_gateway = {
    .counter = COUNTER_EDGE_PROVISIONED, .keep = keep, .run = run, .refuse = answer_refuse};
