/*
 * tenant_cache: tenant id -> key-space number, so that a request's one look-up is the record
 * itself. Bounded, set-associative; tenants that do not exist are not remembered.
 *
 * What it holds is valid while the store's tenant generation stands: tenant_cache_begin is told the
 * generation that was read *before* the transaction was renewed, so nothing older than the snapshot
 * is ever taken for new.
 *
 * Threads:   its reader's thread.
 * Ownership: copies. All is allocated at open; a look-up allocates nothing.
 */
#pragma once

#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct store_txn;
struct tenant_cache;

struct tenant_cache *tenant_cache_open(void);
/* Takes NULL. */
void tenant_cache_close(struct tenant_cache *cache);
void tenant_cache_begin(struct tenant_cache *cache, uint64_t generation);
/* KS_NOT_FOUND "unknown-tenant", also for what cannot be a tenant's id. */
KS_MUST_CHECK enum ks_status tenant_cache_find(struct tenant_cache *cache, struct store_txn *txn,
                                               struct span id, uint32_t *space,
                                               struct ks_failure *why);
