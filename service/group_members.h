/*
 * group_members: the answer of an assertion for a device behind gateway groups: its `via` names
 * the devices of the groups too, which change without the device's record being written.
 *
 * Costs a scan of the groups' index, bounded by GROUP_MEMBERS_MAX and, where the same devices are
 * in many groups, by GROUP_LOOKS_MAX: further members are not told.
 *
 * Threads:   the transaction's: a reader's, or the writer's.
 * Ownership: appends to `out`, which is untouched on failure.
 * Source:    Hono's Device Registration API, assert.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

struct store_device;
struct store_txn;

enum {
    GROUP_MEMBERS_MAX = 1000,
    GROUP_LOOKS_MAX = 4 * GROUP_MEMBERS_MAX, /* at entries of groups */
};

/* Appends device->answer with the members of device->via_groups in `via`: those of the record
 * first, in their order, then each other device once; disabled ones, too. */
KS_MUST_CHECK enum ks_status group_members_answer(struct store_txn *txn, uint32_t space,
                                                  const struct store_device *device,
                                                  struct buf *out, struct ks_failure *why);
