#include "service/tenant_get.h"

#include "certs/dn.h"
#include "service/reasons.h"
#include "service/splice.h"
#include "service/tenant_cache.h"
#include "store/store.h"

static enum ks_status find_by_id(struct service_reader *reader, struct span id, uint32_t *space,
                                 struct ks_failure *why)
{
    enum ks_status st = tenant_cache_find(reader->tenants, reader->txn, id, space, why);

    if (st == KS_NOT_FOUND && id.len > 0 && id.len <= STORE_NAME_MAX && !span_has_nul(id)) {
        st = store_tenant_find_alias(reader->txn, id, space, why);
    }
    return st;
}

/* A DN that several tenants trust names none of them: the adapter then goes by SNI. */
static enum ks_status find_by_dn(struct service_reader *reader, struct span text, uint32_t *space,
                                 struct ks_failure *why)
{
    struct buf dn;
    uint32_t spaces[2];
    size_t count = 0;
    enum ks_status st;

    buf_init(&dn, 0);
    st = dn_normalize(text, &dn, why);
    if (st == KS_OK && dn.len > 0 && dn.len <= STORE_NAME_MAX) {
        st = store_tenant_find_ca(reader->txn, buf_span(&dn), spaces, 2, &count, why);
    }
    buf_done(&dn);
    if (st == KS_OK && count != 1) {
        return KS_NOT_FOUND;
    }
    if (st == KS_OK) {
        *space = spaces[0];
    }
    return st;
}

static enum ks_status find(struct service_reader *reader, const struct tenant_query *ask,
                           struct store_tenant *tenant, struct ks_failure *why)
{
    uint32_t space = 0;
    enum ks_status st;

    if (ask->has_tenant_id) {
        st = find_by_id(reader, ask->tenant_id, &space, why);
    } else if (ask->has_subject_dn) {
        st = find_by_dn(reader, ask->subject_dn, &space, why);
    } else {
        st = ks_fail(why, KS_INVALID, REASON_BAD_REQUEST,
                     "the request needs a tenant-id or a subject-dn");
    }
    return st == KS_OK ? store_tenant_get(reader->txn, space, tenant, why) : st;
}

static bool may_get(const struct identity *who, struct span tenant_id)
{
    const struct address address = {.segment = {SPAN("tenant"), tenant_id}, .count = 2};

    return identity_may_call(who, &address, SPAN("get"));
}

/* Whom an unknown tenant is told from a forbidden one: who may get any. */
static bool may_get_all(const struct identity *who)
{
    return may_get(who, SPAN("*"));
}

static enum ks_status fill(const struct service_reader *reader, const struct tenant_query *ask,
                           const struct store_tenant *tenant, int64_t now_ms, struct answer *answer,
                           struct ks_failure *why)
{
    size_t shown;
    int64_t until_ms;
    enum ks_status st =
        splice_answer(&answer->body, &tenant->answer, now_ms, &shown, &until_ms, why);

    if (st != KS_OK) {
        return st;
    }
    answer->status = answer_status_code(KS_OK);
    answer->max_age_s = splice_max_age(reader->service->tenant_max_age_s, now_ms, until_ms);
    if (!ask->has_tenant_id) {
        buf_add_span(&answer->tenant_id, tenant->id);
    }
    return KS_OK;
}

void tenant_get(struct service_reader *reader, const struct identity *who,
                const struct tenant_query *ask, int64_t now_ms, struct answer *answer)
{
    struct store_tenant tenant = {.space = 0};
    struct ks_failure why = {0};
    enum ks_status st;

    answer_clear(answer);
    st = find(reader, ask, &tenant, &why);
    if (st == KS_NOT_FOUND) {
        (void)ks_fail(&why, st, REASON_UNKNOWN_TENANT, "no such tenant");
    }
    if ((st == KS_OK && !may_get(who, tenant.id)) || (st == KS_NOT_FOUND && !may_get_all(who))) {
        st =
            ks_fail(&why, KS_FORBIDDEN, REASON_NOT_AUTHORIZED, "not authorized to get this tenant");
    }
    if (st == KS_OK) {
        st = fill(reader, ask, &tenant, now_ms, answer, &why);
    }
    if (st != KS_OK) {
        answer_refuse(answer, st, &why);
    }
}
