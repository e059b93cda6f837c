/*
 * outbox: what other files of store/ need of it; the interface is in store/store.h.
 *
 * Threads, errors: as store/store.h.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct store_txn;

/* The device goes: its parked event, if it has one, goes with it. */
KS_MUST_CHECK enum ks_status outbox_forget_parked(struct store_txn *txn, uint32_t space,
                                                  uint64_t seq, struct ks_failure *why);
