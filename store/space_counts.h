/*
 * space_counts: how many devices, credentials and parked events a key space has, kept in the
 * transactions that change it: registration limits ask for them.
 *
 * Threads, errors: as store/store.h.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

enum { SPACE_COUNTS_SIZE = 24 }; /* bytes of the record */

struct store_txn;

struct space_counts {
    uint64_t devices;
    uint64_t credentials;
    uint64_t parked;
};

/* What is added, or taken away. */
struct space_change {
    int64_t devices;
    int64_t credentials;
    int64_t parked;
};

/* Zeros if nothing was counted yet. */
KS_MUST_CHECK enum ks_status space_counts_get(struct store_txn *txn, uint32_t space,
                                              struct space_counts *out, struct ks_failure *why);
KS_MUST_CHECK enum ks_status space_counts_add(struct store_txn *txn, uint32_t space,
                                              struct space_change by, struct ks_failure *why);
