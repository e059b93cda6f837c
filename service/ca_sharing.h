/*
 * ca_sharing: which tenants may trust CAs of one subject: those of one trust-anchor-group.
 *
 * Threads: the transaction's.
 * Errors:  KS_EXISTS "ca-taken"; the store's. Source: Hono's Device Registry Management API,
 *          `trust-anchor-group`.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct store_tenant;
struct store_txn;

/* `space` is the tenant's own; 0: it is new. That the others may share with each other has been
 * checked before, or is being checked for each of them. */
KS_MUST_CHECK enum ks_status ca_sharing_check(struct store_txn *txn,
                                              const struct store_tenant *tenant, uint32_t space,
                                              struct ks_failure *why);
