/*
 * writer: the one thread that writes. Jobs queue in two bounded lanes, are taken in turn in batches
 * of what is there (at most WRITER_BATCH), run one after the other in one transaction, are
 * committed together, and only then answered.
 *
 * A job is pure until commit: everything random or time-dependent was drawn when it was made, it
 * touches nothing but the transaction and its own memory, and it may be run again (another batch
 * after a failure). A job checks before its first write.
 *
 * Failure classes: a job that refuses without having written is answered with its status, the
 * others commit. A job that fails after writing: abort, all but the offender in one transaction,
 * then the offender alone. KS_FULL: halve the batch, down to one. A transaction that cannot be
 * written for another reason (KS_IO, KS_DISK_FULL, at commit KS_CORRUPT): every job of the batch
 * that is not committed gets that status and nothing is run again; all but KS_DISK_FULL make the
 * writer refuse everything (KS_UNAVAILABLE "read-only") until restart. Below the free-space
 * watermark jobs are refused with KS_DISK_FULL "disk-full" before they touch LMDB; this lifts by
 * itself.
 *
 * Threads:   writer_submit from any thread, never blocks. `run` and `done` are called on the writer
 *            thread; `done` must not block: it posts the answer on.
 * Ownership: the job is handed over on KS_OK and handed on by `done`, which is called exactly once
 *            for each job that was taken, at shutdown too.
 * Errors:    KS_BUSY "busy" when the lane is full, KS_UNAVAILABLE after writer_stop: the job stays
 *            the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct counters_slot;
struct store;
struct store_txn;
struct writer;

enum { WRITER_BATCH = 256 };

enum writer_lane { WRITER_AMQP, WRITER_MANAGEMENT, WRITER_LANES };

struct writer_job {
    enum ks_status (*run)(struct writer_job *job, struct store_txn *txn, struct ks_failure *why);
    void (*done)(struct writer_job *job, enum ks_status status, const struct ks_failure *why);
    /* the writer's own: */
    struct writer_job *next;
    enum ks_status status;
    struct ks_failure why;
};

struct writer_options {
    const char *dir;   /* whose file system's free space is watched */
    uint64_t min_free; /* bytes */
    size_t lane_depth; /* jobs waiting in each lane, at most */
    /* Called every 30 s on the writer thread (engine housekeeping); may be NULL. */
    void (*housekeeping)(void *arg);
    void *housekeeping_arg;
};

KS_MUST_CHECK enum ks_status writer_open(struct writer **out, struct store *store,
                                         const struct writer_options *options,
                                         struct ks_failure *why);
KS_MUST_CHECK enum ks_status writer_submit(struct writer *writer, enum writer_lane lane,
                                           struct writer_job *job, struct ks_failure *why);
/* Refuses new jobs, finishes the queued ones, joins the thread. Idempotent. */
void writer_stop(struct writer *writer);
/* Stops first if need be. Takes NULL. */
void writer_close(struct writer *writer);
/* KS_OK: taking writes. Otherwise why not ("disk-full", "read-only"): for readiness. Any thread. */
enum ks_status writer_health(struct writer *writer, struct ks_failure *why);
