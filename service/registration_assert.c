#include "service/registration_assert.h"

#include "base/counters.h"
#include "service/group_members.h"
#include "service/provisioning_edge.h"
#include "service/reasons.h"
#include "service/tenant_cache.h"
#include "store/store.h"

/* ---- the device ---- */

static enum ks_status find(struct store_txn *txn, uint32_t space, struct span id,
                           struct store_device *out, struct ks_failure *why)
{
    enum ks_status st = KS_NOT_FOUND;

    if (id.len > 0 && id.len <= STORE_ID_MAX && !span_has_nul(id)) {
        st = store_device_get(txn, space, id, out, why);
    }
    return st == KS_NOT_FOUND ? ks_fail(why, st, REASON_UNKNOWN_DEVICE, "no such device") : st;
}

/* KS_NOT_FOUND: to an adapter it is the same as unknown, but for the reason. */
static enum ks_status check_enabled(const struct store_device *device, struct ks_failure *why)
{
    return (device->flags & STORE_DEVICE_ENABLED) != 0
               ? KS_OK
               : ks_fail(why, KS_NOT_FOUND, REASON_DISABLED, "the device is disabled");
}

/* ---- its gateway ---- */

static bool lists(struct span list, struct span wanted)
{
    struct span entry;
    size_t offset = 0;

    while (store_strings_next(list, &offset, &entry)) {
        if (span_eq(entry, wanted)) {
            return true;
        }
    }
    return false;
}

static bool intersect(struct span list, struct span other)
{
    struct span entry;
    size_t offset = 0;

    while (store_strings_next(list, &offset, &entry)) {
        if (lists(other, entry)) {
            return true;
        }
    }
    return false;
}

static enum ks_status find_gateway(struct store_txn *txn, uint32_t space, struct span id,
                                   struct store_device *out, struct ks_failure *why)
{
    enum ks_status st = find(txn, space, id, out, why);

    return st == KS_OK ? check_enabled(out, why) : st;
}

static enum ks_status check_gateway(struct store_txn *txn, uint32_t space,
                                    const struct store_device *device, struct span gateway_id,
                                    struct ks_failure *why)
{
    struct store_device gateway = {.flags = 0};
    enum ks_status st = find_gateway(txn, space, gateway_id, &gateway, why);

    if (st == KS_NOT_FOUND) {
        return ks_fail(why, KS_FORBIDDEN, REASON_GATEWAY, "the gateway is unknown or disabled");
    }
    if (st == KS_OK && !lists(device->via, gateway_id) &&
        !intersect(device->via_groups, gateway.member_of)) {
        return ks_fail(why, KS_FORBIDDEN, REASON_GATEWAY,
                       "the gateway is not authorized to act for the device");
    }
    return st;
}

/* For a device that is not registered: KS_NEEDS_WRITE if its gateway may change that. */
static enum ks_status check_authority(struct store_txn *txn, uint32_t space, struct span gateway_id,
                                      struct ks_failure *why)
{
    struct store_device gateway = {.flags = 0};
    enum ks_status st = find_gateway(txn, space, gateway_id, &gateway, why);

    if (st == KS_OK && (gateway.flags & STORE_DEVICE_PROVISIONER) != 0) {
        return KS_NEEDS_WRITE;
    }
    return st == KS_OK || st == KS_NOT_FOUND
               ? ks_fail(why, KS_NOT_FOUND, REASON_UNKNOWN_DEVICE, "no such device")
               : st;
}

/* ---- the operation ---- */

enum ks_status registration_decide(struct store_txn *txn, uint32_t space,
                                   const struct assert_query *ask, struct store_device *device,
                                   struct ks_failure *why)
{
    enum ks_status st = find(txn, space, ask->device_id, device, why);

    if (st == KS_NOT_FOUND && ask->has_gateway_id) {
        return check_authority(txn, space, ask->gateway_id, why);
    }
    if (st == KS_OK) {
        st = check_enabled(device, why);
    }
    if (st == KS_OK && ask->has_gateway_id) {
        st = check_gateway(txn, space, device, ask->gateway_id, why);
    }
    return st;
}

static enum ks_status fill(struct store_txn *txn, uint32_t space, const struct store_device *device,
                           struct buf *body, struct ks_failure *why)
{
    if (device->via_groups.len > 0) {
        return group_members_answer(txn, space, device, body, why);
    }
    buf_add_span(body, device->answer);
    return KS_OK;
}

enum ks_status registration_answer(const struct service *service, struct store_txn *txn,
                                   uint32_t space, const struct store_device *device,
                                   struct answer *answer, struct ks_failure *why)
{
    enum ks_status st = fill(txn, space, device, &answer->body, why);

    if (st == KS_OK) {
        answer->status = answer_status_code(KS_OK);
        answer->max_age_s = service->registration_max_age_s;
    }
    return st;
}

enum ks_status registration_assert(struct service_reader *reader, const struct assert_query *ask,
                                   int64_t now_ms, struct answer *answer,
                                   struct provisioning_plan *plan)
{
    struct store_device device = {.flags = 0};
    struct ks_failure why = {0};
    bool provisioning = false;
    uint32_t space = 0;
    enum ks_status st;

    (void)now_ms; /* nothing about a device is true for a time only */
    answer_clear(answer);
    st = tenant_cache_find(reader->tenants, reader->txn, ask->tenant_id, &space, &why);
    if (st == KS_OK) {
        st = registration_decide(reader->txn, space, ask, &device, &why);
    }
    if (st == KS_OK) {
        st = registration_answer(reader->service, reader->txn, space, &device, answer, &why);
    }
    if (st == KS_NEEDS_WRITE) {
        provisioning = true;
        st = provisioning_edge_plan(reader, space, ask, plan, &why);
        if (st == KS_OK) {
            return KS_NEEDS_WRITE;
        }
    }
    if (st != KS_OK) {
        answer_refuse(answer, st, &why);
    }
    if (provisioning) {
        answer->provisioning = ANSWER_NOT_PROVISIONED;
        counters_add(reader->counters, COUNTER_PROVISIONING_REFUSED, 1);
    }
    return KS_OK;
}
