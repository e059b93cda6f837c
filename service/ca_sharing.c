#include "service/ca_sharing.h"

#include "service/reasons.h"
#include "store/store.h"

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

enum ks_status ca_sharing_check(struct store_txn *txn, const struct store_tenant *tenant,
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
