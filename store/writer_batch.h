/*
 * writer_batch: runs the jobs of one batch in as few transactions as their failures allow; the
 * failure classes are those of store/writer.h.
 *
 * Threads:   the writer's.
 * Ownership: the jobs stay the writer's; after a run each has its status and reason.
 */
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "store/writer.h"

struct writer_batch {
    struct writer_job *job[WRITER_BATCH];
    size_t count;
};

/* *commits: of the transactions that wrote. Not KS_OK: transactions do not work any more (KS_IO,
 * KS_CORRUPT: for good; KS_DISK_FULL: for now); jobs that were not committed before have that
 * status. */
KS_MUST_CHECK enum ks_status writer_batch_run(struct writer_batch *batch, struct store *store,
                                              unsigned *commits, struct ks_failure *why);
/* Gives every job of the batch this status. */
void writer_batch_fail(struct writer_batch *batch, enum ks_status status,
                       const struct ks_failure *why);
