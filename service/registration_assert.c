#include "service/registration_assert.h"

#include "service/group_members.h"
#include "service/reasons.h"
#include "service/tenant_cache.h"
#include "store/store.h"

/* KS_NOT_FOUND also for a disabled device: to an adapter both are the same, but for the reason. */
static enum ks_status find_enabled(struct service_reader *reader, uint32_t space, struct span id,
                                   struct store_device *out, struct ks_failure *why)
{
    enum ks_status st = KS_NOT_FOUND;

    if (id.len > 0 && id.len <= STORE_ID_MAX && !span_has_nul(id)) {
        st = store_device_get(reader->txn, space, id, out, why);
    }
    if (st == KS_NOT_FOUND) {
        return ks_fail(why, st, REASON_UNKNOWN_DEVICE, "no such device");
    }
    if (st == KS_OK && (out->flags & STORE_DEVICE_ENABLED) == 0) {
        return ks_fail(why, KS_NOT_FOUND, REASON_DISABLED, "the device is disabled");
    }
    return st;
}

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

static enum ks_status check_gateway(struct service_reader *reader, uint32_t space,
                                    const struct store_device *device, struct span gateway_id,
                                    struct ks_failure *why)
{
    struct store_device gateway = {.flags = 0};
    enum ks_status st = find_enabled(reader, space, gateway_id, &gateway, why);

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

static enum ks_status check(struct service_reader *reader, const struct assert_query *ask,
                            uint32_t *space, struct store_device *device, struct ks_failure *why)
{
    enum ks_status st = tenant_cache_find(reader->tenants, reader->txn, ask->tenant_id, space, why);

    if (st == KS_OK) {
        st = find_enabled(reader, *space, ask->device_id, device, why);
    }
    if (st == KS_OK && ask->has_gateway_id) {
        st = check_gateway(reader, *space, device, ask->gateway_id, why);
    }
    return st;
}

static enum ks_status fill(struct service_reader *reader, uint32_t space,
                           const struct store_device *device, struct buf *body,
                           struct ks_failure *why)
{
    if (device->via_groups.len > 0) {
        return group_members_answer(reader, space, device, body, why);
    }
    buf_add_span(body, device->answer);
    return KS_OK;
}

void registration_assert(struct service_reader *reader, const struct assert_query *ask,
                         int64_t now_ms, struct answer *answer)
{
    struct store_device device = {.flags = 0};
    struct ks_failure why = {0};
    uint32_t space = 0;
    enum ks_status st;

    (void)now_ms; /* nothing about a device is true for a time only */
    answer_clear(answer);
    st = check(reader, ask, &space, &device, &why);
    if (st == KS_OK) {
        st = fill(reader, space, &device, &answer->body, &why);
    }
    if (st != KS_OK) {
        answer_refuse(answer, st, &why);
        return;
    }
    answer->status = answer_status_code(KS_OK);
    answer->max_age_s = reader->service->registration_max_age_s;
}
