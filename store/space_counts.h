/*
 * space_counts: how many devices and credentials a key space has, kept in the transactions that
 * change it: registration limits ask for them.
 *
 * Threads, errors: as store/store.h.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

struct store_txn;

struct space_counts {
    uint64_t devices;
    uint64_t credentials;
};

/* Zeros if nothing was counted yet. */
KS_MUST_CHECK enum ks_status space_counts_get(struct store_txn *txn, uint32_t space,
                                              struct space_counts *out, struct ks_failure *why);
KS_MUST_CHECK enum ks_status space_counts_add(struct store_txn *txn, uint32_t space,
                                              int64_t devices, int64_t credentials,
                                              struct ks_failure *why);
