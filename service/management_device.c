/* The devices of the management API. */
#include "service/device_document.h"
#include "service/device_members.h"
#include "service/device_status.h"
#include "service/management_job.h"
#include "service/reasons.h"
#include "service/service.h"

enum ks_status management_device_prepare(struct management_job *job, struct span body,
                                         struct ks_failure *why)
{
    enum ks_status st = device_document_read(body, &job->document, why);

    job->credentials_version = uuid_random();
    return st == KS_OK ? device_document_render(&job->arena, job->document, job->device_id,
                                                &job->device, why)
                       : st;
}

/* A tenant's own limit, if it has one (0 lets none in), wins over the service's (0: none). */
static enum ks_status check_limit(struct store_txn *txn, const struct service *service,
                                  const struct store_tenant *tenant, struct ks_failure *why)
{
    int64_t limit = tenant->max_devices >= 0 ? tenant->max_devices : -1;
    uint64_t count = 0;
    enum ks_status st = store_device_count(txn, tenant->space, &count, why);

    if (limit < 0 && service->max_devices_per_tenant > 0) {
        limit = service->max_devices_per_tenant;
    }
    if (st == KS_OK && limit >= 0 && count >= (uint64_t)limit) {
        return ks_fail(why, KS_LIMIT, REASON_DEVICE_LIMIT,
                       "the tenant has as many devices as it may have: %lld", (long long)limit);
    }
    return st;
}

enum ks_status management_device_create(struct management_job *job, struct store_txn *txn,
                                        struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct store_device device = job->device;
    enum ks_status st = management_find_tenant(txn, job->tenant_id, &tenant, why);

    if (st == KS_OK) {
        st = check_limit(txn, job->service, &tenant, why);
    }
    device.version = job->version;
    device.credentials_version = job->credentials_version;
    device.created_ms = job->now_ms;
    job->space = tenant.space;
    return st == KS_OK ? store_device_insert(txn, tenant.space, &device, why) : st;
}

/* Replaces what the operator wrote; how the device came, and its credentials, stay. */
enum ks_status management_device_update(struct management_job *job, struct store_txn *txn,
                                        struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct store_device old = {.flags = 0};
    struct store_device device = job->device;
    enum ks_status st = management_find_tenant(txn, job->tenant_id, &tenant, why);

    if (st == KS_OK) {
        st = management_find_device(txn, tenant.space, job->device_id, &old, why);
    }
    if (st == KS_OK) {
        st = management_check_version(job, &old.version, why);
    }
    device.flags |= old.flags & (STORE_DEVICE_AUTO_PROVISIONED | STORE_DEVICE_NOTIFIED);
    device.version = job->version;
    device.credentials_version = old.credentials_version;
    device.created_ms = old.created_ms;
    device.updated_ms = job->now_ms;
    device.event_seq = old.event_seq;
    device.credentials = old.credentials;
    job->space = tenant.space;
    return st == KS_OK ? store_device_replace(txn, tenant.space, &device, why) : st;
}

/* A tenant that is gone has no devices: nothing is left to delete. */
enum ks_status management_device_delete(struct management_job *job, struct store_txn *txn,
                                        struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct store_device device = {.flags = 0};
    enum store_event_state event = STORE_EVENT_NONE;
    enum ks_status st = management_find_tenant(txn, job->tenant_id, &tenant, why);

    job->nothing = st == KS_NOT_FOUND;
    job->space = tenant.space;
    if (job->nothing) {
        return KS_OK;
    }
    if (st == KS_OK) {
        st = management_find_device(txn, tenant.space, job->device_id, &device, why);
    }
    if (st == KS_OK) {
        st = management_check_version(job, &device.version, why);
    }
    if (st == KS_OK) {
        st = store_event_state(txn, tenant.space, &device, &event, why);
        job->discarded = event == STORE_EVENT_PARKED;
    }
    return st == KS_OK ? store_device_delete(txn, tenant.space, job->device_id, why) : st;
}

/* The same: whatever there was is gone, and the answer says so. */
enum ks_status management_device_delete_all(struct management_job *job, struct store_txn *txn,
                                            struct ks_failure *why)
{
    enum ks_status st = store_tenant_find(txn, job->tenant_id, &job->space, why);

    job->nothing = st == KS_NOT_FOUND;
    if (job->nothing) {
        return KS_OK;
    }
    if (st == KS_OK) {
        st = store_parked_count(txn, job->space, &job->discarded, why);
    }
    return st == KS_OK ? store_device_delete_all(txn, &job->space, why) : st;
}

/* ---- reading ---- */

enum ks_status management_device_read(struct store_txn *txn,
                                      const struct management_request *request,
                                      struct management_response *response, struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    struct store_device device = {.flags = 0};
    bool notified = false;
    enum ks_status st = management_find_tenant(txn, request->tenant_id, &tenant, why);

    if (st == KS_OK) {
        st = management_find_device(txn, tenant.space, request->device_id, &device, why);
    }

    if (st == KS_OK) {
        st = device_status_notified(txn, tenant.space, &device, &notified, why);
    }
    if (st == KS_OK) {
        buf_add_char(&response->body, '{');
        device_status_add_members(&response->body, &device, notified);
        buf_add_char(&response->body, '}');
        response->has_etag = true;
        response->etag = device.version;
    }
    return st;
}
