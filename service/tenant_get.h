/*
 * tenant_get: operation "get" of the Tenant API (Hono's Tenant API page).
 *
 * Threads:   the reader's. Ownership: as service/answer.h.
 */
#pragma once

#include "service/answer.h"
#include "service/authority.h"
#include "service/service.h"

struct tenant_query {
    struct span tenant_id;  /* wins if has_tenant_id */
    struct span subject_dn; /* as the client wrote it; normalised here */
    bool has_tenant_id;
    bool has_subject_dn;
};

/* The reader's transaction has been renewed. Always fills *answer, also for refusals. `who` must be
 * allowed `get` on tenant/<id of the tenant found>; when nothing is found 404 is told only to who
 * may get all tenants (a grant that covers `tenant/<any>`), everyone else gets 403. */
void tenant_get(struct service_reader *reader, const struct identity *who,
                const struct tenant_query *ask, int64_t now_ms, struct answer *answer);
