/* The tenants of the management API. */
#include "service/ca_sharing.h"
#include "service/management_job.h"
#include "service/tenant_document.h"
#include "service/tenant_members.h"

enum ks_status management_tenant_prepare(struct management_job *job, struct span body,
                                         struct ks_failure *why)
{
    enum ks_status st = tenant_document_read(body, &job->document, why);

    return st == KS_OK ? tenant_document_render(&job->arena, job->document, job->tenant_id,
                                                &job->tenant, why)
                       : st;
}

/* ---- what adapters are told ---- */

/* As an operator may ask for in Hono. */
static bool asks_to_invalidate(const struct management_job *job)
{
    return json_is_true(
        json_object_get(tenant_at(job->document, TENANT_EXT), "invalidate-cache-on-update"));
}

/* What an adapter must not go on believing until its cache lets go of it. */
static bool matters_at_once(const struct store_tenant *old, const struct store_tenant *tenant)
{
    return old->flags != tenant->flags || !span_eq(old->cas, tenant->cas);
}

/* ---- operations ---- */

enum ks_status management_tenant_create(struct management_job *job, struct store_txn *txn,
                                        struct ks_failure *why)
{
    struct store_tenant tenant = job->tenant;
    uint32_t space = 0;
    enum ks_status st = ca_sharing_check(txn, &tenant, 0, why);

    tenant.version = job->version;
    tenant.created_ms = job->now_ms;
    if (st == KS_OK) {
        st = store_tenant_insert(txn, &tenant, &space, why);
    }
    job->space = space;
    job->invalidate = asks_to_invalidate(job);
    return st;
}

enum ks_status management_tenant_update(struct management_job *job, struct store_txn *txn,
                                        struct ks_failure *why)
{
    struct store_tenant old = {.space = 0};
    struct store_tenant tenant = job->tenant;
    enum ks_status st = management_find_tenant(txn, job->tenant_id, &old, why);

    if (st == KS_OK) {
        st = ca_sharing_check(txn, &tenant, old.space, why);
    }
    if (st == KS_OK) {
        st = management_check_version(job, &old.version, why);
    }
    if (st != KS_OK) {
        return st;
    }
    job->space = old.space;
    job->invalidate = asks_to_invalidate(job) || matters_at_once(&old, &tenant);
    tenant.space = old.space;
    tenant.version = job->version;
    tenant.created_ms = old.created_ms;
    tenant.updated_ms = job->now_ms;
    return store_tenant_replace(txn, &tenant, why);
}

enum ks_status management_tenant_delete(struct management_job *job, struct store_txn *txn,
                                        struct ks_failure *why)
{
    struct store_tenant old = {.space = 0};
    enum ks_status st = management_find_tenant(txn, job->tenant_id, &old, why);

    if (st == KS_OK) {
        st = management_check_version(job, &old.version, why);
    }
    if (st == KS_OK) {
        st = store_parked_count(txn, old.space, &job->discarded, why);
    }
    return st == KS_OK ? store_tenant_delete(txn, old.space, why) : st;
}

enum ks_status management_tenant_read(struct store_txn *txn,
                                      const struct management_request *request,
                                      struct management_response *response, struct ks_failure *why)
{
    struct store_tenant tenant = {.space = 0};
    enum ks_status st = management_find_tenant(txn, request->tenant_id, &tenant, why);

    if (st == KS_OK) {
        buf_add_span(&response->body, tenant.document);
        response->has_etag = true;
        response->etag = tenant.version;
    }
    return st;
}
