/* The tenants of the management API. */
#include "service/management_job.h"
#include "service/reasons.h"
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

/* ---- trusted CAs ---- */

/* Whether the tenant in key space `other` may trust a CA of the same DN. */
static enum ks_status check_sharing(struct store_txn *txn, uint32_t other,
                                    const struct store_tenant *tenant, const struct store_ca *ca,
                                    struct ks_failure *why)
{
    struct store_tenant sharer = {.space = 0};
    enum ks_status st = store_tenant_get(txn, other, &sharer, why);

    if (st == KS_OK && (tenant->trust_anchor_group.len == 0 ||
                        !span_eq(sharer.trust_anchor_group, tenant->trust_anchor_group))) {
        return ks_fail(why, KS_EXISTS, REASON_CA_TAKEN,
                       "another tenant that is not in the same trust-anchor-group trusts a CA with "
                       "the subject \"%.*s\"",
                       SPAN_ARG(ca->subject_dn));
    }
    return st;
}

/* Tenants that share a DN are all of one group, so that of them any two tell: one may be the tenant
 * itself. */
static enum ks_status check_ca(struct store_txn *txn, const struct store_tenant *tenant,
                               uint32_t space, const struct store_ca *ca, struct ks_failure *why)
{
    uint32_t spaces[2];
    size_t count = 0;
    enum ks_status st = store_tenant_find_ca(txn, ca->subject_dn, spaces, 2, &count, why);

    for (size_t i = 0; i < count && st == KS_OK; i++) {
        if (spaces[i] != space) {
            st = check_sharing(txn, spaces[i], tenant, ca, why);
        }
    }
    return st;
}

/* `space` is the tenant's own; 0: it is new. */
static enum ks_status check_cas(struct store_txn *txn, const struct store_tenant *tenant,
                                uint32_t space, struct ks_failure *why)
{
    struct store_ca ca;
    size_t offset = 0;
    enum ks_status st = KS_OK;

    while (st == KS_OK && store_cas_next(tenant->cas, &offset, &ca)) {
        st = check_ca(txn, tenant, space, &ca, why);
    }
    return st;
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
    enum ks_status st = check_cas(txn, &tenant, 0, why);

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
        st = check_cas(txn, &tenant, old.space, why);
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
