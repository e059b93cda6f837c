/*
 * pool: worker threads for work that takes milliseconds of CPU (password hashes), behind two
 * bounded queues. The urgent queue is served first; within a queue, jobs are taken round robin by
 * their `peer` key, so that one address cannot starve the others.
 *
 * Threads:   pool_submit from any thread, never blocks. `run` executes on a worker thread.
 * Ownership: the job is handed over; `run` frees it or posts it on. At pool_close each job that
 *            has not begun is run with `discard` true, so that nothing leaks.
 * Errors:    KS_BUSY when the queue is full, or a quarter of it is this peer's: the job stays the
 *            caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum pool_lane { POOL_URGENT, POOL_NORMAL, POOL_LANES };

struct pool_job {
    void (*run)(struct pool_job *job, bool discard);
    uint64_t peer;         /* fairness key: hash of the peer's address */
    struct pool_job *next; /* the pool's */
};

struct pool;

/* workers >= 1; `depth` jobs at most wait in each lane. */
struct pool *pool_open(unsigned workers, size_t depth);
void pool_close(struct pool *pool);
KS_MUST_CHECK enum ks_status pool_submit(struct pool *pool, enum pool_lane lane,
                                         struct pool_job *job, struct ks_failure *why);
