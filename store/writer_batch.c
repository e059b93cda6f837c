#include "store/writer_batch.h"

#include <string.h>

#include "store/store.h"

struct run {
    struct store *store;
    unsigned commits;
    enum ks_status broken; /* of the first transaction that could not be begun or made durable */
    struct ks_failure why;
};

enum outcome {
    DONE,     /* the jobs have their statuses: committed, or failed with run->broken */
    OFFENDED, /* a job failed after it had written; nothing was committed */
    TOO_MUCH, /* the transaction or the map is full; nothing was committed */
};

static void fail_jobs(struct writer_job *const *jobs, size_t count, enum ks_status status,
                      const struct ks_failure *why)
{
    for (size_t i = 0; i < count; i++) {
        jobs[i]->status = status;
        jobs[i]->why = *why;
    }
}

void writer_batch_fail(struct writer_batch *batch, enum ks_status status,
                       const struct ks_failure *why)
{
    fail_jobs(batch->job, batch->count, status, why);
}

static enum outcome break_off(struct run *run, struct writer_job *const *jobs, size_t count,
                              enum ks_status status, const struct ks_failure *why)
{
    run->broken = status;
    run->why = *why;
    fail_jobs(jobs, count, status, why);
    return DONE;
}

static enum outcome commit(struct run *run, struct store_txn *txn, struct writer_job *const *jobs,
                           size_t count)
{
    struct ks_failure why = {0};
    enum ks_status st;

    if (store_txn_writes(txn) == 0) {
        store_write_abort(txn);
        return DONE;
    }
    st = store_write_commit(txn, &why);
    if (st == KS_FULL) {
        fail_jobs(jobs, count, st, &why);
        return TOO_MUCH;
    }
    if (st != KS_OK) {
        return break_off(run, jobs, count, st, &why);
    }
    run->commits++;
    return DONE;
}

/* Whether the transaction can be committed with the job in it. */
static bool run_job(struct writer_job *job, struct store_txn *txn)
{
    uint64_t before = store_txn_writes(txn);
    struct ks_failure stuck = {0};
    enum ks_status st;

    job->why = (struct ks_failure){0};
    job->status = job->run(job, txn, &job->why);
    st = store_txn_error(txn, &stuck);
    if (st != KS_OK) {
        job->status = st;
        job->why = stuck;
        return false;
    }
    return job->status == KS_OK || store_txn_writes(txn) == before;
}

/* Runs the jobs in one transaction. */
static enum outcome run_once(struct run *run, struct writer_job *const *jobs, size_t count,
                             size_t *offender)
{
    struct store_txn *txn = NULL;
    struct ks_failure why = {0};
    enum ks_status st = store_write_begin(run->store, &txn, &why);

    if (st != KS_OK) {
        return break_off(run, jobs, count, st, &why);
    }
    for (size_t i = 0; i < count; i++) {
        if (run_job(jobs[i], txn)) {
            continue;
        }
        st = store_txn_error(txn, &why);
        store_write_abort(txn);
        if (st == KS_IO || st == KS_DISK_FULL) { /* LMDB writes ahead of the commit too */
            return break_off(run, jobs, count, st, &why);
        }
        *offender = i;
        return st == KS_FULL ? TOO_MUCH : OFFENDED;
    }
    return commit(run, txn, jobs, count);
}

static void move_to_end(struct writer_job **jobs, size_t count, size_t index)
{
    struct writer_job *job = jobs[index];

    memmove(&jobs[index], &jobs[index + 1], (count - index - 1) * sizeof(struct writer_job *));
    jobs[count - 1] = job;
}

/* A job that was in a transaction that came to nothing runs again; its status then counts. Each
 * step has fewer jobs than the one before, so there is an end. */
static void run_all(struct run *run, struct writer_job **jobs, size_t count)
{
    while (count > 0 && run->broken == KS_OK) {
        size_t offender = 0;
        size_t first = count / 2;

        switch (run_once(run, jobs, count, &offender)) {
        case DONE:
            return;
        case OFFENDED: /* all but the offender, then the offender alone */
            move_to_end(jobs, count, offender);
            first = count - 1;
            break;
        case TOO_MUCH: /* one half, then the other */
            break;
        }
        if (count == 1) {
            return; /* it fails alone too: its status says why */
        }
        run_all(run, jobs, first);
        jobs += first;
        count -= first;
    }
    fail_jobs(jobs, count, run->broken, &run->why);
}

enum ks_status writer_batch_run(struct writer_batch *batch, struct store *store, unsigned *commits,
                                struct ks_failure *why)
{
    struct run run = {.store = store};
    struct writer_job *jobs[WRITER_BATCH]; /* the batch is answered in its own order */

    memcpy(jobs, batch->job, batch->count * sizeof(struct writer_job *));
    run_all(&run, jobs, batch->count);
    *commits = run.commits;
    if (run.broken != KS_OK) {
        *why = run.why;
    }
    return run.broken;
}
